// `aws-appsync` 4.1 in Node: a local storage, and a client for each case.
import { network } from '../src/environment.js';
import { test } from 'node:test';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Door } from '../src/door.js';
import { forget, sockets } from '../src/environment.js';
import { Memory } from '../src/memory.js';
import { apiKey, startServer } from '../src/server.js';

globalThis.self = globalThis;
globalThis.localStorage = window.localStorage = new Memory();
globalThis.navigator ??= window.navigator;

const require = createRequire(import.meta.url);
const { default: AWSAppSyncClient, AUTH_TYPE, buildSync, buildMutation, createAppSyncLink } = require('aws-appsync');
export const { default: gql } = require('graphql-tag');
export { AUTH_TYPE, AWSAppSyncClient, buildMutation, buildSync, createAppSyncLink };

const schema = join(dirname(fileURLToPath(import.meta.url)), '../datastore/schema.graphql');

/** One case: a server, a door before it, and clients of it. */
export function it(name, run) {
  test(`aws-appsync 4.1: ${name}`, { timeout: 60_000 }, async () => {
    const server = await startServer(schema);
    const door = await Door.to(server.port);
    forget();
    const world = {
      server,
      door,
      /** A client with those options; without `disableOffline` it has a queue of its own in `storage`. */
      client: (options = {}, more) =>
        new AWSAppSyncClient(
          {
            url: door.url,
            region: 'us-east-1',
            auth: { type: AUTH_TYPE.API_KEY, apiKey },
            disableOffline: true,
            offlineConfig: { storage: new Memory(), keyPrefix: name },
            ...options,
          },
          more,
        ),
      ask: (query, variables) => server.ask(query, variables),
    };
    try {
      await run(world);
    } finally {
      network(true);
      sockets.forEach((socket) => socket.terminate());
      await door.shut();
      await server.stop();
    }
  });
}
