// npm `mqtt`, both versions, over TCP and WebSocket: all kinds of operation, and a connection that comes back.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { startServer } from '../../src/server.js';
import { until } from '../../src/until.js';
import { Device, ways } from '../device.js';

const server = await startServer(undefined, { mqtt: true });
after(() => server.stop());
const created = 'subscription { onCreateList { id title } }';
const create = 'mutation ($title: String!) { createList(input: { title: $title }) { id title _version } }';

for (const way of ways) {
  test(`MQTT ${way.name}: query, mutation, live subscription, its end`, async () => {
    const device = await Device.open(server, `d-${way.protocolVersion}-${way.carrier}`, way);
    const live = await device.start(created);
    const list = (await device.ask(create, { title: way.name })).createList;
    assert.equal(list._version, 1);
    await until('the event comes', () => device.of(live).some((f) => f.payload.data.onCreateList.id === list.id));
    const { listLists } = await device.ask('{ listLists(limit: 1000) { items { id title } } }');
    assert.ok(listLists.items.some((l) => l.id === list.id && l.title === way.name));
    await device.say({ id: live, type: 'complete' });
    await device.ask(create, { title: 'after the end' });
    assert.equal(device.of(live).length, 1);
    assert.deepEqual(new Set(device.frames.map((f) => f.topic)), new Set([device.response]));
    await device.end();
  });

  test(`MQTT ${way.name}: QoS 0 both ways`, async () => {
    const device = await Device.open(server, `q0-${way.protocolVersion}-${way.carrier}`, { ...way, qos: 0 });
    const id = await device.start('{ __typename }', undefined, 0);
    await until('the answer comes', () => device.of(id).length === 2);
    assert.deepEqual(device.of(id).map((f) => f.type), ['next', 'complete']);
    await device.end();
  });

  test(`MQTT ${way.name}: many operations at once, each answered once`, async () => {
    const device = await Device.open(server, `many-${way.protocolVersion}-${way.carrier}`, way);
    const ids = await Promise.all(Array.from({ length: 200 }, (_, i) => device.start(create, { title: `n${i}` })));
    await until('all are answered', () => ids.every((id) => device.of(id).length === 2), 30_000);
    assert.ok(ids.every((id, i) => device.of(id)[0].payload.data.createList.title === `n${i}`));
    await device.end();
  });

  test(`MQTT ${way.name}: mistakes are told and cost no connection`, async () => {
    const device = await Device.open(server, `wrong-${way.protocolVersion}-${way.carrier}`, way);
    const refused = (text) => device.say(text).then(() => false, (error) => error.code === 0x99);
    assert.equal(await refused('no JSON'), way.protocolVersion === 5);
    await until('it is told', () => device.of('').length === 1);
    assert.equal(device.of('')[0].payload[0].errorType, 'MalformedHttpRequestException');
    await device.say({ type: 'connection_init' });
    await until('it is told', () => device.of('').length === 2);
    await device.say({ id: 'x', type: 'subscribe', payload: { query: '{ nope }' } });
    await until('it is told', () => device.of('x').length === 1);
    assert.equal(device.of('x')[0].type, 'error');
    const open = await device.start(created);
    await device.say({ id: open, type: 'subscribe', payload: { query: created } });
    await until('it is told', () => device.of(open).length === 1);
    assert.match(device.of(open)[0].payload[0].message, /is open/);
    assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
    await device.end();
  });
}

test('a request by one connection is answered to another of the same device', async () => {
  const listening = await Device.open(server, 'pair');
  const asking = await Device.open(server, 'pair:ask', { listen: false, protocolVersion: 4 });
  const id = await asking.start(create, { title: 'by the pair' });
  await until('the other one hears', () => listening.of(id).length === 2);
  assert.equal(asking.frames.length, 0);
  await listening.end();
  // While nobody listens a mutation is carried out all the same.
  await asking.start(create, { title: 'unheard' });
  await until('it is done', async () => {
    const { listLists } = await server.ask('{ listLists(limit: 1000) { items { title } } }');
    return listLists.items.some((list) => list.title === 'unheard');
  });
  await asking.end();
});

test('a slow device holds up nobody, and gets all of it', async () => {
  const slow = await Device.open(server, 'slow', { properties: { receiveMaximum: 1 } });
  const live = await slow.start(created);
  const quick = await Device.open(server, 'quick');
  for (let i = 0; i < 100; i += 1) await quick.ask(create, { title: `s${i}` });
  await until('all events came', () => slow.of(live).length === 100);
  assert.deepEqual(slow.of(live).map((f) => f.payload.data.onCreateList.title), Array.from({ length: 100 }, (_, i) => `s${i}`));
  await Promise.all([slow.end(), quick.end()]);
});

test('the server ends in order, and comes back', async () => {
  const own = await startServer(undefined, { mqtt: true });
  const [five, four] = [await Device.open(own, 'five'), await Device.open(own, 'four', { protocolVersion: 4 })];
  const told = new Promise((resolve) => five.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
  const { code } = await own.end();
  assert.equal(code, 0);
  assert.equal(await told, 0x8b);
  await Promise.all([five.closed, four.closed]);
  await own.start();
  const again = await Device.open(own, 'five');
  assert.equal((await again.ask('{ __typename }')).__typename, 'Query');
  await again.end();
  await own.stop();
});
