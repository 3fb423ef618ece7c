// What a device may not: every topic of another, every wildcard, what is retained; and how each is refused.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import mqtt from 'mqtt';
import { parser, writeToStream } from 'mqtt-packet';
import { apiKey, startConfigured, startServer } from '../../src/server.js';
import { until } from '../../src/until.js';
import { Device } from '../device.js';

const server = await startServer(undefined, { mqtt: true });
after(() => server.stop());

const foreign = [
  'tombolo/victim/response', 'tombolo/victim/request', 'tombolo/victim', 'tombolo/spy/request', 'tombolo/spy', 'tombolo',
  '#', '+', '+/+', '+/+/+', '+/+/response', '+/victim/response', 'tombolo/#', 'tombolo/+', 'tombolo/+/response', 'tombolo/victim/#',
  'tombolo/victim/+', 'tombolo/spy/+', 'tombolo/spy/#', 'tombolo/spy/response/#', '/#', '$SYS/#', '$SYS/broker/version',
  '$share/g/tombolo/victim/response', '$share/g/tombolo/spy/response', '$share/g/#', 'tombolo/victim:x/response',
];

for (const protocolVersion of [4, 5]) {
  test(`MQTT ${protocolVersion === 5 ? '5' : '3.1.1'}: nothing of another device is seen, by any filter`, async () => {
    const victim = await Device.open(server, 'victim', { protocolVersion });
    const spy = await Device.open(server, 'spy', { protocolVersion, listen: false });
    const codes = {};
    for (const filter of foreign) {
      const granted = await spy.client.subscribeAsync(filter, { qos: 1 }).catch((error) => error);
      codes[filter] = granted instanceof Error ? granted.code ?? 'refused' : granted[0].qos;
    }
    for (const [filter, code] of Object.entries(codes)) assert.ok(code === 'refused' || code >= 0x80, `${filter}: ${code}`);
    await victim.ask('mutation { createList(input: { title: "private" }) { id } }');
    await victim.ask('{ listLists { items { title } } }');
    assert.equal((await spy.client.subscribeAsync(spy.response, { qos: 1 }))[0].qos, 1);
    await spy.ask('{ __typename }');
    assert.ok(!JSON.stringify(spy.frames).includes('private'));
    assert.ok(spy.frames.every((frame) => frame.topic === spy.response));
    await Promise.all([victim.end(), spy.end()]);
  });
}

const violations = [
  ['publishing to another device', (c) => c.publishAsync('tombolo/victim/request', '{}', { qos: 1 }), 0x87, 'stays'],
  ['publishing to its own responses', (c) => c.publishAsync('tombolo/bad/response', '{}', { qos: 1 }), 0x87, 'stays'],
  ['the same with QoS 0', (c) => c.publishAsync('tombolo/victim/request', '{}', { qos: 0 }), 0x87, 'ends'],
  ['a response topic of another', (c) => c.publishAsync('tombolo/bad/request', '{}', { qos: 1, properties: { responseTopic: 'tombolo/victim/response' } }), 0x87, 'stays'],
];
for (const [name, act, code, then] of violations) {
  test(`MQTT 5: ${name} is refused with its code`, async () => {
    const device = await Device.open(server, 'bad');
    const ended = new Promise((resolve) => device.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
    const outcome = await act(device.client).then(() => undefined, (error) => error.code);
    if (then === 'stays') {
      assert.equal(outcome, code);
      assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
      await device.end();
    } else {
      assert.equal(await ended, code);
      await device.closed;
    }
  });
}

/** A connection whose packets are the test's own: a client would not send what the server has said it does not do. */
async function raw(at, id) {
  const socket = connect(at.mqttPort, '127.0.0.1');
  const packets = [];
  const read = parser({ protocolVersion: 5 });
  read.on('packet', (packet) => packets.push(packet));
  socket.on('data', (data) => read.parse(data));
  socket.on('error', () => {});
  const say = (packet) => writeToStream(packet, socket, { protocolVersion: 5 });
  say({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: id, keepalive: 60, username: 'x-api-key', password: Buffer.from(apiKey) });
  await until('it is connected', () => packets.length === 1);
  assert.equal(packets[0].reasonCode, 0);
  return { socket, packets, say };
}

test('MQTT 5: retained messages and QoS 2 end the connection with their codes', async () => {
  for (const [more, code] of [[{ retain: true, qos: 1, messageId: 1 }, 0x9a], [{ qos: 2, messageId: 1 }, 0x9b]]) {
    const { socket, packets, say } = await raw(server, 'raw');
    const { properties } = packets[0];
    assert.deepEqual([properties.maximumQoS, properties.retainAvailable, properties.wildcardSubscriptionAvailable, properties.sharedSubscriptionAvailable], [1, false, false, false]);
    say({ cmd: 'publish', topic: 'tombolo/raw/request', payload: '{}', ...more });
    await until('it is told', () => packets.length === 2);
    assert.deepEqual([packets[1].cmd, packets[1].reasonCode], ['disconnect', code]);
    await until('and closed', () => socket.closed || socket.readableEnded);
    socket.destroy();
  }
});

test('a device that acknowledges nothing has its window full of messages, and holds up nobody', async () => {
  const own = await startServer(undefined, { mqtt: true });
  const { socket, packets, say } = await raw(own, 'mute');
  say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'tombolo/mute/response', qos: 1 }] });
  await until('it listens', () => packets.length === 2);
  for (let i = 0; i < 30; i += 1) {
    const payload = JSON.stringify({ id: `${i}`, type: 'subscribe', payload: { query: '{ __typename }' } });
    say({ cmd: 'publish', topic: 'tombolo/mute/request', payload, qos: 0 });
  }
  const messages = () => packets.filter((packet) => packet.cmd === 'publish').length;
  await until('the window is full', () => messages() === 16);
  const other = await Device.open(own, 'other');
  assert.equal((await other.ask('{ __typename }')).__typename, 'Query');
  assert.equal(messages(), 16);
  const began = Date.now();
  assert.equal((await own.stop()).code, 0, 'in order');
  assert.ok(Date.now() - began < 15_000);
  socket.destroy();
});

test('MQTT 3.1.1: a foreign topic ends the connection', async () => {
  const device = await Device.open(server, 'bad3', { protocolVersion: 4 });
  device.client.publish('tombolo/victim/request', '{}', { qos: 1 });
  await device.closed;
});

test('a second connection under a client id takes the place of the first; another caller is not disturbed', async () => {
  const own = await startConfigured(
    '[[api_keys]]\nname = "a"\nkey = "the key of a, sixteen"\n[[api_keys]]\nname = "b"\nkey = "the key of b, sixteen"\n[mqtt]\nlisten = "127.0.0.1:0"\n',
  );
  const as = (key) => ({ password: `the key of ${key}, sixteen` });
  const first = await Device.open(own, 'same', as('a'));
  const other = await Device.open(own, 'same', as('b'));
  const told = new Promise((resolve) => first.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
  const second = await Device.open(own, 'same', as('a'));
  assert.equal(await told, 0x8e);
  for (const device of [other, second]) assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
  await Promise.all([other.end(), second.end()]);
  await own.stop();
});

for (const [name, options, four, five] of [
  ['a wrong key', { password: 'wrong' }, 4, 0x86],
  ['no credential', { username: undefined, password: undefined }, 5, 0x87],
  ['an id that names no device', { clientId: 'a/b' }, 2, 0x85],
  ['a will', { will: { topic: 'tombolo/x/response', payload: 'x' } }, 5, 0x83],
]) {
  test(`CONNECT with ${name} is refused with its code`, async () => {
    for (const [protocolVersion, code] of [[4, four], [5, five]]) {
      const error = await Device.open(server, 'x', { protocolVersion, ...options }).then(() => undefined, (e) => e);
      assert.equal(error?.code, code, `${protocolVersion}: ${error}`);
    }
  });
}

test('a client of MQTT 5 without an id gets one', async () => {
  const client = mqtt.connect(`mqtt://127.0.0.1:${server.mqttPort}`, { clientId: '', protocolVersion: 5, username: 'x-api-key', password: apiKey });
  const connack = await new Promise((resolve) => client.once('connect', resolve));
  const id = connack.properties.assignedClientIdentifier;
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal((await client.subscribeAsync(`tombolo/${id}/response`, { qos: 1 }))[0].qos, 1);
  await client.endAsync(true);
});
