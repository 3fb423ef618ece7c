// Files as Amplify DataStore leaves them on phones, made from the tables that its adapters define: on iOS `MutationEvent` and
// `MutationSyncMetadata`, on Android `PersistentRecord` and `ModelMetadata`. They hold notes of the rig's schema, and mutations of
// them that were never sent.
import { execFileSync } from 'node:child_process';

/** A moment within which the phone made everything: milliseconds since 1970. */
const beginMs = 1_700_000_000_000;

const columns = [
  ['id', 'text', true], ['createdAt', 'text', false], ['done', 'integer', false], ['due', 'text', false],
  ['place', 'text', false], ['priority', 'text', false], ['stars', 'integer', false], ['tags', 'text', false],
  ['text', 'text', true], ['updatedAt', 'text', false],
];

const tables = {
  ios: `
    create table if not exists "Note" (${columns.map(([name, type, required]) =>
      `"${name}" ${type}${name === 'id' ? ' primary key' : ''}${required ? ' not null' : ''}`).join(', ')});
    create table "MutationSyncMetadata" ("id" text primary key not null, "deleted" integer not null, "lastChangedAt" integer not null, "version" integer not null);
    create table "ModelSyncMetadata" ("id" text primary key not null, "lastSync" integer, "syncPredicate" text);
    create table "MutationEvent" ("id" text primary key not null, "createdAt" text not null, "graphQLFilterJSON" text, "inProcess" integer not null,
      "json" text not null, "modelId" text not null, "modelName" text not null, "mutationType" text not null, "version" integer);`,
  android: `
    CREATE TABLE android_metadata (locale TEXT);
    CREATE TABLE IF NOT EXISTS \`Note\` (${columns.map(([name, type, required]) =>
      `\`${name}\` ${type.toUpperCase()}${required ? ' NOT NULL' : ''}`).join(', ')}, PRIMARY KEY ( \`id\`));
    CREATE TABLE \`ModelMetadata\` (\`id\` TEXT NOT NULL, \`_deleted\` INTEGER, \`_lastChangedAt\` INTEGER, \`_version\` INTEGER, PRIMARY KEY ( \`id\`));
    CREATE TABLE \`LastSyncMetadata\` (\`id\` TEXT NOT NULL, \`lastSyncTime\` INTEGER NOT NULL, \`lastSyncType\` TEXT NOT NULL,
      \`modelClassName\` TEXT NOT NULL, \`syncExpression\` TEXT, PRIMARY KEY ( \`id\`));
    CREATE TABLE \`PersistentModelVersion\` (\`id\` TEXT NOT NULL, \`version\` TEXT NOT NULL, PRIMARY KEY ( \`id\`));
    CREATE TABLE \`PersistentRecord\` (\`id\` TEXT NOT NULL, \`containedModelClassName\` TEXT NOT NULL, \`containedModelId\` TEXT NOT NULL,
      \`serializedMutationData\` TEXT NOT NULL, PRIMARY KEY ( \`id\`));`,
};

const literal = (value) =>
  value === null || value === undefined ? 'NULL'
  : typeof value === 'number' ? String(value)
  : typeof value === 'boolean' ? String(Number(value))
  : `'${(typeof value === 'string' ? value : JSON.stringify(value)).replaceAll("'", "''")}'`;
const insert = (table, row) =>
  `INSERT OR REPLACE INTO "${table}" (${Object.keys(row).map((name) => `"${name}"`).join(', ')}) VALUES (${Object.values(row).map(literal).join(', ')});`;

function note(id, text, stars) {
  const at = new Date(beginMs).toISOString();
  return { id, text, done: stars % 2 === 0, stars, tags: ['old'], priority: 'LOW', createdAt: at, updatedAt: at };
}

/** A mutation as the adapter keeps it: on iOS the whole record, on Android what changed. */
const queued = {
  ios: (at, kind, record) =>
    insert('MutationEvent', {
      id: `5E1F0000-0000-4000-8000-${String(999_999 - at).padStart(12, '0')}`,
      modelId: record.id, modelName: 'Note', json: JSON.stringify(record), mutationType: kind,
      createdAt: new Date(beginMs + at).toISOString(), version: null, inProcess: 0, graphQLFilterJSON: null,
    }),
  android: (at, kind, record, changes) => {
    const id = timeUuid(at);
    const modelSchema = { name: 'Note', fields: {}, associations: {}, indexes: {} };
    const mutation = {
      mutatedItem: { id: record.id, modelSchema, serializedData: kind === 'update' ? { ...changes, id: record.id } : record },
      modelSchema, mutationType: kind.toUpperCase(), mutationId: id, predicate: { _type: 'ALL' },
    };
    return insert('PersistentRecord', {
      id, containedModelId: record.id, containedModelClassName: 'com.amplifyframework.core.model.SerializedModel',
      // The adapter writes its own id without quotes.
      serializedMutationData: JSON.stringify(mutation).replace(`"${id}"`, id),
    });
  },
};

function timeUuid(at) {
  const time = (BigInt(beginMs) + BigInt(at) + 12_219_292_800_000n) * 10_000n;
  const hex = (value, digits) => value.toString(16).padStart(digits, '0');
  return `${hex(time & 0xffffffffn, 8)}-${hex((time >> 32n) & 0xffffn, 4)}-1${hex((time >> 48n) & 0xfffn, 3)}-8d3d-0242ac130003`;
}

/**
 * Makes the file: `records` notes that were synced (`old-0001` …), then `mutations` that were not sent, in turn an update of the
 * next note, a create and a delete of the last one left. Says what a server has to hold before, what was queued, and what
 * the notes come to in the end (text by id).
 */
export function dataStoreFile(path, { platform = 'ios', records = 20, mutations = 5 }) {
  const ios = platform === 'ios';
  const held = Array.from({ length: records }, (_, at) => note(`old-${String(at + 1).padStart(4, '0')}`, `note ${at + 1}`, at + 1));
  const now = new Map(held.map((record) => [record.id, record]));
  const sql = [tables[platform]];
  for (const record of held) {
    sql.push(ios
      ? insert('MutationSyncMetadata', { id: `Note|${record.id}`, deleted: 0, lastChangedAt: beginMs, version: 1 })
      : insert('ModelMetadata', { id: `Note|${record.id}`, _deleted: 0, _lastChangedAt: beginMs, _version: 1 }));
  }
  const told = [];
  for (let at = 1; at <= mutations; at += 1) {
    const kind = ['update', 'create', 'delete'][(at - 1) % 3];
    const turn = Math.floor((at - 1) / 3);
    let record;
    let changes;
    if (kind === 'update') {
      changes = { text: `edited offline ${at}` };
      record = { ...held[turn], ...changes };
    } else {
      record = kind === 'create' ? note(`new-${String(at).padStart(4, '0')}`, `made offline ${at}`, at) : held[records - 1 - turn];
    }
    sql.push(queued[platform](at, kind, record, changes));
    if (kind === 'delete') now.delete(record.id);
    else now.set(record.id, record);
    told.push({ kind, id: record.id });
  }
  for (const record of now.values()) sql.push(insert('Note', record));
  const write = 'import sqlite3, sys; file = sqlite3.connect(sys.argv[1]); file.executescript(sys.stdin.read()); file.close()';
  execFileSync('python3', ['-c', write, path], { input: `BEGIN;${sql.join('\n')}COMMIT;` });
  const server = held.map(({ createdAt, updatedAt, ...input }) => input);
  return { path, server, mutations: told, notes: Object.fromEntries([...now].map(([id, record]) => [id, record.text])) };
}
