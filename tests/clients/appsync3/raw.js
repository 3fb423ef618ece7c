// A connection of MQTT over a WebSocket whose packets are the test's own: no client would send most of them.
import { parser, generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { until } from '../src/until.js';

export class Raw {
  packets = [];
  isClosed = false;
  #next = 0;

  /** Connects to `url` as `clientId`, by MQTT 3.1 unless told otherwise. */
  static async open(url, clientId, { protocolVersion = 3, ...more } = {}) {
    const raw = new Raw();
    const reader = parser({ protocolVersion });
    reader.on('packet', (packet) => raw.packets.push(packet));
    raw.version = protocolVersion;
    raw.socket = new WebSocket(url, 'mqttv3.1');
    raw.socket.on('message', (data) => reader.parse(data));
    raw.socket.on('error', () => {});
    raw.socket.on('close', () => (raw.isClosed = true));
    await until('the socket is open', () => raw.socket.readyState === WebSocket.OPEN);
    const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
    raw.say({ cmd: 'connect', protocolId, protocolVersion, clean: true, keepalive: 60, clientId, ...more });
    await until('it is answered', () => raw.packets.length || raw.isClosed);
    return raw;
  }

  /** What CONNACK says. */
  get code() {
    return this.packets[0].returnCode ?? this.packets[0].reasonCode;
  }

  say(packet) {
    this.socket.send(generate(packet, { protocolVersion: this.version }));
  }

  /** Asks for a topic; its SUBACK, or none if that is the end. */
  async subscribe(topic, qos = 0) {
    const messageId = (this.#next += 1);
    this.say({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] });
    const answer = () => this.packets.find((p) => p.cmd === 'suback' && p.messageId === messageId);
    await until('it is answered', () => answer() || this.isClosed);
    return answer();
  }

  /** What came on topics: `[topic, payload]`. */
  get events() {
    return this.packets.filter((p) => p.cmd === 'publish').map((p) => [p.topic, JSON.parse(p.payload)]);
  }

  closed() {
    return until('it is closed', () => this.isClosed);
  }
}
