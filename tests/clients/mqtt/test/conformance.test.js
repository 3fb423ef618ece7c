// Mosquitto's vectors of packets, good and bad, against the real server: over the WebSocket as they are, and over TCP those that
// bring no CONNECT of their own. Each is answered as it expects, or as `conformance/answers.json` says, and why.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { startServer } from '../../src/server.js';
import { noted } from '../conformance/lists.js';
import { bringsConnect, replay, same, vectors } from '../conformance/replay.js';

const server = await startServer(undefined, { mqtt: true });
const all = vectors();
const otherwise = noted();
const counts = { 'as expected': 0, otherwise: 0, 'not claimed': 0 };
after(async () => {
  await server.stop();
  console.log(`vectors: ${all.length}; ${Object.entries(counts).map(([kind, count]) => `${kind} ${count}`).join('; ')}`);
});

for (const carrier of ['ws', 'tcp']) {
  for (const file of new Set(all.map(({ name }) => name.split(' | ')[0]))) {
    const own = all.filter((vector) => vector.name.startsWith(`${file} | `) && (carrier === 'ws' || !bringsConnect(vector)));
    if (own.length === 0) continue;
    test(`${file} over ${carrier}: ${own.length} vectors`, async () => {
      const wrong = [];
      for (const vector of own) {
        const note = otherwise.get(vector.name);
        const { expected, came } = await replay(server, vector, carrier, note?.came);
        const right = same(expected, came);
        if (carrier === 'ws') counts[right ? 'as expected' : (note?.kind ?? 'otherwise')] += 1;
        if (right && note) wrong.push(`${vector.name}: answered as expected now; take it out of answers.json`);
        else if (!right && came !== note?.came) wrong.push(`${vector.name}\n  expected ${expected}${note ? `\n  noted    ${note.came}` : ''}\n  came     ${came}`);
      }
      assert.deepEqual(wrong, [], wrong.join('\n'));
    });
  }
}

test('every vector in the list is there', () => {
  const names = new Set(all.map(({ name }) => name));
  assert.deepEqual([...otherwise.keys()].filter((name) => !names.has(name)), []);
});
