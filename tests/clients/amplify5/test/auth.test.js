import { load } from '../../datastore/generation5.js';
import { notes } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import auth from '../../datastore/cases/auth.js';

const client = load(import.meta.url, notes);
await auth(cases(client), client);
