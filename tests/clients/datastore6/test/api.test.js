import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import api from '../../datastore/cases/api.js';

const client = load(import.meta.url, suite);
api(cases(client), client);
