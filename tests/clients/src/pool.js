// A user pool of our own: discovery, keys, and tokens with the claims that a test wants, as Cognito makes them.
import { createSign } from 'node:crypto';
import { createServer } from 'node:http';
import { privateKey } from './keys.js';

const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');

export async function startPool() {
  const key = privateKey('rsa', { modulusLength: 2048 });
  const { kty, n, e } = key.export({ format: 'jwk' });
  const jwk = { kty, n, e, kid: 'pool', use: 'sig', alg: 'RS256' };
  let url;
  const server = createServer((request, response) => {
    const found = { '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/jwks` }, '/jwks': { keys: [jwk] } }[request.url];
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(found ?? {}));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    /** An access token and an id token of `name`, good for `seconds`. */
    tokens(name, { groups = [], seconds = 600 } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const both = { iss: url, sub: `sub-${name}`, iat: now, exp: now + seconds, 'cognito:groups': groups };
      const sign = (claims) => {
        const text = `${part({ alg: 'RS256', kid: 'pool' })}.${part({ ...both, ...claims })}`;
        return `${text}.${createSign('sha256').update(text).sign(key, 'base64url')}`;
      };
      return {
        accessToken: sign({ token_use: 'access', client_id: 'app', username: name }),
        idToken: sign({ token_use: 'id', aud: 'app', 'cognito:username': name }),
      };
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * What a Cognito identity pool would give the clients of version 5, which ask for it at a fixed address: `keys`, to
 * whoever asks. Without keys there is no such pool.
 */
export function identityPool(keys) {
  pools.keys = keys;
  if (pools.fetch) return;
  pools.fetch = globalThis.fetch;
  globalThis.fetch = (url, options) => {
    if (!/^https:\/\/cognito-identity\./.test(String(url))) return pools.fetch(url, options);
    if (!pools.keys) return Promise.resolve(Response.json({ __type: 'ResourceNotFoundException' }, { status: 400 }));
    const { accessKeyId, secretAccessKey } = pools.keys;
    const [IdentityId, Expiration] = ['us-east-1:identity', Date.now() / 1000 + 3600];
    return Promise.resolve(Response.json({ IdentityId, Credentials: { AccessKeyId: accessKeyId, SecretKey: secretAccessKey, SessionToken: 'session', Expiration } }));
  };
}
const pools = { keys: undefined, fetch: undefined };

/** An authorizer: lets in the token `open sesame`, and says what it was asked. */
export async function startAuthorizer() {
  const asked = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { authorizationToken } = JSON.parse(text);
    asked.push(authorizationToken);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ isAuthorized: authorizationToken === 'open sesame', ttlOverride: 1 }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return { asked, url: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}
