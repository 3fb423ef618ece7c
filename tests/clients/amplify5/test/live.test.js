import { load } from '../../datastore/generation5.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import live from '../../datastore/cases/live.js';

const client = load(import.meta.url, suite);
live(cases(client), client);
