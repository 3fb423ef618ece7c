// npm `graphql-ws`, the reference client of graphql-transport-ws: all three kinds of operation on one socket.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { apiKey, post, startServer } from '../src/server.js';

const server = await startServer();
const clients = [];
after(async () => {
  for (const client of clients) await client.dispose();
  const { code } = await server.stop();
  assert.equal(code, 0, 'the server shuts down gracefully');
});

function connect(options = {}) {
  const client = createClient({
    url: server.wsUrl,
    webSocketImpl: WebSocket,
    connectionParams: { 'x-api-key': apiKey },
    retryAttempts: 0,
    ...options,
  });
  clients.push(client);
  return client;
}

async function once(client, query, variables) {
  const results = [];
  for await (const result of client.iterate({ query, variables })) results.push(result);
  assert.equal(results.length, 1, 'one result, then complete');
  return results[0];
}

const createTodo = 'mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id title done _version } }';

test('a query answers once and completes', async () => {
  const result = await once(connect(), '{ __typename listTodos { items { id } nextToken } }');
  assert.deepEqual(result, { data: { __typename: 'Query', listTodos: { items: [], nextToken: null } } });
});

test('a mutation answers with the record and its version', async () => {
  const client = connect();
  const result = await once(client, createTodo, { input: { id: 'm1', listID: 'l', title: 'milk', done: false } });
  assert.deepEqual(result.data, { createTodo: { id: 'm1', title: 'milk', done: false, _version: 1 } });
  const read = await post(server.url, '{ getTodo(id: "m1") { title tags priority } }');
  assert.deepEqual(read.body.data, { getTodo: { title: 'milk', tags: null, priority: null } });
});

test('relations, aliases, fragments and variables in one document', async () => {
  const client = connect();
  await once(client, 'mutation { createList(input: { id: "L1", title: "Home" }) { id } }');
  for (const id of ['a', 'b', 'c']) {
    await once(client, createTodo, { input: { id: `L1${id}`, listID: 'L1', title: id, done: id === 'b' } });
  }
  const result = await once(
    client,
    `query ($id: ID!, $wide: Boolean!) {
       home: getList(id: $id) { ...F }
       open: todosByList(listID: $id, filter: { done: { eq: false } }) { items { id list { title } } }
     }
     fragment F on List { title __typename todos(limit: 2) { items { title done @include(if: $wide) } nextToken } }`,
    { id: 'L1', wide: false },
  );
  assert.equal(result.errors, undefined);
  assert.equal(result.data.home.title, 'Home');
  assert.deepEqual(result.data.home.todos.items, [{ title: 'a' }, { title: 'b' }]);
  assert.equal(typeof result.data.home.todos.nextToken, 'string');
  assert.deepEqual(result.data.open.items, [
    { id: 'L1a', list: { title: 'Home' } },
    { id: 'L1c', list: { title: 'Home' } },
  ]);
});

test('subscriptions give what was committed, filtered, in order, on a socket shared with other operations', async () => {
  const client = connect();
  const all = client.iterate({ query: 'subscription { onCreateTodo { id title priority } }' });
  const high = client.iterate({
    query: 'subscription { onCreateTodo(filter: { priority: { eq: "HIGH" } }) { id } }',
  });
  const updates = client.iterate({ query: 'subscription { onUpdateTodo { id done _version } }' });
  const deletes = client.iterate({ query: 'subscription { onDeleteTodo { id _deleted } }' });
  const next = [all.next(), high.next(), updates.next(), deletes.next()];
  // Operations of one socket are taken in order, so this answer comes after the subscriptions are in place.
  await once(client, '{ __typename }');
  await post(server.url, createTodo, { input: { id: 's1', listID: 'l', title: 'one' } });
  await post(server.url, createTodo, { input: { id: 's2', listID: 'l', title: 'two', priority: 'HIGH' } });
  await post(server.url, 'mutation { updateTodo(input: { id: "s1", done: true }) { id done } }');
  await post(server.url, 'mutation { deleteTodo(input: { id: "s2" }) { id } }');
  assert.deepEqual((await next[0]).value.data, { onCreateTodo: { id: 's1', title: 'one', priority: null } });
  assert.deepEqual((await all.next()).value.data, { onCreateTodo: { id: 's2', title: 'two', priority: 'HIGH' } });
  assert.deepEqual((await next[1]).value.data, { onCreateTodo: { id: 's2' } });
  assert.deepEqual((await next[2]).value.data, { onUpdateTodo: { id: 's1', done: true, _version: 2 } });
  assert.deepEqual((await next[3]).value.data, { onDeleteTodo: { id: 's2', _deleted: true } });
  for (const it of [all, high, updates, deletes]) await it.return();
});

test('a stale update of the same field keeps the server value, of another field both', async () => {
  const client = connect();
  await once(client, createTodo, { input: { id: 'c1', listID: 'l', title: 'first' } });
  const update = 'mutation ($input: UpdateTodoInput!) { updateTodo(input: $input) { title done _version } }';
  await once(client, update, { input: { id: 'c1', title: 'second', _version: 1 } });
  const other = await once(client, update, { input: { id: 'c1', done: true, _version: 1 } });
  assert.deepEqual(other.data.updateTodo, { title: 'second', done: true, _version: 3 });
  const same = await once(client, update, { input: { id: 'c1', title: 'third', _version: 1 } });
  assert.deepEqual(same.data.updateTodo, { title: 'second', done: true, _version: 4 });
  const gone = await once(client, 'mutation { deleteTodo(input: { id: "c1", _version: 1 }) { id title } }');
  assert.equal(gone.data.deleteTodo, null);
  assert.equal(gone.errors[0].errorType, 'ConflictUnhandled');
  assert.deepEqual(gone.errors[0].data, { id: 'c1', title: 'second' });
});

test('a document that does not validate is an error frame with a place, and the socket lives on', async () => {
  const client = connect();
  await assert.rejects(once(client, '{ listTodos { items { nope } } }'), (errors) => {
    assert.ok(Array.isArray(errors));
    assert.match(errors[0].message, /nope/);
    assert.ok(errors[0].locations[0].line >= 1);
    return true;
  });
  assert.deepEqual((await once(client, '{ __typename }')).data, { __typename: 'Query' });
});

test('introspection is what graphql-js expects', async () => {
  const { getIntrospectionQuery, buildClientSchema } = await import('graphql');
  const result = await once(connect(), getIntrospectionQuery());
  const schema = buildClientSchema(result.data);
  assert.ok(schema.getMutationType().getFields().createTodo);
  assert.equal(String(schema.getType('ModelTodoConnection').getFields().items.type), '[Todo]!');
});

test('a wrong key closes the socket and is not tried again as a network fault', async () => {
  let closed;
  const client = connect({ connectionParams: { 'x-api-key': 'wrong' }, on: { closed: (event) => (closed = event) } });
  await assert.rejects(once(client, '{ __typename }'));
  assert.equal(closed.code, 4403);
});

test('a hundred operations at once on one socket', async () => {
  const client = connect();
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      once(client, createTodo, { input: { id: `h${i}`, listID: 'many', title: `t${i}` } }),
    ),
  );
  assert.equal(new Set(results.map((r) => r.data.createTodo.id)).size, 100);
  const page = await once(client, '{ todosByList(listID: "many", limit: 1000) { items { id } nextToken } }');
  assert.equal(page.data.todosByList.items.length, 100);
  assert.equal(page.data.todosByList.nextToken, null);
});
