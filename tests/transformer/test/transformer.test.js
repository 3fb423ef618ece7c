import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaults, differences, names } from '../src/names.js';
import { schemas } from '../src/schemas.js';
import { transform } from '../src/transform.js';

const here = dirname(fileURLToPath(import.meta.url));
const binary = process.env.TOMBOLO_BIN ?? join(here, '../../../target/debug/tombolo');
let compared = 0;

test('there are schemas', () => assert.ok(schemas.length >= 18, `${schemas.length} schemas`));

for (const { name, path, golden, sdl } of schemas) {
  test(`${name}: what is kept is what the transformer prints`, () => {
    assert.equal(readFileSync(golden, 'utf8'), transform(sdl), 'write it anew with `npm run golden`');
  });

  test(`${name}: every name is in the API, with its type`, () => {
    const theirs = names(readFileSync(golden, 'utf8'));
    const ours = names(execFileSync(binary, ['schema', 'print', path], { encoding: 'utf8' }));
    compared += theirs.size;
    assert.deepEqual(differences(theirs, ours, defaults(sdl)), []);
  });
}

test('a missing name and another type are told', () => {
  const theirs = names('type Query { a(b: Int!): String c: [ID!] } enum E { X Y } input I { f: Int = 2 g: Int! }');
  const ours = names('type Query { a(b: Int): String } enum E { X } input I { f: Int g: Int }');
  assert.deepEqual(differences(theirs, ours, new Set(['I.g'])), [
    'Query.a(b:): Int, and theirs is Int!',
    'Query.c: [ID!] is missing',
    'E.Y: value is missing',
    'I.f: Int, and theirs is Int = 2',
  ]);
});

after(() => console.log(`${compared} names of ${schemas.length} schemas compared`));
