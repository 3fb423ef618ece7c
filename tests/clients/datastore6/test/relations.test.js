import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import relations from '../../datastore/cases/relations.js';

const client = load(import.meta.url, suite);
relations(cases(client), client);
