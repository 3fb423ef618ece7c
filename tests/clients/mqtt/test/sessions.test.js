// Sessions that outlive their connections: what a device listens to goes on where it was, after a restart and a kill too.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'mqtt-packet';
import { startPool } from '../../src/pool.js';
import { startConfigured, startServer } from '../../src/server.js';
import { until } from '../../src/until.js';
import { Device, ways } from '../device.js';

const create = 'mutation ($title: String!) { createList(input: { title: $title }) { id } }';
const created = 'subscription { onCreateList { id title } }';

/** How either version asks for a session of an hour, or for a new one. */
const hour = (way, clean = false) => ({
  ...way,
  clean,
  ...(way.protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
});

/** A device that connects under its session and subscribes to nothing: the session has its topic. */
async function back(server, id, options) {
  let present;
  const device = await Device.open(server, id, { ...options, listen: false });
  present = device.connack.sessionPresent;
  return { device, present };
}

const titles = (device, id) => device.of(id).map((f) => f.payload.data.onCreateList.title);

async function withServer(run) {
  const server = await startServer(undefined, { mqtt: true });
  try {
    const other = await Device.open(server, 'other');
    const add = async (title) => (await other.ask(create, { title })).createList;
    await run(server, add, other);
  } finally {
    await server.stop();
  }
}

for (const way of ways) {
  test(`sessions ${way.name}: what happened while the device was away comes when it is back`, () =>
    withServer(async (server, add) => {
      const device = await Device.open(server, 'd', hour(way));
      assert.equal(device.connack.sessionPresent, false);
      const live = await device.start(created);
      await add('one');
      await until('one comes', () => titles(device, live).length === 1);
      await device.gone();
      for (const title of ['two', 'three']) await add(title);
      const again = await back(server, 'd', hour(way));
      assert.equal(again.present, true);
      await until('both come', () => titles(again.device, live).includes('three'));
      const told = titles(again.device, live);
      assert.deepEqual(told.filter((title) => title !== 'one'), ['two', 'three']);
      await add('four');
      await until('it is live', () => titles(again.device, live).at(-1) === 'four');
    }));
}

for (const signal of ['SIGTERM', 'SIGKILL']) {
  for (const way of ways.filter((w) => w.carrier === 'tcp')) {
    test(`sessions ${way.name}: the server ends by ${signal}; nothing is passed over`, async () => {
      const server = await startServer(undefined, { mqtt: true });
      try {
        const device = await Device.open(server, 'd', hour(way));
        const live = await device.start(created);
        const filtered = await device.start('subscription { onCreateList(filter: { title: { eq: "two" } }) { id title } }');
        const other = await Device.open(server, 'other');
        await other.ask(create, { title: 'one' });
        await until('one comes', () => titles(device, live).length === 1);
        // Gone without a word, so that what comes next is told to nobody.
        await device.gone();
        await other.ask(create, { title: 'two' });
        await other.gone();
        await server.end(signal);
        await server.start();
        const writer = await Device.open(server, 'other');
        await writer.ask(create, { title: 'three' });
        const { device: again, present } = await back(server, 'd', hour(way));
        assert.equal(present, true);
        await until('three comes', () => titles(again, live).includes('three'));
        const told = titles(again, live).filter((title) => title !== 'one');
        assert.deepEqual(told, ['two', 'three']);
        await until('two comes there, too', () => titles(again, filtered).includes('two'));
        assert.deepEqual(titles(again, filtered), ['two']);
        await writer.ask(create, { title: 'four' });
        await until('it is live', () => titles(again, live).at(-1) === 'four');
      } finally {
        await server.stop();
      }
    });
  }
}

test('sessions: a server that is killed with the device connected forgets nothing that it had acknowledged', async () => {
  const server = await startServer(undefined, { mqtt: true });
  try {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const ids = [];
    for (let i = 0; i < 20; i += 1) ids.push(await device.start(created));
    await device.say({ id: ids[0], type: 'complete' });
    await server.end('SIGKILL');
    await server.start();
    const { device: again, present } = await back(server, 'd', hour({ protocolVersion: 5 }));
    assert.equal(present, true);
    const other = await Device.open(server, 'other');
    await other.ask(create, { title: 'x' });
    await until('all are told', () => ids.slice(1).every((id) => titles(again, id).includes('x')));
    assert.deepEqual(again.of(ids[0]), []);
  } finally {
    await server.stop();
  }
});

test('sessions: what was sent and not acknowledged is sent again', () =>
  withServer(async (server, add) => {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const live = await device.start(created);
    await add('one');
    await until('one comes', () => titles(device, live).length === 1);
    // From now on nothing is acknowledged.
    device.client.handleMessage = () => {};
    await add('two');
    await until('two comes', () => titles(device, live).includes('two'));
    await device.gone();
    const { device: again } = await back(server, 'd', hour({ protocolVersion: 5 }));
    await until('two comes again', () => titles(again, live).includes('two'));
  }));

test('sessions: the same subscription once more is the one that goes on; another under its id is refused', () =>
  withServer(async (server, add) => {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    await device.say({ id: 's', type: 'subscribe', payload: { query: created } });
    await device.gone();
    const { device: again } = await back(server, 'd', hour({ protocolVersion: 5 }));
    await again.say({ id: 's', type: 'subscribe', payload: { query: created } });
    await add('one');
    await until('it comes', () => titles(again, 's').length > 0);
    assert.deepEqual(titles(again, 's'), ['one']);
    await again.say({ id: 's', type: 'subscribe', payload: { query: 'subscription { onDeleteList { id } }' } });
    await until('it is refused', () => again.of('s').some((f) => f.type === 'error'));
  }));

test('sessions: a clean start ends what was there, for good', () =>
  withServer(async (server, add) => {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const live = 'of before';
    await device.say({ id: live, type: 'subscribe', payload: { query: created } });
    await device.gone();
    const clean = await back(server, 'd', hour({ protocolVersion: 5 }, true));
    assert.equal(clean.present, false);
    await clean.device.gone();
    const { device: again, present } = await back(server, 'd', hour({ protocolVersion: 5 }));
    assert.equal(present, true, 'the new one');
    await again.client.subscribeAsync(again.response, { qos: 1 });
    await add('one');
    await again.ask('{ __typename }');
    assert.deepEqual(again.of(live), []);
  }));

test('sessions: one that ends with its connection is not there afterwards', () =>
  withServer(async (server) => {
    for (const expiry of [undefined, 0]) {
      const options = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: expiry } };
      const device = await Device.open(server, 'd', options);
      await device.start(created);
      await device.gone();
      assert.equal((await back(server, 'd', options)).present, false);
    }
    // DISCONNECT says so.
    const device = await Device.open(server, 'e', hour({ protocolVersion: 5 }));
    await device.client.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
    await device.closed;
    assert.equal((await back(server, 'e', hour({ protocolVersion: 5 }))).present, false);
  }));

test('sessions: a time that is over is over', () =>
  withServer(async (server) => {
    const options = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 1 } };
    const device = await Device.open(server, 'd', options);
    await device.start(created);
    await device.gone();
    const gone = Date.now();
    // What is waited for is the time itself.
    while (Date.now() - gone < 2_500) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await back(server, 'd', options)).present, false);
  }));

/** What is waited for is the time itself. */
const passes = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`sessions: a time that is over is over for the next process, too (${signal})`, async () => {
    const seconds = (expiry) => ({ protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: expiry } });
    // A killed process has written down when a device went once SAVE_INTERVAL has passed; one that is ended does it then.
    const [written, short] = signal === 'SIGTERM' ? [0, 3] : [11_500, 14];
    const server = await startServer(undefined, { mqtt: true });
    try {
      const devices = { short: seconds(short), long: seconds(3600) };
      for (const [id, options] of Object.entries(devices)) {
        const device = await Device.open(server, id, options);
        await device.start(created);
        await device.gone();
      }
      const gone = Date.now();
      await passes(written);
      await server.end(signal);
      await passes(gone + short * 1000 + 500 - Date.now());
      await server.start();
      // Counted from when the process began it would not be over yet.
      assert.equal((await back(server, 'short', devices.short)).present, false);
      assert.equal((await back(server, 'long', devices.long)).present, true);
    } finally {
      await server.stop();
    }
  });
}

test('sessions: of a device that was connected when the server was killed the time begins with the next process', async () => {
  const server = await startServer(undefined, { mqtt: true });
  try {
    const seconds = (expiry) => ({ protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: expiry } });
    const devices = { missed: seconds(4), 'in time': seconds(4), long: seconds(3600) };
    for (const [id, options] of Object.entries(devices)) await (await Device.open(server, id, options)).start(created);
    await server.end('SIGKILL');
    await passes(5_000);
    await server.start();
    const began = Date.now();
    assert.equal((await back(server, 'in time', devices['in time'])).present, true);
    await passes(began + 5_000 - Date.now());
    // Nothing has swept meanwhile: it is the row itself that says so.
    assert.equal((await back(server, 'missed', devices.missed)).present, false);
    assert.equal((await back(server, 'long', devices.long)).present, true);
  } finally {
    await server.stop();
  }
});

test('sessions: longer than a week is a week, and CONNACK says so', () =>
  withServer(async (server) => {
    const options = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } };
    const device = await Device.open(server, 'd', options);
    assert.equal(device.connack.properties.sessionExpiryInterval, 7 * 24 * 3600);
  }));

test('sessions: whoever takes a session over has all of it, and the one before changes nothing more', () =>
  withServer(async (server, add) => {
    const first = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const live = await first.start(created);
    await add('one');
    await until('one comes', () => titles(first, live).length === 1);
    const { device: second, present } = await back(server, 'd', hour({ protocolVersion: 5 }));
    assert.equal(present, true);
    await first.closed;
    await add('two');
    await until('two comes', () => titles(second, live).includes('two'));
    await second.gone();
    await add('three');
    const { device: third } = await back(server, 'd', hour({ protocolVersion: 5 }));
    await until('three comes', () => titles(third, live).includes('three'));
  }));

test('sessions: the feed goes on from its cursor', () =>
  withServer(async (server, add) => {
    const feed = 'subscription ($s: [TomboloScopeInput!]!) { tomboloChanges(scopes: $s) { model cursor upToDate reset rows } }';
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    for (let i = 0; i < 10; i += 1) await add(`before ${i}`);
    const live = 'feed';
    await device.say({ id: live, type: 'subscribe', payload: { query: feed, variables: { s: [{ model: 'List' }] } } });
    const batches = (of) => of.of(live).map((f) => f.payload.data.tomboloChanges);
    const rows = (of) => batches(of).flatMap((b) => b.rows).map((row) => JSON.stringify(row));
    await until('the base sync is done', () => batches(device).some((b) => b.upToDate));
    assert.equal(rows(device).length, 10);
    await device.gone();
    await add('missed');
    const { device: again } = await back(server, 'd', hour({ protocolVersion: 5 }));
    await until('the rest comes', () => rows(again).some((row) => row.includes('"missed"')));
    await again.ask('{ __typename }');
    assert.ok(batches(again).every((b) => !b.reset));
    // A batch that was not acknowledged may come again; the base sync does not.
    assert.ok(rows(again).length < 10, rows(again).join());
  }));

test('sessions: no more than 64 KiB of subscriptions are kept; one more is refused and told', () =>
  withServer(async (server) => {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const long = `subscription { onCreateList(filter: { title: { eq: "${'x'.repeat(20_000)}" } }) { id } }`;
    const ids = [];
    for (let i = 0; i < 4; i += 1) ids.push(await device.start(long));
    await until('the last is refused', () => device.of(ids[3]).some((f) => f.type === 'error'));
    assert.equal(device.of(ids[3])[0].payload[0].errorType, 'LimitExceeded');
    assert.deepEqual(ids.slice(0, 3).flatMap((id) => device.of(id)), []);
    await device.say({ id: ids[0], type: 'complete' });
    const fits = await device.start(long);
    await device.ask('{ __typename }');
    assert.deepEqual(device.of(fits), []);
  }));

test('sessions: another caller with the same client id has a session of his own', async () => {
  // Two keys are two callers.
  const keys = { ann: 'key-of-ann-for-tests', bob: 'key-of-bob-for-tests' };
  const lines = Object.entries(keys).map(([name, key]) => `[[api_keys]]\nname = "${name}"\nkey = "${key}"\n`).join('');
  const server = await startConfigured(`[auth]\ndefault = "API_KEY"\n${lines}[mqtt]\nlisten = "127.0.0.1:0"\n`);
  const of = (name, clean) => ({ ...hour({ protocolVersion: 5 }, clean), password: keys[name] });
  const live = 'of ann';
  try {
    const ann = await Device.open(server, 'd', of('ann'));
    await ann.say({ id: live, type: 'subscribe', payload: { query: created } });
    const bob = await Device.open(server, 'd', of('bob'));
    assert.equal(bob.connack.sessionPresent, false);
    await ann.ask('{ __typename }');
    await ann.gone();
    // Neither what he does nor how he goes is about anybody else's.
    await bob.say({ id: live, type: 'complete' });
    await bob.gone();
    const { device: again, present } = await back(server, 'd', of('bob'));
    assert.equal(present, true, 'his own');
    await again.ask(create, { title: 'one' });
    assert.deepEqual(again.of(live), []);
    await again.gone();
    const clean = await back(server, 'd', of('bob', true));
    assert.equal(clean.present, false);
    await clean.device.client.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
    const first = await back(server, 'd', of('ann'));
    assert.equal(first.present, true);
    await until('what came meanwhile comes', () => titles(first.device, live).length === 1);
    assert.deepEqual(titles(first.device, live), ['one']);
  } finally {
    await server.stop();
  }
});

test('sessions: DISCONNECT may not ask for what CONNECT did not', () =>
  withServer(async (server) => {
    const plain = await Device.open(server, 'plain', { protocolVersion: 5 });
    const code = new Promise((resolve) => plain.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
    // By hand: the client would close its side without a look at the answer.
    plain.client.stream.write(generate({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 60 } }, { protocolVersion: 5 }));
    assert.equal(await Promise.race([code, plain.closed.then(() => 'closed')]), 0x82);
    await plain.closed;
    assert.equal((await back(server, 'plain', hour({ protocolVersion: 5 }))).present, false);
  }));

test('sessions: a device that listens no more is told nothing when it is back, after a kill either', async () => {
  const server = await startServer(undefined, { mqtt: true });
  try {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    const live = 'of before';
    await device.say({ id: live, type: 'subscribe', payload: { query: created } });
    await device.client.unsubscribeAsync(device.response);
    await server.end('SIGKILL');
    await server.start();
    const other = await Device.open(server, 'other');
    await other.ask(create, { title: 'one' });
    const { device: again, present } = await back(server, 'd', hour({ protocolVersion: 5 }));
    assert.equal(present, true);
    const heard = await other.start(created);
    await other.ask(create, { title: 'two' });
    await until('others are told', () => titles(other, heard).includes('two'));
    // Requests are acknowledged all the same; whatever there was to be told would have been before these.
    for (let i = 0; i < 5; i += 1) await again.say({ id: 'none', type: 'complete' });
    assert.deepEqual(again.frames, []);
    // It is open, and is told once there is somebody to tell.
    await again.client.subscribeAsync(again.response, { qos: 1 });
    await other.ask(create, { title: 'three' });
    await until('three comes', () => titles(again, live).includes('three'));
  } finally {
    await server.stop();
  }
});

/** A server with these models, in a file that can be written anew, for users of a pool. */
async function startForUsers(pool, text) {
  const schema = join(mkdtempSync(join(tmpdir(), 'tombolo-sessions-')), 'schema.graphql');
  writeFileSync(schema, text);
  const lines = `[[issuers]]\nissuer = "${pool.url}"\nmode = "AMAZON_COGNITO_USER_POOLS"\nclient_id = "app"\n[mqtt]\nlisten = "127.0.0.1:0"\n`;
  return startConfigured(lines, schema, { kept: true });
}

const user = (pool, name, groups) => ({
  ...hour({ protocolVersion: 5 }),
  username: 'authorization',
  password: pool.tokens(name, { groups }).accessToken,
});

test('sessions: what another connection of the device has asked for is kept if its rights are those of the session', async () => {
  const pool = await startPool();
  const server = await startForUsers(pool, 'type Secret @model @auth(rules: [{ allow: groups, groups: ["admin"] }, { allow: owner }]) { id: ID! }\n');
  const subscription = 'subscription { onCreateSecret(owner: "ann") { id } }';
  const told = (device, id) => device.of(id).map((f) => f.payload.data?.onCreateSecret.id ?? f.type);
  try {
    const listener = await Device.open(server, 'd', user(pool, 'ann'));
    const same = await Device.open(server, 'd:same', { ...user(pool, 'ann'), listen: false });
    const other = await Device.open(server, 'd:other', { ...user(pool, 'ann', ['admin']), listen: false });
    await same.say({ id: 'same', type: 'subscribe', payload: { query: subscription } });
    await other.say({ id: 'other', type: 'subscribe', payload: { query: subscription } });
    const add = (id) => listener.say({ id: `m ${id}`, type: 'subscribe', payload: { query: `mutation { createSecret(input: { id: "${id}" }) { id } }` } });
    await add('s1');
    await until('both are open', () => ['same', 'other'].every((id) => told(listener, id).includes('s1')));
    for (const each of [same, other, listener]) await each.gone();
    const { device: again, present } = await back(server, 'd', user(pool, 'ann'));
    assert.equal(present, true);
    await again.ask('mutation { createSecret(input: { id: "s2" }) { id } }');
    await until('the one of the same rights goes on', () => told(again, 'same').includes('s2'));
    await again.ask('{ __typename }');
    assert.deepEqual(told(again, 'other'), []);
  } finally {
    await server.stop();
    await pool.stop();
  }
});

const ending = 'ends with an error, told until the device has it, and never again';

test(`sessions: a subscription whose model is gone ${ending}`, async () => {
  const pool = await startPool();
  const model = (name, more = '') => `type ${name} @model${more} @auth(rules: [{ allow: private }]) { id: ID! }\n`;
  const server = await startForUsers(pool, model('Stays') + model('Goes'));
  try {
    const device = await Device.open(server, 'd', user(pool, 'ann'));
    await device.say({ id: 'stays', type: 'subscribe', payload: { query: 'subscription { onCreateStays { id } }' } });
    await device.say({ id: 'goes', type: 'subscribe', payload: { query: 'subscription { onCreateGoes { id } }' } });
    await device.ask('{ __typename }');
    assert.deepEqual(device.of('goes'), []);
    await server.end('SIGTERM');
    // Nothing of the data goes; its subscriptions do.
    writeFileSync(server.schema, model('Stays') + model('Goes', '(subscriptions: null)'));
    await server.start();
    await endsOnce(server, pool, 'goes', []);
    const { device: again } = await back(server, 'd', user(pool, 'ann'));
    await again.ask('mutation { createStays(input: { id: "one" }) { id } }');
    await until('the other one goes on', () => again.of('stays').length > 0);
    assert.deepEqual(again.of('stays').map((f) => f.payload.data?.onCreateStays.id), ['one']);
    assert.deepEqual(again.of('goes'), []);
  } finally {
    await server.stop();
    await pool.stop();
  }
});

test(`sessions: a subscription that the device's rights of now do not allow ${ending}`, async () => {
  const pool = await startPool();
  const server = await startForUsers(pool, 'type Note @model @auth(rules: [{ allow: groups, groups: ["admin"] }]) { id: ID! }\n');
  try {
    const device = await Device.open(server, 'd', user(pool, 'ann', ['admin']));
    await device.say({ id: 'notes', type: 'subscribe', payload: { query: 'subscription { onCreateNote { id } }' } });
    await device.ask('mutation { createNote(input: { id: "one" }) { id } }');
    await until('it is open', () => device.of('notes').length === 1);
    await device.gone();
    const admin = await Device.open(server, 'admin', user(pool, 'eve', ['admin']));
    await admin.ask('mutation { createNote(input: { id: "two" }) { id } }');
    await endsOnce(server, pool, 'notes', []);
    // With the rights of before neither: it is over.
    await isOver(server, 'notes', user(pool, 'ann', ['admin']));
  } finally {
    await server.stop();
    await pool.stop();
  }
});

/** Of the device `d` of ann, who has these groups now. */
async function endsOnce(server, pool, id, groups) {
  const options = user(pool, 'ann', groups);
  // The first time it is not acknowledged, and so it is told again.
  const told = [];
  const note = (_, payload) => told.push(JSON.parse(payload.toString()));
  const deaf = await back(server, 'd', { ...options, customHandleAcks: note });
  assert.equal(deaf.present, true);
  await until('the error comes', () => told.some((f) => f.id === id));
  await deaf.device.gone();
  const { device } = await back(server, 'd', options);
  await until('it comes again', () => device.of(id).length > 0);
  await device.ask('{ __typename }');
  assert.deepEqual(device.of(id).map((f) => f.type), ['error']);
  assert.ok(device.of(id)[0].payload[0].message);
  await device.gone();
  await isOver(server, id, options);
}

/** Nothing more is told under this id. */
async function isOver(server, id, options) {
  const { device, present } = await back(server, 'd', options);
  assert.equal(present, true);
  await device.ask('{ __typename }');
  assert.deepEqual(device.of(id), []);
  await device.gone();
}
