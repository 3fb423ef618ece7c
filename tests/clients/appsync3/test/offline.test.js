// Its other habits: queries and mutations, the queue, the conflict resolver, the delta sync helper with its subscription.
import assert from 'node:assert/strict';
import { network } from '../../src/environment.js';
import { until } from '../../src/until.js';
import { gql, hold, it, links } from '../client.js';

const GET = gql`query Get($id: ID!) { getPost(id: $id) { id title rating } }`;
const LIST = gql`query List { listPosts { items { id title } nextToken } }`;
const CREATE = gql`mutation Create($input: CreatePostInput!) { createPost(input: $input) { id title rating _version } }`;
const UPDATE = gql`mutation Update($input: UpdatePostInput!, $condition: ModelPostConditionInput) { updatePost(input: $input, condition: $condition) { id title rating _version } }`;

const put = (w, input) => w.ask('mutation ($input: CreatePostInput!) { createPost(input: $input) { id } }', { input });

it('a mutation and a query', async (w) => {
  const client = w.client();
  const made = await client.mutate({ mutation: CREATE, variables: { input: { title: 'a', rating: 3 } } });
  const { id } = made.data.createPost;
  const { data } = await client.query({ query: GET, variables: { id } });
  assert.deepEqual({ ...data.getPost }, { id, title: 'a', rating: 3, __typename: 'Post' });
  assert.match(w.door.requests[0].headers['x-amz-user-agent'], /^aws-amplify\//);
});

it('a condition that is false is told by AppSync\'s name for a versioned API, and no conflict resolver asked', async (w) => {
  await put(w, { id: 'p', title: 'a', rating: 1 });
  const asked = [];
  const client = w.client({ conflictResolver: (conflict) => (asked.push(conflict), 'DISCARD') });
  const variables = { input: { id: 'p', title: 'b', _version: 1 }, condition: { rating: { gt: 5 } } };
  const error = await client.mutate({ mutation: UPDATE, variables }).then(() => assert.fail(), (e) => e);
  // The resolver hears of `DynamoDB:ConditionalCheckFailedException` alone, which an API without versions gives.
  assert.equal(error.graphQLErrors[0].errorType, 'ConditionalCheckFailedException');
  assert.deepEqual(asked, []);
  assert.equal((await w.ask('{ getPost(id: "p") { title } }')).getPost.title, 'a');
});

it('an older version is merged', async (w) => {
  await put(w, { id: 'p', title: 'a', rating: 1 });
  await w.ask('mutation { updatePost(input: { id: "p", rating: 2, _version: 1 }) { id } }');
  const { data } = await w.client().mutate({ mutation: UPDATE, variables: { input: { id: 'p', title: 'b', _version: 1 } } });
  assert.deepEqual([data.updatePost.title, data.updatePost.rating, data.updatePost._version], ['b', 2, 3]);
});

/** A client with an offline store, hydrated, that knows it has a network. */
async function stored(w) {
  const client = await w.client({ disableOffline: false }).hydrated();
  await until('it is online', () => client._store.getState().offline.online);
  return client;
}

it('the offline queue: mutations wait for a network, and keep their order', async (w) => {
  const client = await stored(w);
  network(false);
  await w.door.shut();
  for (let i = 0; i < 5; i += 1) {
    const input = { id: `p${i}`, title: 't' };
    const optimisticResponse = { createPost: { __typename: 'Post', rating: null, _version: 0, ...input } };
    client.mutate({ mutation: CREATE, variables: { input }, optimisticResponse }).catch(() => {});
  }
  await w.door.open();
  network(true);
  await until('all are there', async () => (await w.ask('{ listPosts { items { id } } }')).listPosts.items.length === 5);
  assert.deepEqual(w.door.of('createPost').map((r) => r.variables.input.id), ['p0', 'p1', 'p2', 'p3', 'p4']);
});

const fields = 'items { id title _version _deleted } nextToken startedAt';
const synced = (seen) => {
  const note = (kind) => (_, { data }) => seen.push(...data.syncPosts.items.map((p) => `${kind} ${p.id}`));
  return {
    baseQuery: { query: gql`query Base { syncPosts(limit: 100) { ${fields} } }`, update: note('base') },
    subscriptionQuery: {
      query: gql`subscription OnCreate { onCreatePost { id title } }`,
      update: (_, { data }) => seen.push(`live ${data.onCreatePost.id}`),
    },
    deltaQuery: { query: gql`query Delta($lastSync: AWSTimestamp) { syncPosts(limit: 100, lastSync: $lastSync) { ${fields} } }`, update: note('delta') },
  };
};

it('the delta sync helper: what is written after its query and before SUBACK is told', async (w) => {
  await put(w, { id: 'first', title: 'a' });
  const client = await stored(w);
  const seen = [];
  // It takes the hand-shake for the connection, and queries at once.
  const release = hold();
  const sync = client.sync(synced(seen));
  await until('the base came', () => seen.includes('base first'));
  await put(w, { id: 'gap', title: 'a' });
  release();
  await until('it is told', () => seen.includes('live gap'));
  await put(w, { id: 'second', title: 'a' });
  await until('and what comes', () => seen.includes('live second'));
  sync.unsubscribe();
});

it('the delta sync helper: after a connection that was lost, the hand-shake and the delta', async (w) => {
  await put(w, { id: 'first', title: 'a' });
  const client = await stored(w);
  const seen = [];
  const sync = client.sync(synced(seen));
  await until('it is connected', () => links[0]?.packets.some((p) => p.cmd === 'suback') && seen.includes('base first'));
  await put(w, { id: 'told', title: 'a' });
  await until('it is live', () => seen.includes('live told'));
  // The next hand-shake waits on its way until something has been missed.
  let go;
  const missed = new Promise((resolve) => (go = resolve));
  w.door.before = async ({ query }) => void (/^subscription/.test(query) && (await missed));
  links[0].socket.terminate();
  await put(w, { id: 'missed', title: 'a' });
  go();
  await until('what was missed comes', () => seen.includes('delta missed'));
  const delta = w.door.requests.find((r) => /query Delta/.test(r.query));
  assert.ok(delta.variables.lastSync > 1e9 && delta.variables.lastSync < 1e11, 'seconds');
  assert.ok(!seen.includes('live missed'));
  await put(w, { id: 'second', title: 'a' });
  await until('live again', () => seen.includes('live second'));
  sync.unsubscribe();
});

it('the cache answers without a network', async (w) => {
  await put(w, { id: 'p', title: 'a' });
  const client = await stored(w);
  await client.query({ query: LIST, fetchPolicy: 'network-only' });
  network(false);
  await w.door.shut();
  const { data } = await client.query({ query: LIST, fetchPolicy: 'cache-first' });
  assert.equal(data.listPosts.items[0].title, 'a');
});
