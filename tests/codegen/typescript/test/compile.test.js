// What is generated for the four schemas, under every strict switch of the compiler; and that a second run changes nothing.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { compile, folder, generate } from '../src/generate.js';

for (const name of ['small', 'flights', 'large', 'nasty']) {
  test(`${name}: strict, and the same again`, () => {
    const out = folder();
    const first = generate(name, out);
    assert.equal(first.status, 0, first.said);
    writeFileSync(join(out, 'package.json'), '{ "type": "module" }');
    assert.equal(compile([join(out, 'index.ts')], '--noEmit'), '');
    assert.equal(generate(name, out, '--check').status, 0);
    const second = generate(name, out);
    assert.match(second.said, /0 files written, 5 unchanged, 0 removed/);
  });
}

const misuse = [
  ['a number for a text', 'Flights.where((f) => f.carrier.eq(7));'],
  ['the order of a truth', 'Notes.where((f) => f.done.gt(true));'],
  ['the predicate of another model', "Flights.where(() => NoteFields.text.eq('x'));"],
  ['a create without a field that is required', "void Notes.create(executor, { flightId: 'f', text: 'x' });"],
  ['an order by what is none', 'Flights.all().sortBy((s) => s.notes.asc());'],
];

test(`the compiler refuses ${misuse.map(([what]) => what).join(', ')}`, () => {
  const out = folder();
  assert.equal(generate('flights', out).status, 0);
  writeFileSync(join(out, 'package.json'), '{ "type": "module" }');
  const use = join(out, 'use.ts');
  const head = [
    "import { Flights, Notes, NoteFields, type support } from './index.js';",
    'declare const executor: support.Executor;',
    "void [Notes.where((f) => f.text.eq('x')), Flights.where((f) => f.carrier.eq('UA')), NoteFields, executor];",
  ];
  writeFileSync(use, [...head, ...misuse.map(([, line]) => line)].join('\n'));
  const lines = [...compile([use], '--noEmit').matchAll(/use\.ts\((\d+),\d+\): error/g)].map((found) => Number(found[1]));
  assert.deepEqual([...new Set(lines)], misuse.map((_, at) => head.length + at + 1), 'these lines and no other');
});
