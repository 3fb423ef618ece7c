// Two writers, one record: what the client makes of the server's answers. `Account` is optimistic, the others merge.
import assert from 'node:assert/strict';

export default function (it, g) {
  const { Post, Account, Item } = g.models;
  const still = { live: false };

  /** The client has the record at version 1, while the server's goes on to version 2 unseen by it. */
  async function stale(w, model, input, patch, key = { id: input.id }) {
    await w.put(model, input);
    await w.start(still);
    const known = await w.DataStore.query(g.models[model], key);
    assert.equal(known._version, 1);
    let patched = false;
    w.door.before = async ({ field }) => {
      if (patched || !/^(update|delete)/.test(field)) return;
      patched = true;
      await (patch === 'delete' ? w.drop(model, { ...key, _version: 1 }) : w.patch(model, { ...key, ...patch, _version: 1 }));
    };
    return known;
  }

  it('automerge: edits of different fields both stand', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a', rating: 1 }, { title: 'theirs' });
    await w.change(post, (p) => void (p.rating = 9));
    await w.sent();
    const row = await w.row('Post', 'p', 'title rating');
    assert.deepEqual([row.title, row.rating, row._version], ['theirs', 9, 3]);
    await w.shows(Post, 'p', (p) => p.title === 'theirs' && p.rating === 9 && p._version === 3);
    assert.equal(w.door.of('updatePost').length, 1, 'no conflict was told');
  });

  it('automerge: of two edits of one field the server’s stands, here too', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, { title: 'theirs' });
    await w.change(post, (p) => void (p.title = 'mine'));
    await w.sent();
    await w.shows(Post, 'p', (p) => p.title === 'theirs' && p._version === 3);
    assert.equal((await w.row('Post', 'p', 'title')).title, 'theirs');
  });

  it('automerge: a field that was null takes the incoming value', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, { title: 'theirs' });
    await w.change(post, (p) => Object.assign(p, { rating: 7, status: 'DRAFT' }));
    await w.sent();
    const row = await w.row('Post', 'p', 'rating status');
    assert.deepEqual([row.rating, row.status], [7, 'DRAFT']);
  });

  it('automerge: lists are joined, the server’s items first', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a', tags: ['x'] }, { tags: ['x', 'theirs'] });
    await w.change(post, (p) => void (p.tags = ['x', 'mine']));
    await w.sent();
    await w.shows(Post, 'p', (p) => p._version === 3);
    const { tags } = await w.row('Post', 'p', 'tags');
    assert.deepEqual(tags, ['x', 'theirs', 'x', 'mine']);
    assert.deepEqual((await w.DataStore.query(Post, 'p')).tags, tags);
  });

  it('automerge: an embedded value is merged key by key', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a', location: { lat: 1, lng: 1 } }, { title: 'theirs' });
    await w.change(post, (p) => void (p.location = { lat: 2, lng: 3 }));
    await w.sent();
    assert.deepEqual((await w.row('Post', 'p', 'location { lat lng }')).location, { lat: 2, lng: 3 });
  });

  it('automerge: a stale delete is a conflict, with the server’s record; a handler deletes at the new version', async (w) => {
    w.configure({ conflictHandler: ({ remoteModel }) => remoteModel });
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, { title: 'theirs' });
    await w.remove(post);
    await w.sent();
    const asked = w.door.of('deletePost');
    assert.deepEqual(asked.map((r) => r.variables.input._version), [1, 2]);
    const [error] = asked[0].answer.errors;
    assert.equal(error.errorType, 'ConflictUnhandled');
    assert.deepEqual([error.data.title, error.data._version, error.data._deleted], ['theirs', 2, null]);
    assert.equal((await w.row('Post', 'p', 'id'))._deleted, true);
    await w.lacks(Post, 'p');
  });

  it('automerge: a stale delete that a handler discards: the record comes back as the server has it', async (w) => {
    w.configure({ conflictHandler: () => g.DISCARD });
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, { title: 'theirs' });
    await w.remove(post);
    await w.shows(Post, 'p', (p) => p?.title === 'theirs' && p._version === 2);
    assert.equal((await w.row('Post', 'p', 'id'))._deleted, null);
  });

  it('automerge: two stale updates in the queue, one after the other', async (w) => {
    const post = await stale(w, 'Post', { id: 'p', title: 'a', rating: 0 }, { title: 'theirs' });
    const next = await w.change(post, (p) => void (p.rating = 1));
    await w.change(next, (p) => void (p.status = 'DRAFT'));
    await w.sent();
    await w.shows(Post, 'p', (p) => p.title === 'theirs' && p.rating === 1 && p.status === 'DRAFT');
    const row = await w.row('Post', 'p', 'title rating status');
    assert.deepEqual([row.title, row.rating, row.status], ['theirs', 1, 'DRAFT']);
  });

  it('optimistic: without a rival an update is plain', async (w) => {
    await w.put('Account', { id: 'a', name: 'n', balance: 1 });
    await w.start(still);
    await w.change(await w.DataStore.query(Account, 'a'), (a) => void (a.balance = 2));
    await w.sent();
    assert.equal((await w.row('Account', 'a', 'balance')).balance, 2);
    assert.equal(w.door.of('updateAccount').length, 1);
  });

  it('optimistic: the answer of a conflict is what the clients need', async (w) => {
    const account = await stale(w, 'Account', { id: 'a', name: 'n', balance: 1 }, { balance: 5 });
    await w.change(account, (a) => void (a.balance = 2));
    await w.sent();
    const { status, answer } = w.door.of('updateAccount')[0];
    assert.equal(status, 200);
    assert.deepEqual(answer.data, { updateAccount: null });
    assert.equal(answer.errors.length, 1);
    const { errorType, message, data, path } = answer.errors[0];
    assert.deepEqual([errorType, message, path], ['ConflictUnhandled', 'Conflict resolver rejects mutation.', ['updateAccount']]);
    const selected = ['id', 'name', 'balance', 'note', 'createdAt', 'updatedAt', '_version', '_lastChangedAt', '_deleted'];
    assert.deepEqual(Object.keys(data).sort(), selected.sort());
    assert.deepEqual([data.balance, data._version, data._deleted, data.note], [5, 2, null, null]);
  });

  it('optimistic: the client’s own handler sends the edit again, at the new version', async (w) => {
    const account = await stale(w, 'Account', { id: 'a', name: 'n', balance: 1 }, { balance: 5, note: 'theirs' });
    await w.change(account, (a) => Object.assign(a, { name: 'm', balance: 2 }));
    await w.sent();
    assert.deepEqual(w.door.of('updateAccount').map((r) => r.variables.input._version), [1, 2]);
    const row = await w.row('Account', 'a', 'name balance');
    assert.deepEqual([row.name, row.balance, row._version], ['m', 2, 3]);
    await w.shows(Account, 'a', (a) => a.name === 'm' && a.balance === 2 && a._version === 3);
  });

  it('optimistic: where it cannot (a required field is not in the edit) it gives up and takes the server’s record', async (w) => {
    const account = await stale(w, 'Account', { id: 'a', name: 'n', balance: 1 }, { balance: 5 });
    await w.change(account, (a) => void (a.balance = 2));
    await w.sent();
    const tries = w.door.of('updateAccount');
    assert.ok(tries.length > 1 && tries.every((r) => r.variables.input._version === 1));
    await w.shows(Account, 'a', (a) => a.balance === 5 && a._version === 2);
    assert.equal((await w.row('Account', 'a', 'balance')).balance, 5);
  });

  // What a handler answers, and what stands at the end on both sides.
  const handlers = [
    ['applies the remote record', ({ remoteModel }) => remoteModel, { balance: 5, note: 'theirs' }],
    [
      'retries its own edit on the remote record',
      ({ localModel, remoteModel, modelConstructor }) =>
        modelConstructor.copyOf(remoteModel, (d) => void (d.balance = localModel.balance)),
      { balance: 2, note: 'theirs' },
    ],
    [
      'adds both edits',
      ({ localModel, remoteModel, modelConstructor }) =>
        modelConstructor.copyOf(remoteModel, (d) => void (d.balance = localModel.balance + remoteModel.balance)),
      { balance: 7, note: 'theirs' },
    ],
    ['says DISCARD', () => g.DISCARD, { balance: 5, note: 'theirs' }],
    ['answers later', async ({ remoteModel }) => Promise.resolve(remoteModel), { balance: 5, note: 'theirs' }],
  ];
  for (const [name, conflictHandler, wanted] of handlers) {
    it(`optimistic: a handler that ${name}`, async (w) => {
      const seen = [];
      w.configure({ conflictHandler: (conflict) => (seen.push(conflict), conflictHandler(conflict)) });
      const account = await stale(w, 'Account', { id: 'a', name: 'n', balance: 1 }, { balance: 5, note: 'theirs' });
      await w.change(account, (a) => void (a.balance = 2));
      await w.sent();
      assert.equal(seen.length, 1);
      const [{ remoteModel, localModel, operation, attempts, modelConstructor }] = seen;
      assert.equal(modelConstructor, Account);
      assert.deepEqual([remoteModel.balance, remoteModel._version, localModel.balance], [5, 2, 2]);
      assert.ok(operation && attempts >= 1);
      const row = await w.row('Account', 'a', 'name balance note');
      for (const [field, value] of Object.entries(wanted)) assert.equal(row[field], value, field);
      await w.shows(Account, 'a', (a) => a.balance === row.balance && a.note === row.note && a._version === row._version);
      assert.equal(w.door.of('getAccount').length, name === 'says DISCARD' ? 1 : 0);
    });
  }

  it('optimistic: a handler against a rival that never rests ends as soon as it does', async (w) => {
    w.configure({
      conflictHandler: ({ localModel, remoteModel, modelConstructor }) =>
        modelConstructor.copyOf(remoteModel, (d) => void (d.balance = localModel.balance)),
    });
    await w.put('Account', { id: 'a', name: 'n', balance: 0 });
    await w.start(still);
    let version = 1;
    w.door.before = async ({ field }) => {
      if (field === 'updateAccount' && version < 5) {
        version = (await w.patch('Account', { id: 'a', note: `rival ${version}`, _version: version }))._version;
      }
    };
    await w.change(await w.DataStore.query(Account, 'a'), (a) => void (a.balance = 2));
    await w.sent();
    assert.deepEqual(w.door.of('updateAccount').map((r) => r.variables.input._version), [1, 2, 3, 4, 5]);
    assert.equal((await w.row('Account', 'a', 'balance')).balance, 2);
  });

  it('optimistic: a delete against an edit, discarded, keeps the record', async (w) => {
    w.configure({ conflictHandler: () => g.DISCARD });
    const account = await stale(w, 'Account', { id: 'a', name: 'n', balance: 1 }, { balance: 5 });
    await w.remove(account);
    await w.shows(Account, 'a', (a) => a?.balance === 5);
    assert.equal(w.door.of('deleteAccount')[0].answer.errors[0].errorType, 'ConflictUnhandled');
    assert.equal((await w.row('Account', 'a', 'id'))._deleted, null);
  });

  it('an update of what was deleted meanwhile: the tombstone comes back as the conflict', async (w) => {
    w.configure({ conflictHandler: ({ remoteModel }) => (assert.equal(remoteModel._deleted, true), g.DISCARD) });
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, 'delete');
    await w.change(post, (p) => void (p.title = 'b'));
    await w.sent();
    const [error] = w.door.of('updatePost')[0].answer.errors;
    assert.equal(error.errorType, 'ConflictUnhandled');
    assert.deepEqual([error.data._deleted, error.data._version], [true, 2]);
    const row = await w.row('Post', 'p', 'title');
    assert.deepEqual([row._deleted, row.title], [true, 'a']);
    await w.lacks(Post, 'p');
  });

  it('deleted on both sides: nothing is left to quarrel about', async (w) => {
    w.configure({ conflictHandler: ({ remoteModel }) => (remoteModel._deleted ? g.DISCARD : remoteModel) });
    const post = await stale(w, 'Post', { id: 'p', title: 'a' }, 'delete');
    await w.remove(post);
    await w.sent();
    assert.equal((await w.row('Post', 'p', 'id'))._deleted, true);
    await w.lacks(Post, 'p');
  });

  it('a conflict under a composite key', async (w) => {
    w.configure({ conflictHandler: ({ remoteModel }) => remoteModel });
    const key = { orderId: 'o', status: 's', n: 1 };
    const item = await stale(w, 'Item', { ...key, title: 'a' }, { title: 'theirs' }, key);
    await w.remove(item);
    await w.sent();
    assert.deepEqual(w.door.of('deleteItem').map((r) => r.variables.input), [
      { ...key, _version: 1 },
      { ...key, _version: 2 },
    ]);
    assert.equal((await w.row('Item', key, 'title'))._deleted, true);
    await w.shows(Item, undefined, (items) => items.length === 0);
  });
}
