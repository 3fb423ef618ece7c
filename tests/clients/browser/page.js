// The app of the browser tests: DataStore of version 6 as an app bundles it, with its own choice of a local store.
import { Amplify } from 'aws-amplify';
import { Hub } from 'aws-amplify/utils';
import { DataStore, initSchema } from '@aws-amplify/datastore';
import { suite } from '../datastore/models.js';

const models = initSchema(suite);
const events = [];
const errors = [];
Hub.listen('datastore', ({ payload }) => events.push(payload));

const plain = (record) => record && JSON.parse(JSON.stringify(record));

window.app = {
  configure(endpoint, apiKey) {
    Amplify.configure({ API: { GraphQL: { endpoint, region: 'us-east-1', defaultAuthMode: 'apiKey', apiKey } } });
    DataStore.configure({ DataStore: { errorHandler: (error) => errors.push(error.message) } });
  },
  start: () => DataStore.start(),
  happened: (event) => events.some((e) => e.event === event),
  count: (event) => events.filter((e) => e.event === event).length,
  active: () => events.findLast((e) => e.event === 'networkStatus')?.data.active,
  errors: () => errors,
  query: async (model, id) => plain(await DataStore.query(models[model], id)),
  save: async (model, values) => plain(await DataStore.save(new models[model](values))),
  update: async (model, id, values) =>
    plain(await DataStore.save(models[model].copyOf(await DataStore.query(models[model], id), (draft) => Object.assign(draft, values)))),
  remove: async (model, id) => plain(await DataStore.delete(await DataStore.query(models[model], id))),
  databases: async () => (await indexedDB.databases()).map((d) => d.name),
};
