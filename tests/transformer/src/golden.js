// Writes what the transformer prints today beside each schema.
import { writeFileSync } from 'node:fs';
import { schemas } from './schemas.js';
import { transform } from './transform.js';

for (const { name, golden, sdl } of schemas) {
  writeFileSync(golden, transform(sdl));
  console.log(name);
}
