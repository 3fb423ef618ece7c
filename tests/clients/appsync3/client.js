// `aws-appsync` 3.0.1 in Node: sockets whose packets can be looked at and held back, and a client for each case.
import { network } from '../src/environment.js';
import { test } from 'node:test';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parser } from 'mqtt-packet';
import { WebSocket as NodeSocket } from 'ws';
import { Door } from '../src/door.js';
import { Memory } from '../src/memory.js';
import { apiKey, post, startServer } from '../src/server.js';
import { until } from '../src/until.js';

/** Every socket of the client since the case began, in order: `{ url, protocol, packets: [{ out, … }], first }`. */
export const links = [];
/** While this is a promise, nothing is sent by a socket: the hand-shake is answered, and nobody has connected. */
let held = null;

/** Holds back what sockets send; what it gives lets it go. */
export function hold() {
  let release;
  held = new Promise((resolve) => {
    release = () => {
      held = null;
      resolve();
    };
  });
  return release;
}

class Socket extends NodeSocket {
  constructor(url, protocols) {
    super(url, protocols);
    const packets = [];
    const read = (out) => {
      const reader = parser({ protocolVersion: 3 });
      reader.on('packet', (packet) => packets.push({ out, ...packet }));
      return (data) => reader.parse(Buffer.from(data));
    };
    this.link = { url, protocols, packets, socket: this };
    this.parse = read(true);
    links.push(this.link);
    this.on('message', read(false));
    this.on('error', () => {});
  }

  async send(data, ...rest) {
    await held;
    this.link.first ??= Buffer.from(data);
    this.parse(data);
    super.send(data, ...rest);
  }
}

globalThis.WebSocket = Socket;
globalThis.self = globalThis;
globalThis.localStorage = window.localStorage = new Memory();
globalThis.navigator ??= window.navigator;

const require = createRequire(import.meta.url);
const { default: AWSAppSyncClient, AUTH_TYPE } = require('aws-appsync');
export const { default: gql } = require('graphql-tag');
export { AUTH_TYPE };

export const schema = join(dirname(fileURLToPath(import.meta.url)), 'schema.graphql');

let clients = 0;

/** One case: a server that `begin` starts, a door before it, and clients of it. */
export function it(name, run, { begin = () => startServer(schema) } = {}) {
  test(`aws-appsync 3.0.1: ${name}`, { timeout: 60_000 }, async () => {
    const server = await begin();
    const door = await Door.to(server.port);
    links.length = 0;
    held = null;
    const world = {
      server,
      door,
      /** A client with those options; without `disableOffline` it has a queue of its own. */
      client: (options = {}) =>
        new AWSAppSyncClient({
          url: door.url,
          region: 'us-east-1',
          auth: { type: AUTH_TYPE.API_KEY, apiKey },
          disableOffline: true,
          offlineConfig: { storage: new Memory(), keyPrefix: `${name} ${(clients += 1)}` },
          ...options,
        }),
      ask: (query, variables) => server.ask(query, variables),
      /** The hand-shake's answers so far. */
      shakes: () => door.requests.filter((r) => /^\s*subscription/.test(r.query)),
    };
    try {
      await run(world);
    } finally {
      network(true);
      links.forEach(({ socket }) => socket.terminate());
      await door.shut();
      await server.stop();
    }
  });
}

/** Subscribes; waits until the topic is acknowledged or the hand-shake refused, unless told not to. */
export async function hear(client, query, variables, { wait = true } = {}) {
  const heard = { events: [], results: [], errors: [] };
  const before = links.length;
  const subscription = client.subscribe({ query, variables }).subscribe({
    next: (result) => {
      heard.results.push(result);
      heard.events.push(Object.values(result.data).find((value) => value));
    },
    error: (error) => heard.errors.push(error),
  });
  heard.stop = () => subscription.unsubscribe();
  if (wait) {
    await until('it is acknowledged or refused', () => heard.errors.length || links.slice(before).some(({ packets }) => packets.some((p) => p.cmd === 'suback')));
    heard.link = links[before];
  }
  return heard;
}

/** The hand-shake by hand, as the SDK's link does it. */
export const shake = (url, query, variables, headers = {}) => post(url, query, variables, { 'x-amz-user-agent': 'aws-amplify/2.0.1', ...headers });
