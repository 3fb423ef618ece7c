// A device over npm `mqtt`: it publishes frames of graphql-transport-ws and takes those that answer.
import mqtt from 'mqtt';
import { until } from '../src/until.js';
import { apiKey } from '../src/server.js';

/** Every way to the server: both versions, over TCP and WebSocket. */
export const ways = [4, 5].flatMap((protocolVersion) =>
  ['tcp', 'ws'].map((carrier) => ({ name: `${protocolVersion === 5 ? '5' : '3.1.1'} over ${carrier}`, protocolVersion, carrier })),
);

export class Device {
  /** Frames that came, in order. */
  frames = [];
  #next = 0;

  /** Connects as `id`, and listens unless told otherwise. */
  static async open(server, id, { protocolVersion = 5, carrier = 'tcp', listen = true, qos = 1, ...options } = {}) {
    const device = new Device();
    const url = carrier === 'tcp' ? `mqtt://127.0.0.1:${server.mqttPort}` : `ws://127.0.0.1:${server.port}/mqtt`;
    const credential = { username: 'x-api-key', password: apiKey };
    const client = mqtt.connect(url, { clientId: id, protocolVersion, reconnectPeriod: 0, ...credential, ...options });
    device.client = client;
    const name = id.split(':')[0];
    device.request = `tombolo/${name}/request`;
    device.response = `tombolo/${name}/response`;
    // Before it is connected: a session that goes on speaks first.
    client.on('message', (topic, payload) => device.frames.push({ topic, ...JSON.parse(payload.toString()) }));
    await new Promise((resolve, reject) => {
      client.once('connect', (connack) => resolve((device.connack = connack)));
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed before CONNACK')));
    });
    client.on('error', () => {});
    device.closed = new Promise((resolve) => device.client.once('close', resolve));
    if (listen) await device.client.subscribeAsync(device.response, { qos });
    return device;
  }

  say(frame, qos = 1) {
    return this.client.publishAsync(this.request, typeof frame === 'string' ? frame : JSON.stringify(frame), { qos });
  }

  /** Starts an operation; its id. */
  async start(query, variables, qos = 1) {
    const id = String((this.#next += 1));
    await this.say({ id, type: 'subscribe', payload: { query, variables } }, qos);
    return id;
  }

  of(id) {
    return this.frames.filter((frame) => frame.id === id);
  }

  /** One operation to its end; its data. */
  async ask(query, variables) {
    const id = await this.start(query, variables);
    await until(`${query} is answered`, () => this.of(id).some((frame) => frame.type !== 'next'));
    const [first] = this.of(id);
    if (first.type !== 'next' || first.payload.errors) throw new Error(JSON.stringify(first));
    return first.payload.data;
  }

  /** Gone without a word, and the server has seen it. */
  async gone() {
    this.client.stream.destroy();
    await this.client.endAsync(true);
  }

  end() {
    return this.client.endAsync(true);
  }
}
