// After a mend: `node conformance/relist.js` takes out of `to-mend.json` what is answered as expected now, and says what is left.
import { writeFileSync } from 'node:fs';
import { startServer } from '../../src/server.js';
import { lists } from './lists.js';
import { replay, same, vectors } from './replay.js';

const file = 'to-mend.json';
const server = await startServer(undefined, { mqtt: true });
const byName = new Map(vectors().map((vector) => [vector.name, vector]));
for (const entry of lists[file]) {
  for (const name of Object.keys(entry.vectors)) {
    const { expected, came } = await replay(server, byName.get(name), 'ws');
    if (same(expected, came)) delete entry.vectors[name];
    else entry.vectors[name] = came;
  }
  console.log(`${Object.keys(entry.vectors).length} left: ${entry.kind}: ${entry.why}`);
}
const left = lists[file].filter(({ vectors: names }) => Object.keys(names).length > 0);
writeFileSync(new URL(file, import.meta.url), `${JSON.stringify(left, null, 2)}\n`);
await server.stop();
