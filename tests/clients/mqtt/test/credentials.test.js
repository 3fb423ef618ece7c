// Who is calling: tokens that end, tokens that are renewed without a new connection, and the WebSocket's own headers.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parser, writeToStream } from 'mqtt-packet';
import { apiKey, startConfigured } from '../../src/server.js';
import { startPool } from '../../src/pool.js';
import { until } from '../../src/until.js';
import { Device } from '../device.js';

const pool = await startPool();
const server = await startConfigured(
  `[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n[[issuers]]\nissuer = "${pool.url}"\nmode = "AMAZON_COGNITO_USER_POOLS"\nclient_id = "app"\n[mqtt]\nlisten = "127.0.0.1:0"\n`,
);
after(() => server.stop());
test('a token by user name and password; the connection ends with it', async () => {
  const bad = await Device.open(server, 'ann', { username: 'authorization', password: 'no token' }).then(() => undefined, (e) => e.code);
  assert.equal(bad, 0x86);
  const { accessToken } = pool.tokens('ann', { seconds: 3 });
  const device = await Device.open(server, 'ann', { username: 'authorization', password: accessToken });
  const told = new Promise((resolve) => device.client.once('disconnect', (packet) => resolve(packet.reasonCode)));
  assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
  assert.equal(await told, 0x87);
  await device.closed;
});

test('MQTT 5: a fresh token renews the connection; another caller’s does not', async () => {
  const socket = connect(server.mqttPort, '127.0.0.1');
  const packets = [];
  const read = parser({ protocolVersion: 5 });
  read.on('packet', (packet) => packets.push(packet));
  socket.on('data', (data) => read.parse(data));
  const say = (packet) => writeToStream(packet, socket, { protocolVersion: 5 });
  const authenticate = (token) => ({ authenticationMethod: 'authorization', authenticationData: Buffer.from(token) });
  const short = Date.now() + 4_000;
  say({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'bob', keepalive: 60, properties: authenticate(pool.tokens('bob', { seconds: 4 }).accessToken) });
  await until('it is connected', () => packets.length === 1);
  assert.deepEqual([packets[0].reasonCode, packets[0].properties.authenticationMethod], [0, 'authorization']);
  say({ cmd: 'auth', reasonCode: 0x19, properties: authenticate(pool.tokens('bob').accessToken) });
  await until('it is renewed', () => packets.length === 2);
  assert.deepEqual([packets[1].cmd, packets[1].reasonCode], ['auth', 0]);
  await until('the first one has ended', () => Date.now() > short + 1_500);
  say({ cmd: 'pingreq' });
  await until('it lives', () => packets.length === 3);
  assert.equal(packets[2].cmd, 'pingresp');
  say({ cmd: 'auth', reasonCode: 0x19, properties: authenticate(pool.tokens('eve').accessToken) });
  await until('it is told', () => packets.length === 4);
  assert.deepEqual([packets[3].cmd, packets[3].reasonCode], ['disconnect', 0x87]);
  socket.destroy();
});

test('the WebSocket’s headers count where CONNECT shows nothing', async () => {
  const { accessToken } = pool.tokens('cid');
  const nothing = { username: undefined, password: undefined, carrier: 'ws' };
  const device = await Device.open(server, 'cid', { ...nothing, wsOptions: { headers: { authorization: accessToken } } });
  assert.equal((await device.ask('{ __typename }')).__typename, 'Query');
  await device.end();
  const refused = await Device.open(server, 'cid', nothing).then(() => undefined, (e) => e.code);
  assert.equal(refused, 0x87);
});

/** A connection of MQTT 5 with a token, by hand. */
async function byToken(at, id, token) {
  const socket = connect(at.mqttPort, '127.0.0.1');
  const packets = [];
  const read = parser({ protocolVersion: 5 });
  read.on('packet', (packet) => packets.push(packet));
  socket.on('data', (data) => read.parse(data));
  socket.on('error', () => {});
  const say = (packet) => writeToStream(packet, socket, { protocolVersion: 5 });
  const authenticate = (fresh) => ({ authenticationMethod: 'authorization', authenticationData: Buffer.from(fresh) });
  say({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: id, keepalive: 60, properties: authenticate(token) });
  await until('it is connected', () => packets.length === 1);
  const ask = (name, query) => say({ cmd: 'publish', topic: `tombolo/${id.split(':')[0]}/request`, qos: 1, messageId: 7, payload: JSON.stringify({ id: name, type: 'subscribe', payload: { query } }) });
  const listen = async () => {
    say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `tombolo/${id}/response`, qos: 0 }] });
    await until('it listens', () => packets.some((packet) => packet.cmd === 'suback'));
  };
  const frames = () => packets.filter((packet) => packet.cmd === 'publish').map((packet) => JSON.parse(packet.payload.toString()));
  return { socket, packets, say, ask, listen, frames, renew: (fresh) => say({ cmd: 'auth', reasonCode: 0x19, properties: authenticate(fresh) }) };
}

const secrets = 'type Secret @model @auth(rules: [{ allow: groups, groups: ["admin"] }, { allow: owner }]) { id: ID! title: String }\n';

test('MQTT 5: a fresh token with other rights ends the connection: what is open was allowed by the rights of before', async () => {
  const own = await startSecrets();
  const ann = await byToken(own, 'phone', pool.tokens('ann', { groups: ['admin'] }).accessToken);
  await ann.listen();
  ann.ask('s', 'subscription { onCreateSecret { id } }');
  ann.renew(pool.tokens('ann', { groups: ['admin'] }).accessToken);
  await until('the same rights renew', () => ann.packets.some((packet) => packet.cmd === 'auth'));
  ann.renew(pool.tokens('ann').accessToken);
  await until('fewer end', () => ann.packets.some((packet) => packet.cmd === 'disconnect'));
  assert.equal(ann.packets.find((packet) => packet.cmd === 'disconnect').reasonCode, 0x87);
  ann.socket.destroy();
  await own.stop();
});

test('what another connection of the device answers is asked with the rights of the one that asks', async () => {
  const own = await startSecrets();
  const eve = await byToken(own, 'eve', pool.tokens('eve').accessToken);
  await eve.listen();
  eve.ask('m', 'mutation { createSecret(input: { id: "e1", title: "eve’s" }) { id } }');
  await until('it is there', () => eve.frames().some((frame) => frame.type === 'complete'));
  const listener = await byToken(own, 'dev', pool.tokens('ann', { groups: ['admin'] }).accessToken);
  await listener.listen();
  const plain = await byToken(own, 'dev:pub', pool.tokens('ann', { seconds: 4 }).accessToken);
  plain.ask('d', 'mutation { deleteSecret(input: { id: "e1" }) { id } }');
  await until('it is answered', () => listener.frames().some((frame) => frame.id === 'd'));
  assert.match(JSON.stringify(listener.frames().find((frame) => frame.id === 'd')), /Unauthorized/);
  // Its subscription ends with its own token, and the listener's connection does not.
  plain.ask('s', 'subscription { onCreateSecret(owner: "ann") { id } }');
  await until('it has ended', () => listener.frames().some((frame) => frame.id === 's' && frame.type === 'error'));
  assert.match(JSON.stringify(listener.frames().find((frame) => frame.id === 's')), /UnauthorizedException.*Token has expired/);
  listener.ask('q', '{ listSecrets { items { id } } }');
  await until('it is answered', () => listener.frames().some((frame) => frame.id === 'q'));
  assert.equal(listener.frames().find((frame) => frame.id === 'q').payload.data.listSecrets.items.length, 1);
  for (const each of [eve, listener, plain]) each.socket.destroy();
  await own.stop();
});

function startSecrets() {
  const schema = join(mkdtempSync(join(tmpdir(), 'tombolo-secrets-')), 'schema.graphql');
  writeFileSync(schema, secrets);
  return startConfigured(`[[issuers]]\nissuer = "${pool.url}"\nmode = "AMAZON_COGNITO_USER_POOLS"\nclient_id = "app"\n[mqtt]\nlisten = "127.0.0.1:0"\n`, schema);
}
