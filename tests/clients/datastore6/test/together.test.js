import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import together from '../../datastore/cases/together.js';

const client = load(import.meta.url, suite);
together(cases(client), client);
