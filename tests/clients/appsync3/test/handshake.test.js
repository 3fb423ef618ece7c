// The SDK before it spoke AppSync's WebSocket: subscriptions by a hand-shake over HTTP, and then over MQTT 3.1.
import assert from 'node:assert/strict';
import { post } from '../../src/server.js';
import { until } from '../../src/until.js';
import { AUTH_TYPE, gql, hear, hold, it, links, shake } from '../client.js';

const CREATED = gql`subscription Created { onCreatePost { id title rating } }`;
const UPDATED = gql`subscription Updated { onUpdatePost { id title } }`;
const COMMENTED = gql`subscription Commented { onCreateComment { id content } }`;

const put = (w, input) => w.ask('mutation ($input: CreatePostInput!) { createPost(input: $input) { id } }', { input });
const ids = (heard) => heard.events.map((event) => event.id);

it('a subscription: hand-shake, MQTT 3.1, events by its own selection', async (w) => {
  const heard = await hear(w.client(), CREATED);
  const [{ status, headers, answer }] = w.shakes();
  assert.equal(status, 200);
  assert.match(headers['x-amz-user-agent'], /^aws-amplify\//);
  const { version, mqttConnections, newSubscriptions } = answer.extensions.subscription;
  const [{ url, topics, client }] = mqttConnections;
  assert.deepEqual(answer.data, { onCreatePost: null });
  assert.equal(version, '1.0.0');
  assert.equal(mqttConnections.length, 1);
  assert.ok(url.startsWith(`ws://127.0.0.1:${w.door.port}/mqtt?token=`), 'by the name that the client used');
  assert.ok(new URL(url).searchParams.get('token').length >= 43, '256 bits');
  assert.deepEqual(Object.keys(newSubscriptions), ['onCreatePost']);
  assert.deepEqual(topics, [newSubscriptions.onCreatePost.topic]);
  assert.ok(newSubscriptions.onCreatePost.expireTime > Date.now() + 3_600_000);

  assert.equal(heard.link.url, url);
  assert.equal(heard.link.socket.protocol, 'mqttv3.1');
  assert.deepEqual(heard.link.first.subarray(2, 14), Buffer.from('\x00\x06MQIsdp\x03\x02\x00\x3c', 'latin1'));
  const [connect, connack, subscribe, suback] = heard.link.packets;
  assert.equal(connect.clientId, client);
  assert.equal(connack.returnCode, 0);
  assert.deepEqual(subscribe.subscriptions, [{ topic: topics[0], qos: 0 }]);
  assert.deepEqual(suback.granted, [0]);

  await put(w, { id: 'p', title: 'a' });
  await until('it comes', () => heard.events.length === 1);
  assert.deepEqual({ ...heard.events[0] }, { id: 'p', title: 'a', rating: null, __typename: 'Post' });
  const publish = heard.link.packets.find((p) => p.cmd === 'publish');
  assert.equal(publish.qos, 0);
  assert.deepEqual(JSON.parse(publish.payload), { data: { onCreatePost: { ...heard.events[0] } } });
  heard.stop();
});

it('several models, each with a connection of its own, and they end one by one', async (w) => {
  const client = w.client();
  const all = [await hear(client, CREATED), await hear(client, UPDATED), await hear(client, COMMENTED)];
  assert.equal(links.length, 3);
  assert.equal(new Set(links.map(({ packets }) => packets[0].clientId)).size, 3, 'none takes another one\'s place');
  await put(w, { id: 'p', title: 'a' });
  await w.ask('mutation { updatePost(input: { id: "p", title: "b", _version: 1 }) { id } }');
  await w.ask('mutation { createComment(input: { id: "c", postID: "p", content: "x" }) { id } }');
  await until('each has its own', () => all.every((heard) => heard.events.length === 1));
  assert.deepEqual(all.map((heard) => ids(heard)), [['p'], ['p'], ['c']]);
  all[0].stop();
  await until('it says goodbye', () => links[0].packets.some((p) => p.out && p.cmd === 'disconnect'));
  await put(w, { id: 'q', title: 'a' });
  await w.ask('mutation { createComment(input: { id: "d", postID: "q", content: "y" }) { id } }');
  await until('the others live', () => all[2].events.length === 2);
  assert.deepEqual(all[0].events.length, 1);
  all.slice(1).forEach((heard) => heard.stop());
});

it('the same subscription twice, and twenty at once', async (w) => {
  const client = w.client();
  const all = await Promise.all(Array.from({ length: 20 }, () => hear(client, CREATED, undefined, { wait: false })));
  await until('all are acknowledged', () => links.filter(({ packets }) => packets.some((p) => p.cmd === 'suback')).length === 20);
  await put(w, { id: 'p', title: 'a' });
  await until('each has it', () => all.every((heard) => heard.events.length === 1));
  assert.deepEqual(all.flatMap((heard) => heard.errors), []);
  all.forEach((heard) => heard.stop());
});

it('a filter, and an alias', async (w) => {
  const query = gql`subscription S($filter: ModelSubscriptionPostFilterInput) { fresh: onCreatePost(filter: $filter) { id } }`;
  const heard = await hear(w.client(), query, { filter: { or: [{ rating: { gt: 5 } }, { title: { beginsWith: 'x' } }] } });
  const [{ answer }] = w.shakes();
  assert.deepEqual(Object.keys(answer.extensions.subscription.newSubscriptions), ['fresh']);
  assert.deepEqual(answer.data, { fresh: null });
  for (const post of [{ id: 'a', title: 'y', rating: 1 }, { id: 'b', title: 'y', rating: 6 }, { id: 'c', title: 'xy' }]) await put(w, post);
  await until('both come', () => heard.events.length === 2);
  assert.deepEqual(ids(heard), ['b', 'c']);
  heard.stop();
});

it('nothing is lost between the hand-shake and SUBACK', async (w) => {
  const release = hold();
  const heard = await hear(w.client(), CREATED, undefined, { wait: false });
  await until('the hand-shake is answered', () => w.shakes()[0]?.answer);
  for (let i = 0; i < 20; i += 1) await put(w, { id: `p${i}`, title: 't' });
  assert.deepEqual(heard.events, []);
  release();
  await until('all come', () => heard.events.length === 20);
  await put(w, { id: 'last', title: 't' });
  await until('and what is new', () => heard.events.length === 21);
  assert.deepEqual(ids(heard), [...Array.from({ length: 20 }, (_, i) => `p${i}`), 'last']);
  heard.stop();
});

it('unsubscribed and subscribed again: what was between is not told', async (w) => {
  const client = w.client();
  const first = await hear(client, CREATED);
  first.stop();
  await until('the connection ends', () => links[0].socket.readyState === WebSocket.CLOSED);
  await put(w, { id: 'between', title: 'a' });
  const second = await hear(client, CREATED);
  await put(w, { id: 'p', title: 'a' });
  await until('it comes', () => second.events.length === 1);
  assert.deepEqual(ids(second), ['p']);
  assert.deepEqual(first.events, []);
  second.stop();
});

it('a connection that is lost is told, and the hand-shake done again', async (w) => {
  const client = w.client();
  const first = await hear(client, CREATED);
  await w.door.shut();
  await until('it is told', () => first.errors.length === 1);
  await w.door.open();
  const second = await hear(client, CREATED);
  await put(w, { id: 'p', title: 'a' });
  await until('it comes', () => second.events.length === 1);
  second.stop();
});

it('a server that ends and begins again', async (w) => {
  const client = w.client();
  const first = await hear(client, CREATED);
  const late = await shake(w.server.url, 'subscription { onCreatePost { id } }');
  assert.equal((await w.server.end()).code, 0, 'connections do not hold it up');
  await until('it is told', () => first.errors.length === 1);
  await w.server.start();
  const second = await hear(client, CREATED);
  await put(w, { id: 'p', title: 'a' });
  await until('it comes', () => second.events.length === 1);
  second.stop();
  const { Raw } = await import('../raw.js');
  const [{ url, client: id }] = late.body.extensions.subscription.mqttConnections;
  assert.equal((await Raw.open(url, id)).code, 5, 'a token of before is unknown');
});

it('a wrong key is 401, and not tried again', async (w) => {
  const heard = await hear(w.client({ auth: { type: AUTH_TYPE.API_KEY, apiKey: 'wrong' } }), CREATED);
  assert.equal(heard.errors[0].networkError?.statusCode ?? heard.errors[0].statusCode, 401);
  assert.equal(w.door.requests.length, 1);
  assert.equal(links.length, 0);
});

it('a field that there is not is an error of the hand-shake', async (w) => {
  const heard = await hear(w.client(), gql`subscription N { onNothing { id } }`);
  assert.match(heard.errors[0].message, /Error during subscription handshake|undefined/);
  const [{ answer }] = w.shakes();
  assert.match(answer.errors[0].message, /Field 'onNothing' in type 'Subscription' is undefined/);
  assert.equal(answer.extensions, undefined);
  assert.equal(links.length, 0);
});

it('who is none of these SDKs, and POSTs a subscription, is told his mistake as ever', async (w) => {
  const query = 'subscription { onCreatePost { id } }';
  const plain = await post(w.server.url, query);
  assert.deepEqual([plain.status, plain.body.errors[0].errorType], [400, 'UnsupportedOperation']);
  for (const [accept, status] of [['application/graphql-response+json', 400], ['text/event-stream', 406], ['multipart/mixed', 406]]) {
    for (const sdk of [{}, { 'x-amz-user-agent': 'aws-amplify/2.0.1' }]) {
      const { body, ...answer } = await post(w.server.url, query, undefined, { accept, ...sdk });
      assert.deepEqual([answer.status, body.extensions], [status, undefined], accept);
    }
  }
  const got = await fetch(`${w.server.url}?query=${encodeURIComponent(query)}`, { headers: { 'x-api-key': 'clients-test-key', 'x-amz-user-agent': 'x' } });
  assert.equal(got.status, 400);
});

it('the feed of replicas is not had this way', async (w) => {
  const { status, body } = await shake(w.server.url, 'subscription { tomboloChanges(scopes: [{ model: "Post" }]) { rows } }');
  assert.ok(body.errors?.length, JSON.stringify(body));
  assert.equal(body.extensions, undefined);
  assert.equal(status, 200);
});
