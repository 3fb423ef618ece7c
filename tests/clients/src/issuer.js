// An issuer that others wrote (npm `oidc-provider`), on a free port of this machine, and a user who signs in with it.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { privateKey } from './keys.js';

export const clientId = 'app-1';
const clientSecret = randomBytes(24).toString('base64url');
/** What takes longer than this, in ms, takes for ever. */
export const patience = 20_000;
const redirectUri = 'http://127.0.0.1/signed-in';

/** A private key as a JWK with this name. */
export function makeKey(kid, alg) {
  const key =
    alg === 'EdDSA' ? privateKey('ed25519')
    : alg.startsWith('ES') ? privateKey('ec', { namedCurve: alg === 'ES384' ? 'P-384' : 'P-256' })
    : privateKey('rsa', { modulusLength: 2048 });
  return { ...key.export({ format: 'jwk' }), kid, use: 'sig', alg };
}

/** Starts an issuer with these keys; `rotate` gives it others. */
export async function startIssuer(keys) {
  let handle;
  const server = createServer((request, response) => handle(request, response));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const fetched = { keys: 0 };
  const rotate = (next) => {
    const callback = provider(url, next).callback();
    handle = (request, response) => {
      if (request.url === '/jwks') fetched.keys += 1;
      callback(request, response);
    };
  };
  rotate(keys);
  return {
    url,
    rotate,
    fetched,
    async stop() {
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function provider(url, keys) {
  const algorithms = [...new Set(keys.map((key) => key.alg))];
  const made = new Provider(url, {
    jwks: { keys },
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        application_type: 'native',
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['client_credentials', 'authorization_code'],
        response_types: ['code'],
        redirect_uris: [redirectUri],
        id_token_signed_response_alg: algorithms[0],
      },
    ],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'api',
          audience: new URL(resource).searchParams.get('aud'),
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: new URL(resource).searchParams.get('alg') } },
        }),
      },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
  });
  return made;
}

async function token(issuer, parameters) {
  const response = await fetch(`${issuer.url}/token`, {
    method: 'POST',
    signal: AbortSignal.timeout(patience),
    body: new URLSearchParams({ client_id: clientId, client_secret: clientSecret, ...parameters }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`no token: ${JSON.stringify(body)}`);
  return body;
}

/** An access token for `aud`, signed by `alg`, of the client itself. */
export async function accessToken(issuer, alg, aud = clientId) {
  const resource = `urn:api?${new URLSearchParams({ alg, aud })}`;
  const answer = await token(issuer, { grant_type: 'client_credentials', scope: 'api', resource });
  return answer.access_token;
}

/** Signs in as a person with a browser does: sign-in page, consent page, code, tokens. Gives the id token. */
export async function signIn(issuer, login) {
  const cookies = new Map();
  const go = async (url, form) => {
    const response = await fetch(new URL(url, issuer.url), {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      redirect: 'manual',
      signal: AbortSignal.timeout(patience),
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    await response.arrayBuffer();
    return response.headers.get('location');
  };
  const verifier = randomBytes(32).toString('base64url');
  let place = await go(
    `/auth?${new URLSearchParams({
      client_id: clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: 'openid',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    })}`,
  );
  const forms = [{ prompt: 'login', login, password: 'any' }, { prompt: 'consent' }];
  for (let steps = 0; steps < 10 && place && !place.startsWith(redirectUri); steps += 1) {
    place = await go(place, place.includes('/interaction/') ? forms.shift() : undefined);
  }
  const code = place && new URL(place).searchParams.get('code');
  if (!code) throw new Error(`not signed in: the issuer leads to ${place}`);
  const answer = await token(issuer, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
  });
  return answer.id_token;
}
