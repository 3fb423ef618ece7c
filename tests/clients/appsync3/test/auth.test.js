// Who may subscribe by the hand-shake: every mode, rules, and credentials that end.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { makeKey, signIn, startIssuer } from '../../src/issuer.js';
import { startAuthorizer, startPool } from '../../src/pool.js';
import { apiKey, startConfigured } from '../../src/server.js';
import { until } from '../../src/until.js';
import { AUTH_TYPE, gql, hear, it, links, schema, shake } from '../client.js';
import { Raw } from '../raw.js';

const iam = { accessKeyId: 'AKIDCLIENTS', secretAccessKey: 'a secret of at least sixteen' };
const [pool, authorizer, issuer] = [await startPool(), await startAuthorizer(), await startIssuer([makeKey('k', 'RS256')])];
after(() => Promise.all([pool.stop(), authorizer.stop(), issuer.stop()]));

const begin = () =>
  startConfigured(
    `[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n` +
      `[[issuers]]\nissuer = "${pool.url}"\nmode = "AMAZON_COGNITO_USER_POOLS"\nclient_id = "app"\n` +
      `[[issuers]]\nissuer = "${issuer.url}"\nmode = "OPENID_CONNECT"\nclient_id = "app-1"\n` +
      `[[iam]]\nname = "phones"\naccess_key_id = "${iam.accessKeyId}"\nsecret_access_key = "${iam.secretAccessKey}"\nrole = "authenticated"\nallow = ["*"]\n` +
      `[authorizer]\nurl = "${authorizer.url}"\n`,
    schema,
  );

const NOTED = gql`subscription Noted { onCreateNote { id text owner } }`;
const note = (w, input) => w.ask('mutation ($input: CreateNoteInput!) { createNote(input: $input) { id } }', { input });
const user = (name, more) => ({ type: AUTH_TYPE.AMAZON_COGNITO_USER_POOLS, jwtToken: () => Promise.resolve(pool.tokens(name, more).accessToken) });

it('AMAZON_COGNITO_USER_POOLS: two users, each hears what is his own', async (w) => {
  const ann = await hear(w.client({ auth: user('ann') }), NOTED);
  const bob = await hear(w.client({ auth: user('bob') }), NOTED);
  const named = await hear(w.client({ auth: user('ann') }), gql`subscription S { onCreateNote(owner: "ann") { id } }`);
  await note(w, { id: 'bobs', text: 'b', owner: 'sub-bob::bob' });
  await note(w, { id: 'anns', text: 'a', owner: 'sub-ann::ann' });
  await note(w, { id: 'nobodys', text: 'c' });
  await until('each has one', () => [ann, bob, named].every((heard) => heard.events.length === 1));
  await note(w, { id: 'anns2', text: 'a', owner: 'sub-ann::ann' });
  await until('and another', () => ann.events.length === 2 && named.events.length === 2);
  assert.deepEqual(ann.events.map((e) => e.id), ['anns', 'anns2']);
  assert.deepEqual(bob.events.map((e) => e.id), ['bobs']);
  assert.ok(!links[0].packets.concat(links[2].packets).some((p) => String(p.payload).includes('bobs')), 'nor came it to be passed over');
  [ann, bob, named].forEach((heard) => heard.stop());
}, { begin });

it('AMAZON_COGNITO_USER_POOLS: whom the rules refuse has errors, and no topic', async (w) => {
  const query = gql`subscription S { onCreateSecret { id text } }`;
  const heard = await hear(w.client({ auth: user('ann') }), query);
  assert.match(heard.errors[0].message, /Error during subscription handshake|Not Authorized/);
  const [{ status, answer }] = w.shakes();
  assert.equal(status, 200);
  assert.equal(answer.errors[0].errorType, 'Unauthorized');
  assert.match(answer.errors[0].message, /Not Authorized to access onCreateSecret on type Subscription/);
  assert.equal(answer.extensions, undefined);
  assert.equal(links.length, 0);
  const staff = await hear(w.client({ auth: user('zoe', { groups: ['Staff'] }) }), query);
  await w.ask('mutation { createSecret(input: { id: "s", text: "x" }) { id } }');
  await until('a group hears it', () => staff.events.length === 1);
  staff.stop();
}, { begin });

it('another one\'s name in the argument is refused', async (w) => {
  const { accessToken } = pool.tokens('ann');
  const { body } = await shake(w.server.url, 'subscription { onCreateNote(owner: "bob") { id } }', undefined, { authorization: accessToken });
  assert.equal(body.errors?.[0].errorType, 'Unauthorized', JSON.stringify(body));
  assert.equal(body.extensions, undefined);
}, { begin });

it('OPENID_CONNECT, with an issuer that others wrote', async (w) => {
  const auth = { type: AUTH_TYPE.OPENID_CONNECT, jwtToken: await signIn(issuer, 'ada') };
  const heard = await hear(w.client({ auth }), NOTED);
  await note(w, { id: 'other', text: 'a', owner: 'ann' });
  await note(w, { id: 'n', text: 'a', owner: 'ada' });
  await until('it comes', () => heard.events.length === 1);
  assert.equal(heard.events[0].id, 'n');
  heard.stop();
}, { begin });

it('AWS_IAM: the hand-shake is signed', async (w) => {
  const heard = await hear(w.client({ auth: { type: AUTH_TYPE.AWS_IAM, credentials: iam } }), NOTED);
  assert.match(w.shakes()[0].headers.authorization, /^AWS4-HMAC-SHA256/);
  await note(w, { id: 'n', text: 'a' });
  await until('it comes', () => heard.events.length === 1);
  heard.stop();
  const other = { ...iam, secretAccessKey: 'another secret altogether' };
  const refused = await hear(w.client({ auth: { type: AUTH_TYPE.AWS_IAM, credentials: other } }), NOTED);
  assert.equal(refused.errors.length, 1);
  assert.equal(links.length, 1);
}, { begin });

it('AWS_LAMBDA: the authorizer is asked', async (w) => {
  // The SDK is older than the mode; it sends any token as `authorization`.
  const auth = (jwtToken) => ({ type: AUTH_TYPE.OPENID_CONNECT, jwtToken });
  const heard = await hear(w.client({ auth: auth('open sesame') }), NOTED);
  assert.ok(authorizer.asked.includes('open sesame'));
  await note(w, { id: 'n', text: 'a' });
  await until('it comes', () => heard.events.length === 1);
  heard.stop();
  const refused = await hear(w.client({ auth: auth('open barley') }), NOTED);
  assert.equal(refused.errors.length, 1);
}, { begin });

it('a credential that expires ends the connection, and the app is told', async (w) => {
  let seconds = 6;
  const auth = { type: AUTH_TYPE.AMAZON_COGNITO_USER_POOLS, jwtToken: () => Promise.resolve(pool.tokens('ann', { seconds }).accessToken) };
  const client = w.client({ auth });
  const first = await hear(client, NOTED);
  const { expireTime } = w.shakes()[0].answer.extensions.subscription.newSubscriptions.onCreateNote;
  assert.ok(expireTime > Date.now() && expireTime <= Date.now() + 6000, 'it is said before');
  await note(w, { id: 'before', text: 'a', owner: 'ann' });
  await until('it comes', () => first.events.length === 1);
  await until('it is told', () => first.errors.length === 1);
  assert.ok(Date.now() >= expireTime);
  seconds = 600;
  const second = await hear(client, NOTED);
  await note(w, { id: 'after', text: 'a', owner: 'ann' });
  await until('with a fresh one it goes on', () => second.events.length === 1);
  assert.equal(first.events.length, 1);
  second.stop();
}, { begin });

it('a credential that has expired lets nobody connect by what it was given', async (w) => {
  const { accessToken } = pool.tokens('ann', { seconds: 2 });
  const { body } = await shake(w.server.url, 'subscription { onCreateNote { id } }', undefined, { authorization: accessToken });
  const { mqttConnections, newSubscriptions } = body.extensions.subscription;
  const [{ url, client }] = mqttConnections;
  await until('it has expired', () => Date.now() > newSubscriptions.onCreateNote.expireTime);
  assert.equal((await Raw.open(url, client)).code, 5);
}, { begin });
