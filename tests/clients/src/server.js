// Runs the real binary on a free port with a schema of its own, as a user would, and says where it listens.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';

const here = dirname(fileURLToPath(import.meta.url));
export const binary = process.env.TOMBOLO_BIN ?? join(here, '../../../target/debug/tombolo');
export const apiKey = 'clients-test-key';

// A run that is broken off leaves no server behind.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/**
 * Starts a server with a data folder of its own. `end` ends it with a signal and leaves the data; `start` starts it again on
 * the same port; `stop` ends it well and removes its data.
 */
export async function startServer(schema = join(here, '../schema.graphql'), { tls = false, mqtt = false } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'tombolo-clients-'));
  const more = [...(tls ? ['--tls'] : []), ...(mqtt ? ['--mqtt', '127.0.0.1:0'] : [])];
  return run(data, schema, (listen) => ['dev', '--schema', schema, '--data', data, '--listen', listen, '--api-key', apiKey, ...more]);
}

/** Starts `tombolo serve` with these lines of configuration on top of a schema and a database, in memory unless it is to be `kept`. */
export async function startConfigured(lines, schema = join(here, '../schema.graphql'), { kept = false } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'tombolo-clients-'));
  const config = join(data, 'tombolo.toml');
  const database = kept ? join(data, 'tombolo.sqlite') : ':memory:';
  return run(data, schema, (listen) => {
    writeFileSync(config, `listen = "${listen}"\nschema = ${JSON.stringify(schema)}\ndatabase = ${JSON.stringify(database)}\n${lines}`);
    return ['serve', '--config', config];
  });
}

async function run(data, schema, args) {
  const server = new Server(data, schema, args);
  try {
    await server.start();
  } catch (error) {
    rmSync(data, { recursive: true, force: true });
    throw error;
  }
  return server;
}

class Server {
  #child;
  #said = '';
  #listen = '127.0.0.1:0';

  #args;

  /** `args` are the command's, given where to listen. */
  constructor(data, schema, args) {
    this.data = data;
    this.schema = schema;
    this.#args = args;
  }

  async start() {
    const child = spawn(binary, this.#args(this.#listen), { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    this.url = await new Promise((resolve, reject) => {
      const look = (line) => {
        this.#said += line + '\n';
        // `dev` prints the URL, `serve` logs the address.
        const plain = line.replace(/\x1b\[[0-9;]*m/g, '');
        const found = /(https?):\/\/127\.0\.0\.1:(\d+)\/graphql/.exec(plain) ?? /listening addr=()127\.0\.0\.1:(\d+)/.exec(plain);
        const mqtt = /(?:MQTT is spoken on |listening for MQTT addr=)127\.0\.0\.1:(\d+)/.exec(plain);
        if (mqtt) this.mqttPort = Number(mqtt[1]);
        if (found && found[2] !== '0') resolve(`${found[1] || 'http'}://127.0.0.1:${found[2]}/graphql`);
      };
      createInterface({ input: child.stdout }).on('line', look);
      createInterface({ input: child.stderr }).on('line', look);
      child.once('error', reject);
      setTimeout(() => reject(new Error(`the server does not say where it listens:\n${this.#said}`)), 30_000).unref();
      child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened:\n${this.#said}`)));
    });
    this.#listen = new URL(this.url).host;
    this.wsUrl = this.url.replace(/^http/, 'ws');
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  said() {
    return this.#said;
  }

  /** Ends the process and says how it ended. */
  async end(signal = 'SIGTERM') {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return { code: child.exitCode, signal: child.signalCode };
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    child.kill(signal);
    return ended;
  }

  async stop() {
    const how = await this.end();
    rmSync(this.data, { recursive: true, force: true });
    return how;
  }

  /** One request with the key that must succeed; gives its data. */
  async ask(query, variables) {
    const { status, body } = await post(this.url, query, variables);
    if (status !== 200 || body.errors) throw new Error(`${query.slice(0, 200)}: ${status} ${JSON.stringify(body.errors ?? body)}`);
    return body.data;
  }
}

/** One GraphQL request over HTTP, with the key if there is no other authorization. */
export async function post(url, query, variables, headers = {}) {
  const key = headers.authorization ? {} : { 'x-api-key': apiKey };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...key, ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}
