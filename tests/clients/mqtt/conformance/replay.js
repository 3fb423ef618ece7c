// One vector against a server: what it expects, and what comes.
import { readFileSync, readdirSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { apiKey } from '../../src/server.js';
import { bytesOf, connect, publish, split, subscribe, told, withOwnTopics } from './packets.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'mosquitto');

/** Longest wait for an answer or an end that a vector expects: as long as Mosquitto's own runner waits. */
const ANSWER_MS = 2_000;

/** What a device publishes where a vector publishes `payload` or `message`: it is answered with one frame, an `error`. */
const REQUEST = '{"id":"v","type":"subscribe","payload":{"query":"{"}}';

/** Every vector of every file, by a name of its own. */
export function vectors() {
  const all = [];
  const seen = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json')).sort()) {
    for (const group of JSON.parse(readFileSync(join(folder, file), 'utf8'))) {
      for (const test of group.tests) {
        const plain = `${file} | ${group.group.replace(/ +/g, ' ')} | ${test.name.trim()}`;
        const times = (seen.get(plain) ?? 0) + 1;
        seen.set(plain, times);
        all.push({
          name: times === 1 ? plain : `${plain} (${times})`,
          version: test.ver ?? group.ver ?? 4,
          connects: test.connect ?? group.connect ?? true,
          ends: test.expect_disconnect ?? group.expect_disconnect ?? true,
          steps: test.msgs,
        });
      }
    }
  }
  return all;
}

/** Whether the vector brings a CONNECT of its own, and with it who is calling. */
export const bringsConnect = (vector) => vector.steps.some((step) => step.type === 'send' && bytesOf(step.payload)[0] >> 4 === 1);

/** A connection, as bytes. */
class Line {
  #rest = Buffer.alloc(0);
  #changed = () => {};
  packets = [];
  ended = false;

  static async open(server, carrier) {
    const line = new Line();
    let socket;
    if (carrier === 'tcp') {
      socket = connectTcp(server.mqttPort, '127.0.0.1').setNoDelay();
      socket.on('data', (data) => line.#take(data));
      line.send = (bytes) => socket.write(bytes);
      line.close = () => socket.destroy();
    } else {
      // The credential is in a header: what a vector says goes over byte for byte.
      socket = new WebSocket(`ws://127.0.0.1:${server.port}/mqtt`, 'mqtt', { headers: { 'x-api-key': apiKey } });
      socket.on('message', (data) => line.#take(data));
      line.send = (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes);
      line.close = () => socket.terminate();
    }
    await new Promise((resolve, reject) => socket.once(carrier === 'tcp' ? 'connect' : 'open', resolve).once('error', reject));
    socket.on('error', () => {}).on('close', () => {
      line.ended = true;
      line.#changed();
    });
    return line;
  }

  #take(data) {
    const { packets, rest } = split(Buffer.concat([this.#rest, data]));
    this.#rest = rest;
    this.packets.push(...packets);
    this.#changed();
  }

  /** Waits until `look` is true, the connection has ended, or it has taken too long; whether it is true. */
  async #until(look) {
    if (look() || this.ended) return look();
    let late;
    await new Promise((resolve) => {
      late = setTimeout(resolve, ANSWER_MS);
      this.#changed = () => (look() || this.ended) && resolve();
    });
    clearTimeout(late);
    this.#changed = () => {};
    return look();
  }

  /** Waits for so many packets or the end; in vain, too. */
  async wait(packets) {
    await this.#until(() => this.packets.length >= packets);
  }

  /**
   * Whether the server is still there: it answers a SUBSCRIBE, which it looks at when it is through with all that came before. A
   * ping would not show that, being answered by whoever reads.
   */
  async isAlive(version) {
    const asked = 0xfffe;
    this.send(subscribe(version, 'probe', 0, asked));
    const answer = () => this.packets.findIndex(({ head, body }) => head === 0x90 && body.readUInt16BE(0) === asked);
    if (!(await this.#until(() => answer() !== -1))) return false;
    this.packets.splice(answer(), 1);
    return true;
  }
}

let serial = 0;

/**
 * Replays a vector; gives what it expects and what came, each in words. `noted` is what came before, if that is known to be
 * something else than what is expected: only how long an answer is waited for depends on it.
 */
export async function replay(server, vector, carrier, noted) {
  const { version } = vector;
  const few = noted === undefined ? Infinity : noted.split(', ').length - 1;
  const toEnd = noted === undefined ? vector.ends : noted.endsWith('ends');
  serial += 1;
  const own = bringsConnect(vector) && !vector.connects;
  const device = own ? ownDevice(vector) : `vector-${serial}`;
  const waitForAnswers = () => line.wait(Math.min(expected.length, few));
  const topics = { request: `tombolo/${device}/request`, response: `tombolo/${device}/response` };
  const mapped = (step) => withOwnTopics(bytesOf(step.payload), version, topics, REQUEST);
  const line = await Line.open(server, carrier);
  const expected = [];
  let silent = false;
  const expect = (bytes) => expected.push(...split(bytes).packets.map((packet) => told(packet, version)));
  const helpers = [];
  try {
    if (vector.connects) {
      line.send(connect(version, device, carrier === 'tcp' ? apiKey : undefined));
      expected.push('CONNACK 00');
      await waitForAnswers();
    }
    for (const step of vector.steps) {
      if (step.type === 'recv') {
        expect(withOwnTopics(bytesOf(step.payload), version, { request: 'tombolo/DEVICE/response' }));
        continue;
      }
      // As in Mosquitto's runner, what was said is answered before more is said; without the answer nothing more is.
      await waitForAnswers();
      silent ||= line.packets.length < expected.length || line.ended;
      if (silent) continue;
      switch (step.type) {
        case 'send':
          line.send(mapped(step));
          break;
        case 'external_publish': {
          const helper = await Line.open(server, carrier);
          helpers.push(helper);
          helper.send(connect(version, `${device}:helper`, carrier === 'tcp' ? apiKey : undefined));
          helper.send(publish(version, topics.request, 1, REQUEST));
          await helper.wait(2);
          break;
        }
        case 'subscribe':
        case 'unsubscribe':
          line.send(subscribe(version, topics.response, step.type === 'subscribe' ? step.qos : undefined));
          expected.push(step.type === 'subscribe' ? `SUBACK 1 0${step.qos}` : version === 5 ? 'UNSUBACK 1 00' : 'UNSUBACK 1');
          break;
        default:
          throw new Error(`${vector.name}: a step ${step.type}`);
      }
    }
    await line.wait(noted === undefined ? expected.length : few);
    let lives = false;
    if (toEnd) await line.wait(Infinity);
    if (!line.ended) lives = await line.isAlive(version);
    const came = line.packets.map((packet) => told(packet, version));
    return { expected: inWords(expected, vector.ends ? 'ends' : 'lives'), came: inWords(came, line.ended ? 'ends' : lives ? 'lives' : 'hangs', device) };
  } finally {
    [line, ...helpers].forEach((each) => each.close());
  }
}

/** The client id in the vector's own CONNECT, if it is well formed so far. */
function ownDevice(vector) {
  const bytes = vector.steps.map((step) => (step.type === 'send' ? bytesOf(step.payload) : undefined)).find((each) => each && each[0] >> 4 === 1);
  const { version } = vector;
  try {
    let at = 2 + (bytes[1] > 0x7f ? 1 : 0);
    at += 2 + bytes.readUInt16BE(at) + 4;
    if (version === 5) at += 1 + bytes[at];
    return bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at)).toString() || 'nobody';
  } catch {
    return 'nobody';
  }
}

/** The answers and how it ended, in one line. */
const inWords = (answers, end, device) => [...answers, end].join(', ').replaceAll(`tombolo/${device}/`, 'tombolo/DEVICE/');

/**
 * Whether what came is what was expected:
 * - PUBACK 0x10 tells that nobody subscribes; a server that does not say so says 0x00 (3.4.2.1);
 * - a server of MQTT 5 may say DISCONNECT before it ends a connection, where the vector only wants the end (4.13);
 * - the order of a message and an acknowledgement that belong to the same request is the server's own.
 */
export function same(expected, came) {
  const parts = (words) => words.replace(/(PUBACK \d+) 10/g, '$1 00').split(', ').sort().join(', ');
  if (parts(expected) === parts(came)) return true;
  const silent = came.replace(/DISCONNECT \w\w, ends$/, 'ends');
  return !/DISCONNECT/.test(expected) && expected.endsWith('ends') && parts(expected) === parts(silent);
}
