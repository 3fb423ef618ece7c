// What is answered otherwise than a vector expects: `answers.json` on purpose, `to-mend.json` for want of a mend.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Each list: entries with a `why`, and in each what came for each vector. */
export const lists = Object.fromEntries(['answers.json', 'to-mend.json'].map((file) => [file, JSON.parse(readFileSync(join(here, file), 'utf8'))]));

/** By a vector's name: the list it is in, its kind, why, and what came. */
export function noted() {
  const all = new Map();
  for (const [file, entries] of Object.entries(lists)) {
    for (const { kind, why, vectors } of entries) {
      for (const [name, came] of Object.entries(vectors)) {
        if (all.has(name)) throw new Error(`${name} is in the lists twice`);
        all.set(name, { file, kind, why, came });
      }
    }
  }
  return all;
}
