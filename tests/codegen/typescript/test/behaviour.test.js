// Generated TypeScript at work: its filters as JSON, and its functions over `fetch` against the real server.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { apiKey, startServer } from '../../../clients/src/server.js';
import { compile, folder, generate, schemas } from '../src/generate.js';

let server;
let api;

before(async () => {
  const out = folder();
  const { status, said } = generate('flights', out);
  assert.equal(status, 0, said);
  writeFileSync(join(out, 'package.json'), '{ "type": "module" }');
  assert.equal(compile([join(out, 'index.ts')]), '');
  api = await import(pathToFileURL(join(out, 'index.js')));
  server = await startServer(join(schemas, 'flights.graphql'));
});

after(() => server?.stop());

async function send(request) {
  const body = JSON.stringify({ query: request.document, operationName: request.operationName, variables: request.variables });
  const answer = await fetch(server.url, { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': apiKey }, body });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(errors[0].message);
  return data;
}

const executor = { query: send, mutate: send, subscribe: () => assert.fail('nothing is subscribed here') };

test('a predicate is the API\'s filter', () => {
  const query = api.Flights.where((f) => f.carrier.eq('UA').and(f.depDelay.gt(30).or(f.tailnum.isNull()))).sortBy((s) => s.depDelay.desc()).limit(5);
  assert.deepEqual(query.variables(), {
    filter: { and: [{ and: [{ carrier: { eq: 'UA' } }, { or: [{ depDelay: { gt: 30 } }, { tailnum: { attributeExists: false } }] }] }] },
    sort: [{ field: 'depDelay', direction: 'DESC' }],
    limit: 5,
  });
});

test('records are written, read, changed and followed', async () => {
  await api.Airlines.create(executor, { carrier: 'UA', name: 'United' });
  for (const [id, depDelay] of [['f1', 10], ['f2', 40], ['f3', null]]) {
    await api.Flights.create(executor, {
      id, depDelay, date: '2013-01-01', schedDepTime: 515, schedArrTime: 819, carrier: 'UA', flight: 1545, origin: 'EWR', dest: 'IAH',
      distance: 1400, timeHour: '2013-01-01T10:00:00Z',
    });
  }
  const late = await api.Flights.where((f) => f.depDelay.isNotNull()).sortBy((s) => s.depDelay.desc()).page(executor);
  assert.deepEqual(late.items.map((flight) => flight.id), ['f2', 'f1']);
  const all = [];
  for await (const flight of api.Flights.all().limit(2).items(executor)) all.push(flight.id);
  assert.deepEqual(all.sort(), ['f1', 'f2', 'f3'], 'two pages');
  const flight = await api.Flights.get(executor, { id: 'f2' });
  const airline = await api.Flights.related.airline(executor, flight);
  assert.equal(airline.name, 'United');
  assert.equal(await api.Flights.related.plane(executor, flight), null, 'there is no tail number to look for');
  const kept = await api.Flights.update(executor, { id: 'f2', flight: 2 });
  assert.equal(kept.depDelay, 40, 'what is left out stays');
  const cleared = await api.Flights.update(executor, { id: 'f2', depDelay: null });
  assert.equal(cleared.depDelay, null);
  await assert.rejects(api.Flights.delete(executor, { id: 'f2' }, (f) => f.carrier.eq('AA')));
  const note = await api.addNote(executor, { input: { flightId: 'f2', text: 'wet', author: 'kim' } });
  assert.equal(note.createNote.severity, api.Severity.INFO);
  const data = await api.notesOf(executor, { flightId: 'f2', withFlight: true });
  assert.equal(data.notesByFlight.items[0].flight.id, 'f2');
  const notes = await api.Flights.related.notes(flight).page(executor);
  assert.equal(notes.items.length, 1);
});

test('what is written is heard', async () => {
  const asked = [];
  async function* subscribe(request) {
    asked.push(request);
    yield { onCreateNote: { id: 'n1' } };
    yield { onCreateNote: null };
    yield { onCreateNote: { id: 'n2' } };
  }
  const heard = [];
  for await (const note of api.Notes.onCreate({ ...executor, subscribe }, (f) => f.author.eq('kim'))) heard.push(note.id);
  assert.deepEqual(heard, ['n1', 'n2']);
  assert.deepEqual(asked[0].variables, { filter: { author: { eq: 'kim' } } });
  assert.match(asked[0].document, /^subscription OnCreateNote\(/);
});
