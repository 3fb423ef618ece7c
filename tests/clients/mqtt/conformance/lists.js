// What is answered otherwise than a vector expects, on purpose.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The list: entries with a `why`, and in each what came for each vector. */
export const file = join(dirname(fileURLToPath(import.meta.url)), 'answers.json');
export const answers = JSON.parse(readFileSync(file, 'utf8'));

/** By a vector's name: its kind, why, and what came. */
export function noted() {
  const all = new Map();
  for (const { kind, why, vectors } of answers) {
    for (const [name, came] of Object.entries(vectors)) {
      if (all.has(name)) throw new Error(`${name} is in the list twice`);
      all.set(name, { kind, why, came });
    }
  }
  return all;
}
