// The legacy AppSync SDK: Apollo over HTTP, the WebSocket link with its credentials in the query, and its offline store.
import assert from 'node:assert/strict';
import { frames, network, sockets } from '../../src/environment.js';
import { until } from '../../src/until.js';
import { AUTH_TYPE, buildMutation, buildSync, gql, it } from '../client.js';

const LIST = gql`query List($limit: Int) { listPosts(limit: $limit) { items { id title rating _version _deleted } nextToken } }`;
const GET = gql`query Get($id: ID!) { getPost(id: $id) { id title rating } }`;
const CREATE = gql`mutation Create($input: CreatePostInput!) { createPost(input: $input) { id title rating _version _deleted } }`;
const UPDATE = gql`mutation Update($input: UpdatePostInput!) { updatePost(input: $input) { id title rating _version _deleted } }`;
const CREATED = gql`subscription Created { onCreatePost { id title rating _version _deleted } }`;

const create = (input) => ({ mutation: CREATE, variables: { input } });
const put = (w, input) => w.ask('mutation ($input: CreatePostInput!) { createPost(input: $input) { id } }', { input });

/** Subscribes, and waits until the server has acknowledged it or refused it. The SDK tries a refused one again, and again. */
async function hear(client, query, variables) {
  const acks = () => frames.filter((f) => /^(start_ack|error|connection_error)$/.test(f.message.type)).length;
  const before = acks();
  const events = [];
  const errors = [];
  const subscription = client.subscribe({ query, variables }).subscribe({
    next: (event) => events.push(Object.values(event.data)[0]),
    error: (error) => errors.push(error),
  });
  await until('it is acknowledged', () => acks() > before || errors.length);
  return { events, errors, stop: () => subscription.unsubscribe() };
}

it('a query, with its name and the type names that Apollo adds', async (w) => {
  await put(w, { id: 'p', title: 'a', rating: 3 });
  const { data } = await w.client().query({ query: GET, variables: { id: 'p' } });
  assert.deepEqual({ ...data.getPost }, { id: 'p', title: 'a', rating: 3, __typename: 'Post' });
  const asked = w.door.requests.at(-1);
  assert.ok(asked.query.includes('__typename'));
  assert.equal(asked.headers['x-api-key'], 'clients-test-key');
});

it('a list and its pages', async (w) => {
  for (let i = 0; i < 5; i += 1) await put(w, { id: `p${i}`, title: 't' });
  const { data } = await w.client().query({ query: LIST, variables: { limit: 2 } });
  assert.equal(data.listPosts.items.length, 2);
  assert.equal(data.listPosts.__typename, 'ModelPostConnection');
  assert.equal(typeof data.listPosts.nextToken, 'string');
});

it('a mutation', async (w) => {
  const { data } = await w.client().mutate(create({ title: 'a', tags: ['x'] }));
  assert.equal(data.createPost._version, 1);
  assert.equal((await w.ask(`{ getPost(id: "${data.createPost.id}") { title } }`)).getPost.title, 'a');
});

it('a GraphQL error rejects the mutation, with its type', async (w) => {
  await put(w, { id: 'p', title: 'a' });
  const error = await w.client().mutate(create({ id: 'p', title: 'b' })).then(() => assert.fail(), (e) => e);
  assert.equal(error.graphQLErrors[0].errorType, 'ConditionalCheckFailedException');
});

it('a wrong key is 401 and not tried again', async (w) => {
  const client = w.client({ auth: { type: AUTH_TYPE.API_KEY, apiKey: 'wrong' } });
  const error = await client.query({ query: LIST, fetchPolicy: 'network-only' }).then(() => assert.fail(), (e) => e);
  assert.equal(error.networkError.statusCode, 401);
  assert.equal(w.door.requests.length, 1);
  assert.equal(w.door.requests[0].answer.errors[0].errorType, 'UnauthorizedException');
});

it('a subscription: credentials in the query string, events by its own selection', async (w) => {
  const heard = await hear(w.client(), CREATED);
  assert.match(sockets[0].url, /\/graphql\/realtime\?header=[^&]+&payload=/);
  assert.equal(sockets[0].protocol, 'graphql-ws');
  await put(w, { id: 'p', title: 'a' });
  await until('it comes', () => heard.events.length === 1);
  assert.deepEqual({ ...heard.events[0] }, { id: 'p', title: 'a', rating: null, _version: 1, _deleted: null, __typename: 'Post' });
  heard.stop();
});

it('a subscription with a filter', async (w) => {
  const query = gql`subscription S($filter: ModelSubscriptionPostFilterInput) { onCreatePost(filter: $filter) { id } }`;
  const heard = await hear(w.client(), query, { filter: { or: [{ rating: { gt: 5 } }, { title: { beginsWith: 'x' } }] } });
  for (const post of [{ id: 'a', title: 'y', rating: 1 }, { id: 'b', title: 'y', rating: 6 }, { id: 'c', title: 'xy' }]) await put(w, post);
  await until('both come', () => heard.events.length === 2);
  assert.deepEqual(heard.events.map((e) => e.id), ['b', 'c']);
  heard.stop();
});

it('three subscriptions share one socket, and end one by one', async (w) => {
  const client = w.client();
  const all = [
    await hear(client, CREATED),
    await hear(client, gql`subscription U { onUpdatePost { id _version } }`),
    await hear(client, gql`subscription D { onDeletePost { id _deleted } }`),
  ];
  assert.equal(sockets.length, 1);
  await put(w, { id: 'p', title: 'a' });
  await w.ask('mutation { updatePost(input: { id: "p", title: "b", _version: 1 }) { id } }');
  await w.ask('mutation { deletePost(input: { id: "p", _version: 2 }) { id } }');
  await until('each has one', () => all.every((h) => h.events.length === 1));
  assert.equal(all[1].events[0]._version, 2);
  assert.equal(all[2].events[0]._deleted, true);
  all[0].stop();
  await until('it is completed', () => frames.some((f) => !f.out && f.message.type === 'complete'));
  await put(w, { id: 'q', title: 'a' });
  await w.ask('mutation { updatePost(input: { id: "q", title: "b", _version: 1 }) { id } }');
  await until('the others live', () => all[1].events.length === 2);
  assert.equal(all[0].events.length, 1);
  all.slice(1).forEach((h) => h.stop());
});

it('a subscription to what does not exist is an error of that one only', async (w) => {
  const client = w.client();
  const good = await hear(client, CREATED);
  const bad = await hear(client, gql`subscription N { onNothing { id } }`);
  const refusal = frames.find((f) => f.message.type === 'error').message;
  assert.match(refusal.payload.errors[0].message, /Field 'onNothing' in type 'Subscription' is undefined/);
  assert.ok(frames.some((f) => f.out && f.message.type === 'start' && f.message.id === refusal.id), 'it names its own');
  bad.stop();
  await put(w, { id: 'p', title: 'a' });
  await until('the good one lives', () => good.events.length === 1);
  good.stop();
});

it('a subscription with a wrong key is refused', async (w) => {
  const heard = await hear(w.client({ auth: { type: AUTH_TYPE.API_KEY, apiKey: 'wrong' } }), CREATED);
  heard.stop();
  const refusal = frames.find((f) => f.message.type === 'connection_error');
  assert.equal(refusal.message.payload.errors[0].errorType, 'UnauthorizedException');
});

/** A client with an offline store, hydrated, that knows it has a network. */
async function stored(w) {
  const client = await w.client({ disableOffline: false }).hydrated();
  await until('it is online', () => client._store.getState().offline.online);
  return client;
}

/** Optimistic, offline: what the SDK calls a mutation with an optimistic response. */
const offlineCreate = (client, input) =>
  client.mutate({
    ...create(input),
    optimisticResponse: { createPost: { __typename: 'Post', rating: null, _version: 0, _deleted: null, ...input } },
  });

it('the offline queue: a mutation without a network waits, and is sent when it is back', async (w) => {
  const client = await stored(w);
  network(false);
  await w.door.shut();
  const sent = offlineCreate(client, { id: 'p', title: 'a' });
  await assert.rejects(fetch(w.door.url), 'there is no network');
  assert.equal((await w.ask('{ getPost(id: "p") { id } }')).getPost, null);
  await w.door.open();
  network(true);
  await sent;
  await until('it is there', async () => (await w.ask('{ getPost(id: "p") { id } }')).getPost?.id === 'p');
});

it('the offline queue: many mutations keep their order', async (w) => {
  const client = await stored(w);
  network(false);
  await w.door.shut();
  for (let i = 0; i < 5; i += 1) offlineCreate(client, { id: `p${i}`, title: `t${i}` }).catch(() => {});
  await w.door.open();
  network(true);
  await until('all are there', async () => (await w.ask('{ listPosts { items { id } } }')).listPosts.items.length === 5);
  assert.deepEqual(w.door.of('createPost').map((r) => r.variables.input.id), ['p0', 'p1', 'p2', 'p3', 'p4']);
});

it('the offline cache answers a query without a network', async (w) => {
  await put(w, { id: 'p', title: 'a' });
  const client = await stored(w);
  await client.query({ query: GET, variables: { id: 'p' }, fetchPolicy: 'network-only' });
  network(false);
  await w.door.shut();
  const { data } = await client.query({ query: GET, variables: { id: 'p' }, fetchPolicy: 'cache-first' });
  assert.equal(data.getPost.title, 'a');
});

it('buildMutation puts the record into the cached list', async (w) => {
  const client = await stored(w);
  await client.query({ query: LIST });
  const inputType = gql(`input CreatePostInput { id: ID title: String! rating: Int }`);
  await client.mutate(buildMutation(client, CREATE, { inputType, variables: { input: { id: 'p', title: 'a' } } }, [LIST], 'Post'));
  await until('it is in the list', async () => {
    const { data } = await client.query({ query: LIST, fetchPolicy: 'cache-only' });
    return data.listPosts.items.some((p) => p.id === 'p');
  });
  assert.ok((await w.ask('{ getPost(id: "p") { id } }')).getPost);
});

it('the delta sync helper: the base query first, the delta query when it comes back', async (w) => {
  await put(w, { id: 'first', title: 'a' });
  const client = await stored(w);
  const seen = [];
  const note = (kind) => (_, { data }) => seen.push(...data.syncPosts.items.map((p) => `${kind} ${p.id}`));
  const fields = 'items { id title _version _deleted } nextToken startedAt';
  const options = {
    baseQuery: { query: gql`query Base { syncPosts(limit: 100) { ${fields} } }`, update: note('base') },
    deltaQuery: {
      query: gql`query Delta($lastSync: AWSTimestamp) { syncPosts(limit: 100, lastSync: $lastSync) { ${fields} } }`,
      update: note('delta'),
    },
  };
  const once = client.sync(options);
  await until('the base came', () => seen.includes('base first'));
  // The helper notes in its store that it was here; it counts in seconds.
  await until('it is noted', () => /"baseLastSyncTimestamp":\d/.test(JSON.stringify(client._store.getState())));
  once.unsubscribe();
  await put(w, { id: 'second', title: 'b' });
  const again = client.sync(options);
  await until('the delta came', () => seen.includes('delta second'));
  again.unsubscribe();
  const delta = w.door.requests.find((r) => r.query.includes('query Delta'));
  assert.ok(delta.variables.lastSync > 1e9 && delta.variables.lastSync < 1e11, 'seconds');
});
