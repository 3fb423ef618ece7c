// Debian's Mosquitto with the access list of docs/mqtt.md: devices by their client id, the server by its user name.
import { spawn, execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../src/until.js';

const docs = join(dirname(fileURLToPath(import.meta.url)), '../../../docs/mqtt.md');

// A run that is broken off leaves no broker behind.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** The block of the docs that begins with this line. */
export function block(first) {
  const found = new RegExp(`\`\`\`[a-z]*\\n(${first.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}[^]*?)\`\`\``).exec(readFileSync(docs, 'utf8'));
  if (!found) throw new Error(`docs/mqtt.md has no block that begins with ${first}`);
  return found[1];
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Broker {
  #child;
  #said = '';

  static async start() {
    const broker = new Broker();
    broker.folder = mkdtempSync(join(tmpdir(), 'tombolo-broker-'));
    // Mosquitto gives up root before it reads its files.
    chmodSync(broker.folder, 0o755);
    broker.port = await freePort();
    const file = (name, text) => {
      const path = join(broker.folder, name);
      writeFileSync(path, text);
      chmodSync(path, 0o644);
      return path;
    };
    const acl = file('acl', block('# /etc/mosquitto/tombolo.acl'));
    const users = file('users', '');
    for (const [user, password] of [['tombolo-server', 'of the server'], ['device', 'of a device']]) {
      execFileSync('mosquitto_passwd', ['-b', users, user, password], { stdio: 'ignore' });
    }
    chmodSync(users, 0o644);
    broker.config = file('mosquitto.conf', [
      `listener ${broker.port} 127.0.0.1`,
      'allow_anonymous false',
      `password_file ${users}`,
      `acl_file ${acl}`,
      'log_dest stderr',
      '',
    ].join('\n'));
    await broker.begin();
    return broker;
  }

  async begin() {
    this.#said = '';
    const child = spawn('mosquitto', ['-c', this.config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Debian has it where not everybody's PATH leads.
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stderr.on('data', (data) => (this.#said += data));
    this.#child = child;
    await until('Mosquitto runs', () => {
      if (child.exitCode !== null) throw new Error(`Mosquitto ended: ${this.#said}`);
      return / running/.test(this.#said);
    });
  }

  async end() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }

  async stop() {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Lines for the server's configuration. */
  lines(more = '') {
    return `[mqtt.broker]\nurl = "mqtt://127.0.0.1:${this.port}"\nusername = "tombolo-server"\npassword = "of the server"\n${more}`;
  }
}
