// DataStore of aws-amplify 6. CommonJS on purpose: as ES modules the packages load two copies of their core.
import '../src/environment.js';
import { createRequire } from 'node:module';
import { apiKey } from '../src/server.js';

/** Loads the client from `from`'s packages, with the models of `schema`. */
export function load(from, schema) {
  const require = createRequire(from);
  const { Amplify } = require('aws-amplify');
  const { Hub } = require('aws-amplify/utils');
  const { decodeJWT } = require('aws-amplify/auth');
  const { generateClient } = require('aws-amplify/api');
  const store = require('@aws-amplify/datastore');
  const { default: Adapter } = require('@aws-amplify/datastore/dist/cjs/storage/adapter/AsyncStorageAdapter.js');
  const decoded = ({ accessToken, idToken }) => ({ accessToken: decodeJWT(accessToken), idToken: decodeJWT(idToken) });
  return {
    name: 'aws-amplify 6',
    ...store,
    Hub,
    Adapter,
    models: schema && store.initSchema(schema),
    modelNames: Object.keys(schema?.models ?? {}),
    configure(url, more = {}, { mode = 'apiKey', tokens, keys } = {}) {
      const GraphQL = { endpoint: url, region: 'us-east-1', defaultAuthMode: mode, apiKey, ...more };
      const Auth = {
        tokenProvider: tokens && { getTokens: async () => decoded(tokens()) },
        credentialsProvider: keys && { getCredentialsAndIdentityId: async () => ({ credentials: keys }), clearCredentialsAndIdentityId() {} },
      };
      Amplify.configure({ API: { GraphQL } }, { Auth });
    },
    client: generateClient,
    graphql: (options) => generateClient().graphql(options),
    graphqlWithHeaders: (options, headers) => generateClient().graphql(options, headers),
    value: (event) => event,
    wrongKey: { apiKey: 'wrong' },
  };
}
