// Measures the first sync of many records into DataStore's client of version 6, beside the same pages fetched plainly.
//
//   npm ci && (cd datastore6 && npm ci) && node datastore/first-sync.js [RECORDS]
//
// with a release build named in TOMBOLO_BIN. Both fetch over the loopback from the same server, in one run; what DataStore
// adds is its own work: models made, merged, and kept in memory (Node has no IndexedDB).
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiKey, startServer } from '../src/server.js';
import { load } from './generation6.js';
import { schema } from './models.js';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

const count = Number(process.argv[2] ?? 100_000);
const PAGE = 1_000;
const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tombolo-first-sync-'));
const file = join(folder, 'schema.graphql');
writeFileSync(file, 'type Todo @model @auth(rules: [{ allow: public }]) { id: ID! title: String! done: Boolean rating: Int }');
const client = load(join(here, '../datastore6/package.json'), schema([['Todo', 'Todos', { id: 'ID!', title: 'String!', done: 'Boolean', rating: 'Int' }]]));
const server = await startServer(file);

const SIZE = 250;
for (let at = 0; at < count; at += SIZE) {
  const inputs = Array.from({ length: Math.min(SIZE, count - at) }, (_, i) => ({ id: `t${at + i}`, title: `title of ${at + i}`, done: i % 3 === 0, rating: i }));
  const heads = inputs.map((_, i) => `$i${i}: CreateTodoInput!`).join(', ');
  const fields = inputs.map((_, i) => `r${i}: createTodo(input: $i${i}) { _version }`).join(' ');
  await server.ask(`mutation (${heads}) { ${fields} }`, Object.fromEntries(inputs.map((input, i) => [`i${i}`, input])));
}

const query = `query operation($limit: Int, $nextToken: String, $lastSync: AWSTimestamp, $filter: ModelTodoFilterInput) {
  syncTodos(limit: $limit, nextToken: $nextToken, lastSync: $lastSync, filter: $filter) {
    items { id title done rating createdAt updatedAt _version _lastChangedAt _deleted } nextToken startedAt } }`;

async function plain() {
  const begin = performance.now();
  let [nextToken, seen, bytes] = [null, 0, 0];
  do {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': apiKey },
      body: JSON.stringify({ query, variables: { limit: PAGE, nextToken, lastSync: 0, filter: null } }),
    });
    const text = await response.text();
    const { data } = JSON.parse(text);
    bytes += text.length;
    seen += data.syncTodos.items.length;
    nextToken = data.syncTodos.nextToken;
  } while (nextToken);
  if (seen !== count) throw new Error(`${seen} of ${count}`);
  return { seconds: (performance.now() - begin) / 1000, bytes };
}

async function datastore() {
  client.configure(server.url);
  client.DataStore.configure({ storageAdapter: client.Adapter, maxRecordsToSync: count + PAGE, syncPageSize: PAGE });
  const begin = performance.now();
  await client.DataStore.start();
  const seconds = (performance.now() - begin) / 1000;
  const found = (await client.DataStore.query(client.models.Todo)).length;
  if (found !== count) throw new Error(`${found} of ${count}`);
  return { seconds };
}

const before = await plain();
const sync = await datastore();
const after = await plain();
const pages = Math.min(before.seconds, after.seconds);
console.log(
  JSON.stringify({ records: count, pageSize: PAGE, plainSeconds: [before.seconds, after.seconds], datastoreSeconds: sync.seconds, times: sync.seconds / pages, megabytes: before.bytes / 1e6 }),
);
rmSync(folder, { recursive: true });
await server.stop();
process.exit(0);
