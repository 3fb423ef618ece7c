// Sessions that outlive their connections: what a device listens to goes on where it was, after a restart and a kill too.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startServer } from '../../src/server.js';
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
    await add('one');
    const live = await device.start(feed, { s: [{ model: 'List' }] });
    const batches = (of) => of.of(live).map((f) => f.payload.data.tomboloChanges);
    await until('the base sync is done', () => batches(device).some((b) => b.upToDate));
    await device.gone();
    await add('two');
    const { device: again } = await back(server, 'd', hour({ protocolVersion: 5 }));
    await until('the rest comes', () => batches(again).length > 0);
    assert.ok(batches(again).every((b) => !b.reset));
    assert.ok(batches(again).flatMap((b) => b.rows).length <= 2);
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

test('sessions: another caller with the same client id has a session of his own', () =>
  withServer(async (server) => {
    const device = await Device.open(server, 'd', hour({ protocolVersion: 5 }));
    await device.start(created);
    await device.gone();
    // DISCONNECT may not ask for what CONNECT did not.
    const plain = await Device.open(server, 'plain', { protocolVersion: 5 });
    const code = new Promise((resolve) => plain.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
    plain.client.endAsync(false, { properties: { sessionExpiryInterval: 60 } }).catch(() => {});
    assert.equal(await Promise.race([code, plain.closed.then(() => 'closed')]) === 0, false);
  }));
