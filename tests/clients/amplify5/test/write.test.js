import { load } from '../../datastore/generation5.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import write from '../../datastore/cases/write.js';

const client = load(import.meta.url, suite);
write(cases(client), client);
