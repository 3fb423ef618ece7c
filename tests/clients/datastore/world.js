// One case's world: a server and its data, a door before it, and the DataStore of one generation, empty and configured.
import { test } from 'node:test';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Door } from '../src/door.js';
import { forget, frames, network, sockets } from '../src/environment.js';
import { post, startServer } from '../src/server.js';
import { until } from '../src/until.js';

const schemaFile = join(dirname(fileURLToPath(import.meta.url)), 'schema.graphql');

/** `it(name, async (world) => …)` for the client `g`; each case has a server and a local store of its own. */
export function cases(g, schema = schemaFile) {
  return (name, run, options = {}) =>
    test(`${g.name}: ${name}`, { timeout: 60_000 }, async () => {
      const world = await World.make(g, schema, options);
      try {
        await run(world);
      } catch (error) {
        if (process.env.TOMBOLO_EVENTS) console.log(world.links.join(' '), world.events.map((e) => `${e.event} ${JSON.stringify(e.data?.active ?? e.data?.isEmpty ?? '')}`).join('\n'));
        error.message += `\n--- errors told to the app: ${JSON.stringify(world.errors)}`;
        throw error;
      } finally {
        await world.end();
      }
    });
}

class World {
  errors = [];
  events = [];
  /** What the client says of its socket. */
  links = [];

  static async make(g, schema, { configure = {}, identity, begin = () => startServer(schema) } = {}) {
    const world = new World();
    world.g = g;
    world.models = g.models;
    world.modelNames = g.modelNames;
    world.DataStore = g.DataStore;
    world.server = await begin();
    world.door = await Door.to(world.server.port);
    forget();
    world.quiet = g.Hub.listen('datastore', ({ payload }) => world.events.push(payload));
    const link = g.Hub.listen('api', ({ payload }) => world.links.push(payload.data?.connectionState));
    const { quiet } = world;
    world.quiet = () => (quiet(), link());
    g.configure(world.door.url, {}, identity);
    world.configure(configure);
    return world;
  }

  /** Every option at its default, but those. */
  configure(options = {}) {
    // A conflict handler stays until there is another; without one the client has its own.
    this.DataStore.conflictHandler = undefined;
    // Inside `DataStore`, or an earlier case's error handler would stay.
    const all = {
      storageAdapter: this.g.Adapter,
      errorHandler: (error) => this.errors.push({ type: error.errorType, message: error.message, operation: error.operation }),
      maxRecordsToSync: 10_000,
      syncPageSize: 1_000,
      fullSyncInterval: 24 * 60,
      syncExpressions: [],
      ...options,
    };
    this.DataStore.configure({ DataStore: all });
  }

  async end() {
    network(true);
    this.quiet();
    await soon('the client stops', this.DataStore.stop());
    // Version 5 gives a sync that was broken off for one without records, and goes on with it after `stop`: in a store that is
    // cleared meanwhile it fails on its own metadata. That takes no network any more, and so no time, but turns of the loop.
    const turns = this.g.name === 'aws-amplify 5' ? 200 : 0;
    for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
    await soon('the client clears its store', this.DataStore.clear());
    sockets.forEach((socket) => socket.terminate());
    await this.door.shut();
    await this.server.stop();
  }

  /** Starts the client and waits until its first sync is done and, if `live`, its subscriptions stand. */
  async start({ live = true } = {}) {
    const from = this.events.length;
    forget();
    await this.DataStore.start();
    await until('the client is ready', () => this.events.slice(from).some((e) => e.event === 'ready'));
    if (live) await this.live();
  }

  /** Waits until every model's three subscriptions are acknowledged since the client was started. */
  async live(count = 3 * this.modelNames.length) {
    await until(`${count} subscriptions stand`, () => acknowledged() >= count);
  }

  /** No network, as the system tells the app, and in truth. */
  async offline() {
    network(false);
    await this.door.shut();
  }

  /** The network is back; the client has caught up and, if `live`, its subscriptions stand again. */
  async online({ live = true } = {}) {
    const from = this.events.length;
    forget();
    await this.door.open();
    network(true);
    await until('the client has synced', () => this.events.slice(from).some((e) => e.event === 'syncQueriesReady'));
    if (live) await this.live();
  }

  /** Saves, and waits until the change stands in the client's outbox. */
  async save(record, condition) {
    return this.#enqueued(() => this.DataStore.save(record, condition));
  }

  /** Changes a record of the client as `edit` says. */
  async change(record, edit, condition) {
    return this.save(record.constructor.copyOf(record, edit), condition);
  }

  async remove(record, condition) {
    return this.#enqueued(() => this.DataStore.delete(record, condition));
  }

  async #enqueued(act) {
    const count = () => this.events.filter((e) => e.event === 'outboxMutationEnqueued').length;
    const before = count();
    const saved = await act();
    await until('the change is in the outbox', () => count() > before);
    return saved;
  }

  /** Waits until nothing is in the client's outbox. */
  async sent() {
    const { DataStore } = this;
    // A mutation that was refused leaves the outbox without an event.
    await until('the outbox is empty', async () => (await DataStore.sync.outbox.getModelIds(DataStore.storage)).size === 0);
  }

  /** The client's record with `id` (or all), once it is as `look` wants it. */
  async shows(model, id, look = (found) => found) {
    return until(`the client's ${model.name} ${JSON.stringify(id ?? 'list')} is as it should be`, async () => {
      const found = await this.DataStore.query(model, id);
      return (await look(found)) && (found ?? true);
    });
  }

  /** Waits until the client has no such record. */
  async lacks(model, id) {
    await this.shows(model, id, (found) => found === undefined);
  }

  // Another client of the same server, on its own way to it.

  ask(query, variables) {
    return this.server.ask(query, variables);
  }

  /** The same with a token, where the key does not do. */
  async askAs(token, query, variables) {
    const { status, body } = await post(this.server.url, query, variables, { authorization: token });
    if (status !== 200 || body.errors) throw new Error(`${query}: ${status} ${JSON.stringify(body)}`);
    return body.data;
  }

  async put(model, input, more = '') {
    const query = `mutation ($input: Create${model}Input!) { out: create${model}(input: $input) { _version ${more} } }`;
    return (await this.ask(query, { input })).out;
  }

  /** Many at once. */
  async putAll(model, inputs) {
    const SIZE = 200;
    for (let at = 0; at < inputs.length; at += SIZE) {
      const some = inputs.slice(at, at + SIZE);
      const heads = some.map((_, i) => `$i${i}: Create${model}Input!`).join(', ');
      const fields = some.map((_, i) => `r${i}: create${model}(input: $i${i}) { _version }`).join(' ');
      await this.ask(`mutation (${heads}) { ${fields} }`, Object.fromEntries(some.map((input, i) => [`i${i}`, input])));
    }
  }

  async patch(model, input) {
    const query = `mutation ($input: Update${model}Input!) { out: update${model}(input: $input) { _version } }`;
    return (await this.ask(query, { input })).out;
  }

  async drop(model, input) {
    const query = `mutation ($input: Delete${model}Input!) { out: delete${model}(input: $input) { _version } }`;
    return (await this.ask(query, { input })).out;
  }

  /** The server's record, or null; `key` is an id or the key's fields. */
  async row(model, key, fields) {
    const by = typeof key === 'object' ? key : { id: key };
    const inline = Object.entries(by).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
    const query = `{ out: get${model}(${inline.join(', ')}) { ${fields} _version _deleted _lastChangedAt } }`;
    return (await this.ask(query)).out;
  }
}

/** The client's stopping waits for what it has begun; a case that leaves it hanging is told, not waited for. */
async function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`in vain: ${what}`)), 15_000)));
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function acknowledged() {
  return frames.filter((f) => !f.out && f.message.type === 'start_ack').length;
}
