// DataStore of aws-amplify 5. On a server it has no real-time; so that it takes Node for a browser, Node's version is hidden
// while its packages load.
import '../src/environment.js';
import { createRequire } from 'node:module';
import { identityPool } from '../src/pool.js';
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

const modes = { apiKey: 'API_KEY', userPool: 'AMAZON_COGNITO_USER_POOLS', oidc: 'OPENID_CONNECT', iam: 'AWS_IAM', lambda: 'AWS_LAMBDA' };
const clientId = 'app';

/** The storage of a client whose user has signed in: `tokens` are what the pool gave. */
function session(tokens) {
  const prefix = `CognitoIdentityServiceProvider.${clientId}`;
  const kept = new Map();
  const read = (key) => {
    if (tokens && key === `${prefix}.LastAuthUser`) return 'user';
    if (tokens && key === `${prefix}.user.idToken`) return tokens().idToken;
    if (tokens && key === `${prefix}.user.accessToken`) return tokens().accessToken;
    return kept.get(key) ?? null;
  };
  return { getItem: read, setItem: (key, value) => void kept.set(key, value), removeItem: (key) => void kept.delete(key), clear: () => kept.clear() };
}

/** Loads the client from `from`'s packages, with the models of `schema`. */
export function load(from, schema) {
  const require = createRequire(from);
  const { Amplify, API, Auth, Cache, Hub } = hidden(() => require('aws-amplify'));
  const store = hidden(() => require('@aws-amplify/datastore'));
  const { default: Adapter } = require('@aws-amplify/datastore/lib/storage/adapter/AsyncStorageAdapter.js');
  return {
    name: 'aws-amplify 5',
    ...store,
    Hub,
    Adapter,
    models: schema && store.initSchema(schema),
    modelNames: Object.keys(schema?.models ?? {}),
    configure(url, more = {}, { mode = 'apiKey', tokens, keys } = {}) {
      // The first configuration of a process would stay.
      store.DataStore.amplifyConfig = {};
      Amplify.configure({
        aws_project_region: 'us-east-1',
        aws_appsync_graphqlEndpoint: url,
        aws_appsync_region: 'us-east-1',
        aws_appsync_authenticationType: modes[mode],
        aws_appsync_apiKey: apiKey,
        aws_appsync_dangerously_connect_to_http_endpoint_for_testing: true,
        aws_cognito_region: 'us-east-1',
        Auth: { region: 'us-east-1', userPoolId: 'us-east-1_pool', userPoolWebClientId: clientId, identityPoolId: 'us-east-1:pool', storage: session(mode === 'oidc' ? undefined : tokens) },
        ...more,
      });
      // The keys of another case would be kept until they expire.
      Auth.Credentials.clear();
      identityPool(keys);
      Cache.removeItem('federatedInfo');
      if (mode === 'oidc') Cache.setItem('federatedInfo', { token: tokens().idToken });
    },
    graphql: (options) => API.graphql(options),
    graphqlWithHeaders: (options, headers) => API.graphql(options, headers),
    value: (event) => event.value,
    startsOffline: true,
    wrongKey: { aws_appsync_apiKey: 'wrong' },
  };
}
