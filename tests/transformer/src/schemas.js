// The schemas and the outputs that are kept beside them.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../core/tests/data/transformer');

export const schemas = readdirSync(folder)
  .filter((file) => file.endsWith('.graphql') && !file.endsWith('.api.graphql'))
  .sort()
  .map((file) => {
    const name = file.replace(/\.graphql$/, '');
    const path = join(folder, file);
    return { name, path, golden: join(folder, `${name}.api.graphql`), sdl: readFileSync(path, 'utf8') };
  });
