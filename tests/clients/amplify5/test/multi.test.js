import { load } from '../../datastore/generation5.js';
import { multi } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import run from '../../datastore/cases/multi.js';

const client = load(import.meta.url, multi);
await run(cases(client), client);
