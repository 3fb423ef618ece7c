// Runs the real binary on a free port with a schema of its own, as a user would, and says where it listens.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';

const here = dirname(fileURLToPath(import.meta.url));
const binary = process.env.TOMBOLO_BIN ?? join(here, '../../../target/debug/tombolo');
export const apiKey = 'clients-test-key';

/** Starts the server; `stop` ends it and removes its data. */
export async function startServer(schema = join(here, '../schema.graphql')) {
  const data = mkdtempSync(join(tmpdir(), 'tombolo-clients-'));
  const child = spawn(binary, ['dev', '--schema', schema, '--data', data, '--listen', '127.0.0.1:0', '--api-key', apiKey], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const url = await new Promise((resolve, reject) => {
    const look = (line) => {
      said += line + '\n';
      const found = /http:\/\/127\.0\.0\.1:(\d+)\/graphql/.exec(line);
      if (found && found[1] !== '0') resolve(found[0]);
    };
    createInterface({ input: child.stdout }).on('line', look);
    createInterface({ input: child.stderr }).on('line', look);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened:\n${said}`)));
  });
  return {
    url,
    wsUrl: url.replace(/^http/, 'ws'),
    said: () => said,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
      child.kill('SIGTERM');
      const how = await ended;
      rmSync(data, { recursive: true, force: true });
      return how;
    },
  };
}

/** One GraphQL request over HTTP, with the key. */
export async function post(url, query, variables, headers = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': apiKey, ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}
