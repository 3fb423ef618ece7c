// Runs the real binary on a free port with a schema of its own, as a user would, and says where it listens.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';

const here = dirname(fileURLToPath(import.meta.url));
const binary = process.env.TOMBOLO_BIN ?? join(here, '../../../target/debug/tombolo');
export const apiKey = 'clients-test-key';

/** Starts `tombolo dev`; `stop` ends it and removes its data. */
export async function startServer(schema = join(here, '../schema.graphql')) {
  const data = mkdtempSync(join(tmpdir(), 'tombolo-clients-'));
  return run(['dev', '--schema', schema, '--data', data, '--listen', '127.0.0.1:0', '--api-key', apiKey], data);
}

/** Starts `tombolo serve` with these lines of configuration on top of a schema and a database in memory. */
export async function startConfigured(lines, schema = join(here, '../schema.graphql')) {
  const data = mkdtempSync(join(tmpdir(), 'tombolo-clients-'));
  const config = join(data, 'tombolo.toml');
  writeFileSync(config, `listen = "127.0.0.1:0"\nschema = ${JSON.stringify(schema)}\ndatabase = ":memory:"\n${lines}`);
  return run(['serve', '--config', config], data);
}

async function run(args, data) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const url = await new Promise((resolve, reject) => {
    const look = (line) => {
      said += line + '\n';
      // `dev` prints the URL, `serve` logs the address.
      const plain = line.replace(/\x1b\[[0-9;]*m/g, '');
      const found = /http:\/\/127\.0\.0\.1:(\d+)\/graphql/.exec(plain) ?? /listening.*addr=127\.0\.0\.1:(\d+)/.exec(plain);
      if (found && found[1] !== '0') resolve(`http://127.0.0.1:${found[1]}/graphql`);
    };
    createInterface({ input: child.stdout }).on('line', look);
    createInterface({ input: child.stderr }).on('line', look);
    child.once('error', reject);
    const late = () => reject(new Error(`the server does not say where it listens:\n${said}`));
    setTimeout(late, 30_000).unref();
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
