// An OpenID Connect issuer as far as a server needs one: the discovery document and the keys, on a free port of 127.0.0.1, and
// tokens for whomever the rig names, good for as long as it says. Nobody signs in here: that is `tests/clients`' affair.
import { createPublicKey, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { privateKey } from '../../clients/src/keys.js';

export const clientId = 'bindings-test';

/** Starts an issuer; `token` makes a token, `stop` ends the listener. */
export async function startIssuer() {
  const key = privateKey('ec', { namedCurve: 'P-256' });
  const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: 'rig', use: 'sig', alg: 'ES256' };
  const server = createServer((request, response) => {
    const known = {
      '/.well-known/openid-configuration': () => ({
        issuer: url,
        jwks_uri: `${url}/jwks`,
        id_token_signing_alg_values_supported: ['ES256'],
      }),
      '/jwks': () => ({ keys: [jwk] }),
    }[request.url];
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(known ? known() : { error: 'not_found' }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    /** A token of `user` that ends in `seconds`; with 0 or less it has ended, and a server refuses it at once. */
    token(user, seconds) {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: url, sub: user, aud: clientId, iat: now + Math.min(seconds, 0) - 1, exp: now + seconds };
      const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const signed = `${encode({ alg: 'ES256', kid: 'rig', typ: 'JWT' })}.${encode(claims)}`;
      return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
