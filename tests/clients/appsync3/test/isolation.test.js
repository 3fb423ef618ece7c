// What a connection may not: every topic but its own, another one's token, a token twice or too late.
import assert from 'node:assert/strict';
import { apiKey, startConfigured } from '../../src/server.js';
import { until } from '../../src/until.js';
import { it, schema, shake } from '../client.js';
import { Raw } from '../raw.js';

const QUERY = 'subscription { onCreatePost { id } }';
const REFUSED = 5;

/** A hand-shake: where to connect to, as whom, and for what. */
async function ticket(w, query = QUERY) {
  const { status, body } = await shake(w.server.url, query);
  assert.equal(status, 200, JSON.stringify(body));
  const [{ url, client, topics }] = body.extensions.subscription.mqttConnections;
  return { url, client, topic: topics[0] };
}

const put = (w, id) => w.ask('mutation ($id: ID) { createPost(input: { id: $id, title: "a" }) { id } }', { id });

for (const protocolVersion of [3, 4, 5]) {
  it(`by hand, MQTT ${{ 3: '3.1', 4: '3.1.1', 5: '5' }[protocolVersion]}: a topic asked for with QoS 1 is given with QoS 0`, async (w) => {
    const { url, client, topic } = await ticket(w);
    const raw = await Raw.open(url, client, { protocolVersion });
    assert.equal(raw.code, 0);
    await put(w, 'before');
    assert.deepEqual((await raw.subscribe(topic, 1)).granted, [0]);
    await put(w, 'after');
    await until('both come', () => raw.events.length === 2);
    assert.deepEqual(raw.events, ['before', 'after'].map((id) => [topic, { data: { onCreatePost: { id } } }]));
    raw.say({ cmd: 'pingreq' });
    await until('a ping is answered', () => raw.packets.some((p) => p.cmd === 'pingresp'));
    raw.say({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [topic] });
    await until('it is acknowledged', () => raw.packets.some((p) => p.cmd === 'unsuback'));
    await put(w, 'gone');
    assert.equal(await raw.subscribe(topic), undefined, 'it is over');
    assert.equal(raw.events.length, 2);
  });
}

it('a foreign topic ends the connection, without a word of it', async (w) => {
  const victim = await ticket(w);
  for (const foreign of [victim.topic, '#', '+', '+/+', 'appsync/#', 'appsync/+', `${victim.topic}/#`, 'tombolo/victim/response', '$SYS/#', `$share/g/${victim.topic}`]) {
    const own = await ticket(w);
    const raw = await Raw.open(own.url, own.client);
    assert.equal(await raw.subscribe(foreign), undefined, foreign);
    assert.deepEqual(raw.packets.map((p) => p.cmd), ['connack'], foreign);
    assert.equal((await Raw.open(own.url, own.client)).code, REFUSED, 'its token is used up');
  }
  await put(w, 'p');
  const raw = await Raw.open(victim.url, victim.client);
  await raw.subscribe(victim.topic);
  await until('whose it is has missed nothing', () => raw.events.length === 1);
});

it('one foreign topic among others ends it too', async (w) => {
  const own = await ticket(w);
  const raw = await Raw.open(own.url, own.client);
  raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: own.topic, qos: 0 }, { topic: '#', qos: 0 }] });
  await raw.closed();
  assert.deepEqual(raw.packets.map((p) => p.cmd), ['connack']);
});

it('a token is for one client id, one connection, and says nothing of others', async (w) => {
  const [ann, bob] = [await ticket(w), await ticket(w, 'subscription { onCreateComment { id } }')];
  for (const [url, client] of [[ann.url, bob.client], [bob.url, ann.client], [ann.url, 'x']]) {
    assert.equal((await Raw.open(url, client)).code, REFUSED, client);
  }
  const first = await Raw.open(ann.url, ann.client);
  assert.equal(first.code, 0, 'another id has not used it up');
  await first.subscribe(ann.topic);
  const second = await Raw.open(ann.url, ann.client);
  assert.equal(second.code, REFUSED, 'nobody takes its place');
  await second.closed();
  await put(w, 'p');
  await until('it lives', () => first.events.length === 1);
});

it('a token that was never given is refused, whatever else is shown', async (w) => {
  const at = `ws://127.0.0.1:${w.server.port}/mqtt`;
  const { url, client } = await ticket(w);
  const token = new URL(url).searchParams.get('token');
  const key = { username: 'x-api-key', password: Buffer.from(apiKey) };
  for (const query of ['?token=', '?token', `?token=${token.slice(0, -1)}`, `?token=${token}=`, `?token=${'A'.repeat(token.length)}`, `?token=x&token=${token}`]) {
    assert.equal((await Raw.open(at + query, client, key)).code, REFUSED, query);
  }
  assert.equal((await Raw.open(at, client)).code, REFUSED, 'without one it is a device, and has no credential');
  assert.equal((await Raw.open(at, 'device', key)).code, 0, 'as a device that has one');
  assert.equal((await Raw.open(url, client)).code, 0);
});

it('nothing is published here, and no will left', async (w) => {
  const own = await ticket(w);
  const raw = await Raw.open(own.url, own.client);
  await raw.subscribe(own.topic);
  raw.say({ cmd: 'publish', topic: own.topic, payload: '{"data":{"onCreatePost":{"id":"made up"}}}', qos: 0 });
  await raw.closed();
  assert.deepEqual(raw.events, []);
  const other = await ticket(w);
  const will = { topic: other.topic, payload: Buffer.from('x'), qos: 0, retain: false };
  assert.equal((await Raw.open(other.url, other.client, { will })).code, REFUSED);
});

it('who comes when what he missed is no longer remembered is told none of it, and that it is over', async (w) => {
  const own = await ticket(w);
  // More than the 32 MiB of recent changes that the server remembers.
  const title = 'x'.repeat(380_000);
  for (let i = 0; i < 100; i += 1) await w.ask('mutation ($title: String!) { createPost(input: { title: $title }) { id } }', { title });
  const raw = await Raw.open(own.url, own.client);
  assert.deepEqual((await raw.subscribe(own.topic)).granted, [0]);
  await raw.closed();
  assert.deepEqual(raw.events, []);
});

it('a connection on which nothing is subscribed to is ended', async (w) => {
  const own = await ticket(w);
  const raw = await Raw.open(own.url, own.client);
  assert.equal(raw.code, 0);
  await raw.closed();
}, { begin: () => startConfigured(`[limits]\ninit_timeout_ms = 2000\n[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n`, schema) });

it('a token that nobody has used in time is refused', async (w) => {
  const [soon, late] = [await ticket(w), await ticket(w)];
  assert.equal((await Raw.open(soon.url, soon.client)).code, 0);
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  assert.equal((await Raw.open(late.url, late.client)).code, REFUSED);
}, { begin: () => startConfigured(`[limits]\nticket_hold_ms = 2000\n[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n`, schema) });

it('no token is logged', async (w) => {
  const { url, client, topic } = await ticket(w);
  const raw = await Raw.open(url, client);
  await raw.subscribe(topic);
  await put(w, 'p');
  await until('it comes', () => raw.events.length === 1);
  // What is no packet is logged, if anything of a connection is.
  raw.socket.send(Buffer.from([0xf0, 0x00]));
  await raw.closed();
  await w.server.end();
  assert.ok(w.server.said().includes('DEBUG'), 'all is logged that can be');
  assert.ok(!w.server.said().includes(new URL(url).searchParams.get('token')));
}, { begin: () => startConfigured(`[log]\nfilter = "trace"\n[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n`, schema) });
