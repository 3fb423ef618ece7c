// A replica of our own SDK, as the command line gives it: a file, edits with or without a network, a sync.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { apiKey, binary } from './server.js';

const run = promisify(execFile);

export class Replica {
  #options;

  constructor(server, name) {
    this.#options = ['client', '--database', join(server.data, `${name}.sqlite`), '--schema', server.schema, '--url', server.url, '--api-key', apiKey];
  }

  /** A query or a mutation, from the file and into it: no network is asked for. */
  async exec(document) {
    const { stdout } = await run(binary, [...this.#options, '--offline', 'exec', document]);
    const { data, errors } = JSON.parse(stdout);
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  }

  /** Sends what waits and fetches what is new. */
  async sync() {
    const { stdout } = await run(binary, [...this.#options, 'sync']);
    return JSON.parse(stdout);
  }
}
