import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import subscriptions from '../../datastore/cases/subscriptions.js';

const client = load(import.meta.url, suite);
subscriptions(cases(client), client);
