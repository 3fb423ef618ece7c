import { load } from '../../datastore/generation6.js';
import { suite } from '../../datastore/models.js';
import { cases } from '../../datastore/world.js';
import network from '../../datastore/cases/network.js';

const client = load(import.meta.url, suite);
network(cases(client), client);
