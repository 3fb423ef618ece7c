import { load } from '../../datastore/generation5.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import sync from '../../datastore/cases/sync.js';

const client = load(import.meta.url, suite);
sync(cases(client), client);
