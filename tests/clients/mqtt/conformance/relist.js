// After a change: `node conformance/relist.js` takes out of `answers.json` what is answered as expected now, and notes what comes
// for the rest, to be read through.
import { writeFileSync } from 'node:fs';
import { startServer } from '../../src/server.js';
import { answers, file } from './lists.js';
import { replay, same, vectors } from './replay.js';

const server = await startServer(undefined, { mqtt: true });
const byName = new Map(vectors().map((vector) => [vector.name, vector]));
for (const entry of answers) {
  for (const name of Object.keys(entry.vectors)) {
    const { expected, came } = await replay(server, byName.get(name), 'ws');
    if (same(expected, came)) delete entry.vectors[name];
    else entry.vectors[name] = came;
  }
  console.log(`${Object.keys(entry.vectors).length} left: ${entry.kind}: ${entry.why}`);
}
const left = answers.filter(({ vectors: names }) => Object.keys(names).length > 0);
writeFileSync(file, `${JSON.stringify(left, null, 2)}\n`);
await server.stop();
