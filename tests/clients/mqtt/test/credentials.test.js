// Who is calling: tokens that end, tokens that are renewed without a new connection, and the WebSocket's own headers.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
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
