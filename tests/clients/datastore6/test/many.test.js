import { load } from '../../datastore/generation6.js';
import { hundred, hundredFile } from '../../datastore/hundred.js';
import { cases } from '../../datastore/world.js';
import many from '../../datastore/cases/many.js';

const client = load(import.meta.url, hundred);
many(cases(client, hundredFile), client);
