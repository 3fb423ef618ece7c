// DataStore with several modes: it tries what the models' rules name, in the order of `AuthModeStrategyType.MULTI_AUTH`, and
// goes on to the next where the server says Unauthorized.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPool } from '../../src/pool.js';
import { apiKey, startConfigured } from '../../src/server.js';
import { until } from '../../src/until.js';

const schema = join(dirname(fileURLToPath(import.meta.url)), '../multi.graphql');
const keys = (role) => ({ accessKeyId: `AKID${role.toUpperCase()}`, secretAccessKey: `the secret of ${role} phones` });

export default async function (it, g) {
  const { Page, Board } = g.models;
  const pool = await startPool();
  const staff = pool.tokens('zoe', { groups: ['Staff'] }).accessToken;
  const iam = (role) =>
    `[[iam]]\nname = "${role}"\naccess_key_id = "${keys(role).accessKeyId}"\nsecret_access_key = "${keys(role).secretAccessKey}"\nrole = "${role}"\nallow = ["*"]\n`;
  const begin = () =>
    startConfigured(
      `[[api_keys]]\nname = "test"\nkey = "${apiKey}"\n` +
        `[[issuers]]\nissuer = "${pool.url}"\nmode = "AMAZON_COGNITO_USER_POOLS"\nclient_id = "app"\n` +
        iam('authenticated') +
        iam('unauthenticated'),
      schema,
    );
  const configure = { authModeStrategyType: g.AuthModeStrategyType.MULTI_AUTH };
  const options = (identity) => ({ begin, configure, identity });
  const texts = async (w, model) => (await w.DataStore.query(model)).map((record) => record.text).sort();
  /** Written by others: a page of Ann's, a page of Bob's, a board. */
  async function others(w, n) {
    for (const name of ['ann', 'bob']) {
      const query = 'mutation ($i: CreatePageInput!) { createPage(input: $i) { id text owner createdAt updatedAt _version _deleted _lastChangedAt } }';
      await w.askAs(pool.tokens(name).accessToken, query, { i: { id: `${name}${n}`, text: `${name}${n}` } });
    }
    const query = 'mutation ($i: CreateBoardInput!) { createBoard(input: $i) { id text createdAt updatedAt _version _deleted _lastChangedAt } }';
    await w.askAs(staff, query, { i: { id: `board${n}`, text: `board${n}` } });
  }

  it('several modes: a guest reads by the API key and by unauthenticated IAM, and writes nothing', async (w) => {
    await others(w, 1);
    await w.start();
    assert.deepEqual([await texts(w, Page), await texts(w, Board)], [['ann1', 'bob1'], ['board1']]);
    await others(w, 2);
    await w.shows(Page, 'bob2');
    await w.shows(Board, 'board2');
    assert.deepEqual(w.errors, []);
    const board = await w.save(new Board({ text: 'scribble' }));
    await until('the refusal is told', () => w.errors.length > 0);
    assert.equal((await w.askAs(staff, `{ getBoard(id: "${board.id}") { id } }`)).getBoard, null);
  }, options({ keys: keys('unauthenticated') }));

  it('several modes: a user has his own pages by his token, and boards by IAM, his token being refused there', async (w) => {
    await others(w, 1);
    await w.start();
    assert.deepEqual([await texts(w, Page), await texts(w, Board)], [['ann1'], ['board1']]);
    const page = await w.save(new Page({ text: 'mine' }));
    const board = await w.save(new Board({ text: 'ours' }));
    await w.sent();
    await w.shows(Page, page.id, (p) => p.owner === 'ann' && p._version === 1);
    await w.shows(Board, board.id, (b) => b._version === 1);
    assert.equal((await w.askAs(staff, `{ getBoard(id: "${board.id}") { text } }`)).getBoard.text, 'ours');
    await others(w, 2);
    await w.shows(Page, 'ann2');
    await w.shows(Board, 'board2');
    assert.equal(await w.DataStore.query(Page, 'bob2'), undefined);
    // The client tells the app of each mode that a sync query was refused in, also where a later one served.
    assert.deepEqual([...new Set(w.errors.map((e) => `${e.operation} ${e.type}`))], ['syncBoards Unauthorized']);
  }, options({ tokens: () => pool.tokens('ann'), keys: keys('authenticated') }));

  it('several modes: a group has the boards by its token', async (w) => {
    await others(w, 1);
    await w.start();
    assert.deepEqual([await texts(w, Page), await texts(w, Board)], [[], ['board1']]);
    const board = await w.change(await w.shows(Board, 'board1'), (b) => void (b.text = 'wiped'));
    await w.sent();
    await w.shows(Board, board.id, (b) => b._version === 2);
    assert.ok(w.door.of('updateBoard').every((r) => r.headers.authorization?.startsWith('ey')), 'by the first mode');
    assert.deepEqual(w.errors, []);
  }, options({ tokens: () => pool.tokens('zoe', { groups: ['Staff'] }) }));
}
