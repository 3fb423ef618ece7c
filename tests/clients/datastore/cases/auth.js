// DataStore under each of the five modes, and what a user may not see.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { frames, sockets } from '../../src/environment.js';
import { startAuthorizer, startPool } from '../../src/pool.js';
import { apiKey, startConfigured } from '../../src/server.js';
import { until } from '../../src/until.js';

const schema = join(dirname(fileURLToPath(import.meta.url)), '../auth.graphql');
const iam = { accessKeyId: 'AKIDCLIENTS', secretAccessKey: 'a secret of at least sixteen' };

export default async function (it, g) {
  const { Note } = g.models;
  const [pool, authorizer] = [await startPool(), await startAuthorizer()];
  const begin = (mode) => () =>
    startConfigured(
      `[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n` +
        `[[issuers]]\nissuer = "${pool.url}"\nmode = "${mode}"\nclient_id = "app"\n` +
        `[[iam]]\nname = "phones"\naccess_key_id = "${iam.accessKeyId}"\nsecret_access_key = "${iam.secretAccessKey}"\nrole = "authenticated"\nallow = ["*"]\n` +
        `[authorizer]\nurl = "${authorizer.url}"\n`,
      schema,
    );
  const pools = begin('AMAZON_COGNITO_USER_POOLS');
  const user = (name, more) => () => pool.tokens(name, more);
  const texts = async (w) => (await w.DataStore.query(Note)).map((note) => note.text).sort();

  it('API_KEY', async (w) => {
    await w.start();
    const note = await w.save(new Note({ text: 'a' }));
    await w.sent();
    assert.equal((await w.row('Note', note.id, 'text owner')).owner, null);
    await w.put('Note', { id: 'other', text: 'b' });
    await w.shows(Note, 'other');
    assert.deepEqual(w.errors, []);
  }, { begin: pools });

  it('AMAZON_COGNITO_USER_POOLS: a user has his own records, in base sync, real time and answers', async (w) => {
    await w.put('Note', { id: 'bobs', text: 'bob', owner: 'sub-bob::bob' });
    await w.put('Note', { id: 'anns', text: 'ann', owner: 'sub-ann::ann' });
    await w.start();
    assert.deepEqual(await texts(w), ['ann']);
    const note = await w.save(new Note({ text: 'mine' }));
    await w.sent();
    assert.equal((await w.row('Note', note.id, 'owner')).owner, 'ann');
    await w.shows(Note, note.id, (n) => n.owner === 'ann' && n._version === 1);
    await w.put('Note', { id: 'bob2', text: 'bob', owner: 'sub-bob::bob' });
    await w.put('Note', { id: 'ann2', text: 'ann', owner: 'sub-ann::ann' });
    await w.shows(Note, 'ann2');
    assert.equal(await w.DataStore.query(Note, 'bob2'), undefined);
    assert.ok(!JSON.stringify(frames.filter((f) => !f.out)).includes('bob2'), 'no event of it came');
    assert.deepEqual(w.errors, []);
  }, { begin: pools, identity: { mode: 'userPool', tokens: user('ann') } });

  it('AMAZON_COGNITO_USER_POOLS: a group reads all and writes what is its own', async (w) => {
    await w.put('Note', { id: 'bobs', text: 'bob', owner: 'sub-bob::bob' });
    await w.start();
    const bobs = await w.shows(Note, 'bobs');
    await w.change(bobs, (note) => void (note.text = 'taken'));
    await until('the refusal is told', () => w.errors.length > 0);
    assert.equal((await w.row('Note', 'bobs', 'text')).text, 'bob');
  }, { begin: pools, identity: { mode: 'userPool', tokens: user('zoe', { groups: ['Staff'] }) } });

  it('OPENID_CONNECT', async (w) => {
    await w.put('Note', { id: 'bobs', text: 'bob', owner: 'sub-bob::bob' });
    await w.start();
    const note = await w.save(new Note({ text: 'mine' }));
    await w.sent();
    assert.equal((await w.row('Note', note.id, 'owner')).owner, 'ann');
    assert.deepEqual(await texts(w), ['mine']);
    assert.deepEqual(w.errors, []);
  }, { begin: begin('OPENID_CONNECT'), identity: { mode: 'oidc', tokens: user('ann') } });

  it('AWS_IAM: requests, handshake and starts are signed', async (w) => {
    await w.start();
    await w.save(new Note({ text: 'signed' }));
    await w.sent();
    await w.put('Note', { id: 'other', text: 'b' });
    await w.shows(Note, 'other');
    assert.deepEqual(w.errors, []);
  }, { begin: pools, identity: { mode: 'iam', keys: iam } });

  it('AWS_IAM: a signature by another secret brings nothing', async (w) => {
    await w.put('Note', { id: 'other', text: 'b' });
    await w.DataStore.start();
    await until('it is told', () => w.errors.length > 0);
    assert.deepEqual(await texts(w), []);
  }, { begin: pools, identity: { mode: 'iam', keys: { ...iam, secretAccessKey: 'another secret altogether' } } });

  it('AWS_LAMBDA: the authorizer is asked', async (w) => {
    w.configure({ authProviders: { functionAuthProvider: async () => ({ token: 'open sesame' }) } });
    await w.start();
    const note = await w.save(new Note({ text: 'sesame' }));
    await w.sent();
    assert.equal((await w.row('Note', note.id, 'text')).text, 'sesame');
    assert.ok(authorizer.asked.includes('open sesame'));
  }, { begin: pools, identity: { mode: 'lambda' } });

  it('a token that expires: the client comes back with a fresh one and misses nothing', async (w) => {
    await w.start();
    await w.put('Note', { id: 'before', text: 'a', owner: 'sub-ann::ann' });
    await w.shows(Note, 'before');
    const [socket] = sockets;
    await until('the server has ended what the token let in', () => socket.readyState === socket.CLOSED, 30_000);
    await w.put('Note', { id: 'after', text: 'b', owner: 'sub-ann::ann' });
    await until('the change comes with the fresh token', async () => (await w.DataStore.query(Note, 'after')) !== undefined, 60_000);
  }, { begin: pools, identity: { mode: 'userPool', tokens: shortThenLong(pool) } });
}

/** The first tokens are good for some seconds, later ones for long. */
function shortThenLong(pool) {
  const short = pool.tokens('ann', { seconds: 6 });
  const until = Date.now() + 5_000;
  return () => (Date.now() < until ? short : pool.tokens('ann'));
}
