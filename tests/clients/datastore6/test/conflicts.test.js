import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import conflicts from '../../datastore/cases/conflicts.js';

const client = load(import.meta.url, suite);
conflicts(cases(client), client);
