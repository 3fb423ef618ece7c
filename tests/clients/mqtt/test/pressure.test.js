// What a device may do to the server with its haste or its silence: nothing but to itself, and an honest one is served.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { generate, parser, writeToStream } from 'mqtt-packet';
import { apiKey, startServer } from '../../src/server.js';
import { until } from '../../src/until.js';
import { Device } from '../device.js';

const server = await startServer(undefined, { mqtt: true });
after(() => server.stop());

/** A socket whose every packet is written by hand. */
class Raw {
  packets = [];
  constructor(protocolVersion) {
    this.protocolVersion = protocolVersion;
    this.socket = connect(server.mqttPort, '127.0.0.1');
    const read = parser({ protocolVersion });
    read.on('packet', (packet) => this.packets.push(packet));
    this.socket.on('data', (data) => read.parse(data));
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
  }

  say(packet) {
    writeToStream(packet, this.socket, { protocolVersion: this.protocolVersion });
  }

  /** Packets in one write. */
  sayAll(packets) {
    this.socket.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: this.protocolVersion }))));
  }

  connect(clientId, more = {}) {
    const { protocolVersion } = this;
    this.say({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clean: true, clientId, keepalive: 60, username: 'x-api-key', password: apiKey, ...more });
    return until('it is connected', () => this.packets.some((packet) => packet.cmd === 'connack'));
  }

  of(cmd) {
    return this.packets.filter((packet) => packet.cmd === cmd);
  }
}

const request = (device, id, query, messageId) => ({
  cmd: 'publish', topic: `tombolo/${device}/request`, qos: messageId ? 1 : 0, messageId, dup: false, retain: false,
  payload: JSON.stringify({ id, type: 'subscribe', payload: { query } }),
});

for (const protocolVersion of [4, 5]) {
  const name = protocolVersion === 5 ? 'MQTT 5' : 'MQTT 3.1.1';
  test(`${name}: more refusals than there is room for, in one write, are all told`, async () => {
    const device = await Device.open(server, `hasty-${protocolVersion}`, { protocolVersion });
    const ids = await Promise.all(Array.from({ length: 200 }, () => device.start('{ noSuchField }')));
    await until('all are answered', () => ids.every((id) => device.of(id).length === 1));
    assert.ok(device.frames.every((frame) => frame.type === 'error'));
    await device.end();
  });

  test(`${name}: acknowledgements that come behind the requests are read`, async () => {
    const raw = new Raw(protocolVersion);
    await raw.connect(`behind-${protocolVersion}`);
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `tombolo/behind-${protocolVersion}/response`, qos: 1 }] });
    await until('it listens', () => raw.of('suback').length === 1);
    const requests = Array.from({ length: 60 }, (_, i) => request(`behind-${protocolVersion}`, `q${i}`, '{ noSuchField }', i + 1));
    raw.sayAll(requests);
    await until('the window is full', () => raw.of('publish').length === 16);
    raw.say({ cmd: 'pingreq' });
    await until('it is answered', () => raw.of('pingresp').length === 1);
    const taken = new Set();
    await until('all come, once there is room', () => {
      for (const packet of raw.of('publish').filter((each) => !taken.has(each))) {
        taken.add(packet);
        raw.say({ cmd: 'puback', messageId: packet.messageId });
      }
      return raw.of('publish').length === 60 && raw.of('puback').length === 60;
    });
    // One that is stuck is taken over like any other.
    raw.sayAll(requests);
    const second = new Raw(protocolVersion);
    await second.connect(`behind-${protocolVersion}`);
    await raw.closed;
    second.socket.destroy();
  });

  test(`${name}: who waits for a listener that takes nothing is not taken for silent, and gets no acknowledgement`, async () => {
    const id = `waits-${protocolVersion}`;
    const listener = new Raw(protocolVersion);
    await listener.connect(id);
    listener.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `tombolo/${id}/response`, qos: 1 }] });
    await until('it listens', () => listener.of('suback').length === 1);
    listener.sayAll(Array.from({ length: 60 }, (_, i) => request(id, `q${i}`, '{ noSuchField }', i + 1)));
    await until('the window is full', () => listener.of('publish').length === 16);
    const publisher = new Raw(protocolVersion);
    await publisher.connect(`${id}:pub`, { keepalive: 1 });
    const title = `from ${id}`;
    publisher.sayAll(Array.from({ length: 8 }, (_, i) => request(id, `p${i}`, `mutation { createList(input: { title: "${title}" }) { id } }`, i + 1)));
    const since = Date.now();
    let pings = 0;
    const ping = () => {
      if (Date.now() - since < pings * 400) return;
      publisher.say({ cmd: 'pingreq' });
      pings += 1;
    };
    await until('three keep-alives are over', () => {
      ping();
      return Date.now() - since > 3_000;
    });
    await until('all pings are answered', () => publisher.of('pingresp').length === pings);
    assert.equal(publisher.of('puback').length, 0);
    // The listener goes: what it had not begun is carried out where it was said, and only then acknowledged.
    listener.socket.destroy();
    await until('all are acknowledged', () => {
      ping();
      return publisher.of('puback').length === 8;
    });
    const reader = await Device.open(server, `${id}-reader`, { protocolVersion });
    // Acknowledged is what is in the queue.
    const written = async () => (await reader.ask(`{ listLists(filter: { title: { eq: "${title}" } }) { items { id } } }`)).listLists.items.length;
    await until('all are carried out', async () => (await written()) >= 8);
    assert.equal(await written(), 8);
    publisher.socket.destroy();
    await reader.end();
  });
}

test('queries are in work until their answers are taken, and no more than 32 beyond what the window holds', async () => {
  const raw = new Raw(5);
  await raw.connect('asks');
  raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'tombolo/asks/response', qos: 1 }] });
  await until('it listens', () => raw.of('suback').length === 1);
  raw.sayAll(Array.from({ length: 200 }, (_, i) => request('asks', `q${i}`, '{ __typename }', i + 1)));
  await until('32 are begun', () => raw.of('puback').length >= 32);
  const other = await Device.open(server, 'asks-other');
  for (let i = 0; i < 20; i += 1) await other.ask('{ __typename }');
  // 16 frames in the window and a few before it are those of a dozen answers.
  assert.ok(raw.of('puback').length < 60, `${raw.of('puback').length}`);
  raw.socket.destroy();
  await other.end();
});

test('a device that sends more than may wait, and takes no answers, is given up; others go on', async () => {
  const raw = new Raw(5);
  await raw.connect('floods');
  raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'tombolo/floods/response', qos: 1 }] });
  await until('it listens', () => raw.of('suback').length === 1);
  const long = `{ noSuchField } ${'#'.repeat(100_000)}`;
  raw.sayAll(Array.from({ length: 50 }, (_, i) => request('floods', `q${i}`, long)));
  const other = await Device.open(server, 'floods-other');
  assert.equal((await other.ask('{ __typename }')).__typename, 'Query');
  await until('it is given up', () => raw.of('disconnect').length === 1, 45_000);
  assert.equal(raw.of('disconnect')[0].reasonCode, 0x97);
  assert.equal((await other.ask('{ __typename }')).__typename, 'Query');
  raw.socket.destroy();
  await other.end();
});

test('MQTT 5: a client that takes no topic aliases connects', async () => {
  const device = await Device.open(server, 'no-aliases', { properties: { topicAliasMaximum: 0 } });
  assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
  await device.end();
});

for (const carrier of ['tcp', 'ws']) {
  test(`MQTT 5 over ${carrier}: who sends more than the maximum in one packet is told so before the connection ends`, async () => {
    const device = await Device.open(server, `large-${carrier}`, { carrier });
    let told;
    device.client.once('disconnect', (packet) => (told = packet.reasonCode));
    const { maximumPacketSize } = device.connack.properties;
    // Nobody acknowledges it.
    device.client.publish(device.request, Buffer.alloc(maximumPacketSize), { qos: 1 });
    await device.closed;
    assert.equal(told, 0x95);
    await device.end();
  });
}

test('MQTT 3.1.1: QoS 2 with packet id 0 costs the connection alone', async () => {
  const raw = new Raw(4);
  await raw.connect('zero');
  const publish = generate({ ...request('zero', 'q', '{ __typename }', 1), qos: 2 });
  const at = publish.indexOf('tombolo/zero/request') + 'tombolo/zero/request'.length;
  publish.writeUInt16BE(0, at);
  raw.socket.write(Buffer.concat([publish, publish]));
  await raw.closed;
});

test('who shows nothing cannot make the server keep what it sends', async () => {
  const raw = new Raw(5);
  // A CONNECT that says it is 4 MB long, and goes on for longer than any CONNECT.
  raw.socket.write(Buffer.concat([Buffer.from([0x10, 0x80, 0x80, 0x80, 0x02, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5]), Buffer.alloc(80_000)]));
  await raw.closed;
});

const refusals = [
  ['a level that nobody knows', { protocolVersion: 5, patch: (bytes) => { bytes[8] = 9; } }, 0x84],
  ['Authentication Data without a method', { properties: { authenticationData: Buffer.from('x') } }, 0x82],
  ['an Authentication Method that nobody knows', { properties: { authenticationMethod: 'kerberos', authenticationData: Buffer.from('x') } }, 0x8c],
];
for (const [name, { patch, ...more }, code] of refusals) {
  test(`MQTT 5: ${name} is refused with its code`, async () => {
    const raw = new Raw(5);
    const bytes = generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'odd', keepalive: 60, username: 'x-api-key', password: apiKey, ...more });
    patch?.(bytes);
    raw.socket.write(bytes);
    await raw.closed;
    const [connack] = raw.packets;
    assert.equal(connack?.reasonCode ?? connack?.returnCode, code);
  });
}
