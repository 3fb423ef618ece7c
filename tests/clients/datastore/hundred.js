// A schema of a hundred models, for the server and for the client.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { schema } from './models.js';

export const COUNT = 100;
const names = Array.from({ length: COUNT }, (_, i) => `Kind${String.fromCharCode(65 + (i % 26))}${i}n`);
const fields = { id: 'ID!', title: 'String!', rating: 'Int' };

export const hundred = schema(names.map((name) => [name, `${name}s`, fields]));

const folder = mkdtempSync(join(tmpdir(), 'tombolo-hundred-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
export const hundredFile = join(folder, 'schema.graphql');
const members = 'id: ID! title: String! rating: Int';
writeFileSync(hundredFile, names.map((name) => `type ${name} @model @auth(rules: [{ allow: public }]) { ${members} }\n`).join(''));
