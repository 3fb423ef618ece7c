// Tokens of an issuer that others wrote, with its discovery document and its keys, before the real binary.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { accessToken, clientId, makeKey, patience, signIn, startIssuer } from '../src/issuer.js';
import { startConfigured } from '../src/server.js';

const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const first = algorithms.map((alg) => makeKey(`first-${alg}`, alg));
const issuer = await startIssuer(first);
// Also when a test has failed: an open listener would keep the process.
after(() => issuer.stop());
const server = await startConfigured(`
[[issuers]]
issuer = "${issuer.url}"
client_id = "app-[0-9]+"
`);
after(() => server.stop());

async function ask(authorization) {
  const response = await fetch(server.url, {
    method: 'POST',
    signal: AbortSignal.timeout(patience),
    headers: { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) },
    body: JSON.stringify({ query: '{ __typename }' }),
  });
  const body = await response.json();
  return { status: response.status, message: body.errors?.[0].message, data: body.data, wait: response.headers.get('retry-after') };
}

async function accepted(authorization) {
  const answer = await ask(authorization);
  assert.deepEqual([answer.status, answer.data], [200, { __typename: 'Query' }], answer.message);
}

async function refused(authorization, message = 'You are not authorized to make this call.') {
  const answer = await ask(authorization);
  assert.deepEqual([answer.status, answer.message], [401, message]);
}

test('a person signs in and is let in', async () => {
  const token = await signIn(issuer, 'ada');
  await accepted(token);
  await accepted(`Bearer ${token}`);
});

for (const alg of algorithms) {
  test(`an access token signed by ${alg}`, async () => accepted(await accessToken(issuer, alg)));
}

test('nothing, and what is no token', async () => {
  await refused(undefined, 'Missing authorization header');
  await refused('letmein', 'Unable to parse JWT token.');
});

test('a token for another audience', async () => {
  // Its client may call, so AppSync's rule lets it in; the audience alone would not.
  const token = await accessToken(issuer, 'RS256', 'https://shop.example');
  const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  assert.equal(claims.client_id, clientId);
  await accepted(token);
  const strict = await startConfigured(`[[issuers]]\nissuer = "${issuer.url}"\nclient_id = "other"\n`);
  try {
    const response = await fetch(strict.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: token },
      body: JSON.stringify({ query: '{ __typename }' }),
    });
    assert.equal(response.status, 401);
  } finally {
    await strict.stop();
  }
});

test('a token that was changed, stripped or signed with what everybody knows', async () => {
  const [header, payload, signature] = (await accessToken(issuer, 'RS256')).split('.');
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  await accepted(`${header}.${payload}.${signature}`);
  await refused(`${header}.${encode({ ...claims, sub: 'eve' })}.${signature}`);
  await refused(`${encode({ alg: 'none' })}.${payload}.`);
  const { keys } = await (await fetch(`${issuer.url}/jwks`)).json();
  const known = keys.find((key) => key.kid === 'first-RS256');
  const hs256 = `${encode({ alg: 'HS256', kid: known.kid })}.${payload}`;
  const mac = createHmac('sha256', Buffer.from(known.n, 'base64url')).update(hs256).digest('base64url');
  await refused(`${hs256}.${mac}`);
});

test('the issuer rotates its keys, and then goes away', async () => {
  const old = await accessToken(issuer, 'ES256');
  await accepted(old);
  issuer.rotate(algorithms.map((alg) => makeKey(`second-${alg}`, alg)));
  const token = await accessToken(issuer, 'ES256');
  const before = issuer.fetched.keys;
  // Keys are fetched at most every ten seconds; until then the answer is to come again, and never a refusal.
  const end = Date.now() + 30_000;
  let answer = await ask(token);
  while (answer.status === 503 && Date.now() < end) {
    assert.equal(answer.wait, '1');
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(answer.wait)));
    answer = await ask(token);
  }
  assert.equal(answer.status, 200, answer.message);
  assert.equal(issuer.fetched.keys, before + 1);
  await refused(old);
  await issuer.stop();
  await accepted(token);
});
