// DataStore of aws-amplify 5. On a server it has no real-time; so that it takes Node for a browser, Node's version is hidden
// while its packages load.
import '../src/environment.js';
import { createRequire } from 'node:module';
import { apiKey } from '../src/server.js';

// `fetch` reads the version when it is first used.
await fetch('data:,');

function hidden(run) {
  const versions = Object.getOwnPropertyDescriptor(process, 'versions');
  Object.defineProperty(process, 'versions', { ...versions, value: { ...process.versions, node: undefined } });
  try {
    return run();
  } finally {
    Object.defineProperty(process, 'versions', versions);
  }
}

/** Loads the client from `from`'s packages, with the models of `schema`. */
export function load(from, schema) {
  const require = createRequire(from);
  const { Amplify, API, Hub } = hidden(() => require('aws-amplify'));
  const store = hidden(() => require('@aws-amplify/datastore'));
  const { default: Adapter } = require('@aws-amplify/datastore/lib/storage/adapter/AsyncStorageAdapter.js');
  return {
    name: 'aws-amplify 5',
    ...store,
    Hub,
    Adapter,
    models: schema && store.initSchema(schema),
    modelNames: Object.keys(schema?.models ?? {}),
    configure(url, more = {}) {
      Amplify.configure({
        aws_project_region: 'us-east-1',
        aws_appsync_graphqlEndpoint: url,
        aws_appsync_region: 'us-east-1',
        aws_appsync_authenticationType: 'API_KEY',
        aws_appsync_apiKey: apiKey,
        aws_appsync_dangerously_connect_to_http_endpoint_for_testing: true,
        ...more,
      });
    },
    graphql: (options) => API.graphql(options),
    graphqlWithHeaders: (options, headers) => API.graphql(options, headers),
    value: (event) => event.value,
    startsOffline: true,
    wrongKey: { aws_appsync_apiKey: 'wrong' },
  };
}
