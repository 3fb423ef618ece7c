// The network goes, the server goes, answers are lost: the client comes back, and nothing is lost or doubled.
import assert from 'node:assert/strict';
import { forget } from '../../src/environment.js';
import { until } from '../../src/until.js';

export default function (it, g) {
  const { Post, Comment, Account } = g.models;

  it('offline: edits wait, and go out in order when the network is back', async (w) => {
    await w.start();
    await w.offline();
    const post = await w.save(new Post({ title: 'a' }));
    const comment = await w.save(new Comment({ content: 'c', post }));
    await w.save(new Account({ name: 'n' }));
    assert.equal((await w.DataStore.query(Post, post.id)).title, 'a', 'visible at once');
    await w.online();
    await w.sent();
    const order = w.door.requests.map((r) => r.field).filter((f) => f.startsWith('create'));
    assert.deepEqual(order, ['createPost', 'createComment', 'createAccount']);
    assert.equal((await w.row('Comment', comment.id, 'postID')).postID, post.id);
    assert.deepEqual(w.errors, []);
  });

  it('offline: a create and its edits become one create', async (w) => {
    await w.start();
    await w.offline();
    const post = await w.save(new Post({ title: 'a' }));
    await w.change(await w.change(post, (p) => void (p.title = 'b')), (p) => void (p.rating = 5));
    await w.online();
    await w.sent();
    assert.equal(w.door.of('createPost').length, 1);
    assert.equal(w.door.of('updatePost').length, 0);
    const row = await w.row('Post', post.id, 'title rating');
    assert.deepEqual([row.title, row.rating, row._version], ['b', 5, 1]);
  });

  it('offline: created and deleted, the server never hears of it', async (w) => {
    await w.start();
    await w.offline();
    const post = await w.save(new Post({ title: 'a' }));
    await w.DataStore.delete(post);
    await w.lacks(Post, post.id);
    await w.online();
    await w.sent();
    assert.equal(w.door.of('createPost').length + w.door.of('deletePost').length, 0);
    assert.equal(await w.row('Post', post.id, 'id'), null);
  });

  it('offline: edits of a known record become one update', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    await w.start();
    await w.offline();
    const post = await w.DataStore.query(Post, 'p');
    await w.change(await w.change(post, (p) => void (p.title = 'b')), (p) => void (p.rating = 5));
    await w.online();
    await w.sent();
    assert.equal(w.door.of('updatePost').length, 1);
    await w.shows(Post, 'p', (p) => p._version === 2 && p.title === 'b' && p.rating === 5);
  });

  it('offline: what others did meanwhile comes by a delta', async (w) => {
    await w.putAll('Post', ['stays', 'changes', 'goes'].map((id) => ({ id, title: id })));
    await w.start();
    await w.offline();
    await w.patch('Post', { id: 'changes', title: 'changed', _version: 1 });
    await w.drop('Post', { id: 'goes', _version: 1 });
    await w.put('Post', { id: 'new', title: 'new' });
    await w.online();
    await w.lacks(Post, 'goes');
    assert.deepEqual((await w.DataStore.query(Post)).map((p) => p.title).sort(), ['changed', 'new', 'stays']);
    assert.ok(w.door.of('syncPosts').at(-1).variables.lastSync > 0, 'a delta');
  });

  it('offline: both sides edit, and both edits stand', async (w) => {
    await w.put('Post', { id: 'p', title: 'a', rating: 1 });
    await w.start();
    await w.offline();
    await w.change(await w.DataStore.query(Post, 'p'), (p) => void (p.rating = 2));
    await w.patch('Post', { id: 'p', title: 'theirs', _version: 1 });
    await w.online();
    await w.sent();
    await w.shows(Post, 'p', (p) => p.title === 'theirs' && p.rating === 2);
    const row = await w.row('Post', 'p', 'title rating');
    assert.deepEqual([row.title, row.rating], ['theirs', 2]);
  });

  it('offline: edited here, deleted there', async (w) => {
    w.configure({ conflictHandler: () => g.DISCARD });
    await w.put('Post', { id: 'p', title: 'a' });
    await w.start();
    await w.offline();
    await w.change(await w.DataStore.query(Post, 'p'), (p) => void (p.rating = 2));
    await w.drop('Post', { id: 'p', _version: 1 });
    await w.online();
    await w.sent();
    await w.lacks(Post, 'p');
    assert.equal((await w.row('Post', 'p', 'rating')).rating, null);
  });

  // In Node the start of version 6 waits for its first sync.
  const whereItCan = g.startsOffline ? it : () => {};
  whereItCan('started without a network: local work, then the first sync', async (w) => {
    await w.put('Post', { id: 'theirs', title: 't' });
    await w.offline();
    await w.DataStore.start();
    const mine = await w.save(new Post({ title: 'mine' }));
    await w.online();
    await w.sent();
    await w.shows(Post, undefined, (posts) => posts.length === 2);
    assert.ok(await w.row('Post', mine.id, 'id'));
  });

  it('off and on three times', async (w) => {
    await w.start();
    for (let i = 0; i < 3; i += 1) {
      await w.offline();
      await w.save(new Post({ title: `mine ${i}` }));
      await w.put('Post', { title: `theirs ${i}` });
      await w.online();
      await w.sent();
    }
    await w.shows(Post, undefined, (posts) => posts.length === 6 && posts.every((p) => p._version === 1));
    assert.deepEqual(w.errors, []);
  });

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    it(`the server ends by ${signal} and starts again while the client lives`, async (w) => {
      await w.start();
      const post = await w.save(new Post({ title: 'before' }));
      await w.sent();
      const { code } = await w.server.end(signal);
      if (signal === 'SIGTERM') assert.equal(code, 0, 'it shuts down well with a client on its socket');
      // Nobody tells the app of the network: the client sees its socket close.
      await until('the client sees it', () => w.links.at(-1) === 'ConnectionDisrupted');
      const from = w.events.length;
      forget();
      await w.server.start();
      await w.put('Post', { id: 'theirs', title: 'by another, before the client is back' });
      await until('the client has synced', () => w.events.slice(from).some((e) => e.event === 'syncQueriesReady'), 30_000);
      await w.sent();
      await w.shows(Post, 'theirs');
      assert.equal((await w.row('Post', post.id, 'title')).title, 'before', 'what was acknowledged is there');
      await w.live();
      await w.put('Post', { id: 'live', title: 'by an event' });
      await w.shows(Post, 'live');
      assert.deepEqual(w.errors, []);
    });
  }

  it('the answer of a create is lost: it is there once, and the client knows with its next sync', async (w) => {
    await w.start();
    let lost = 0;
    w.door.lose = (r) => r.field === 'createPost' && lost++ === 0;
    const post = await w.save(new Post({ title: 'a' }));
    await w.sent();
    assert.ok(lost >= 1);
    const row = await w.row('Post', post.id, 'title');
    assert.deepEqual([row.title, row._version, row._deleted], ['a', 1, null]);
    await w.DataStore.stop();
    await w.start({ live: false });
    await w.shows(Post, post.id, (p) => p._version === 1);
    assert.equal((await w.DataStore.query(Post)).length, 1);
  });

  it('the answer of an update is lost: the edit stands on both sides, with the next sync at the latest', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    await w.start();
    let lost = 0;
    w.door.lose = (r) => r.field === 'updatePost' && lost++ === 0;
    await w.change(await w.DataStore.query(Post, 'p'), (p) => void (p.title = 'b'));
    await w.sent();
    const row = await w.row('Post', 'p', 'title');
    assert.equal(row.title, 'b');
    // An event that comes while the mutation waits is passed over.
    await w.DataStore.stop();
    await w.start({ live: false });
    await w.shows(Post, 'p', (p) => p.title === 'b' && p._version === row._version);
  });

  it('the answer of a delete is lost: it is deleted on both sides, with the next sync at the latest', async (w) => {
    w.configure({ conflictHandler: ({ remoteModel }) => (remoteModel._deleted ? g.DISCARD : remoteModel) });
    await w.put('Post', { id: 'p', title: 'a' });
    await w.start();
    let lost = 0;
    w.door.lose = (r) => r.field === 'deletePost' && lost++ === 0;
    await w.remove(await w.DataStore.query(Post, 'p'));
    await w.sent();
    assert.equal((await w.row('Post', 'p', 'id'))._deleted, true);
    await w.DataStore.stop();
    await w.start({ live: false });
    await w.lacks(Post, 'p');
  });

  it('a page of the first sync is lost: it is asked for again', async (w) => {
    w.configure({ syncPageSize: 10 });
    await w.putAll('Post', Array.from({ length: 25 }, (_, i) => ({ id: `p${i}`, title: 't' })));
    let lost = 0;
    w.door.lose = (r) => r.field === 'syncPosts' && r.variables.nextToken !== null && lost++ === 0;
    await w.start();
    assert.equal((await w.DataStore.query(Post)).length, 25);
    assert.equal(lost > 0, true);
  });

  it('every event comes twice: each record is there once, at its last version', async (w) => {
    let doubled = 0;
    w.door.twice = (message) => message.type === 'data' && ++doubled > 0;
    await w.start();
    const mine = await w.save(new Post({ title: 'mine' }));
    await w.put('Post', { id: 'theirs', title: 'a' });
    await w.shows(Post, 'theirs');
    await w.patch('Post', { id: 'theirs', title: 'b', _version: 1 });
    const theirs = await w.shows(Post, 'theirs', (p) => p._version === 2 && p.title === 'b');
    await w.change(theirs, (p) => void (p.rating = 3));
    await w.put('Post', { id: 'goes', title: 'g' });
    await w.shows(Post, 'goes');
    await w.drop('Post', { id: 'goes', _version: 1 });
    await w.lacks(Post, 'goes');
    await w.sent();
    await w.shows(Post, 'theirs', (p) => p._version === 3 && p.rating === 3);
    await w.shows(Post, mine.id, (p) => p._version === 1);
    assert.equal((await w.DataStore.query(Post)).length, 2);
    assert.ok(doubled >= 6, `${doubled} doubled`);
    assert.deepEqual(w.errors, []);
  });

  it('every mutation reaches the server twice: one record each, both sides equal', async (w) => {
    w.door.repeat = (r) => /^(create|update|delete)/.test(r.field);
    await w.put('Post', { id: 'p', title: 'a' });
    await w.put('Post', { id: 'q', title: 'a' });
    await w.start();
    const mine = await w.save(new Post({ title: 'mine' }));
    await w.change(await w.DataStore.query(Post, 'p'), (p) => void (p.title = 'b'));
    await w.remove(await w.DataStore.query(Post, 'q'));
    await w.sent();
    // The event of the second one is passed over if it comes while the mutation waits for its answer.
    await w.DataStore.stop();
    await w.start({ live: false });
    await w.lacks(Post, 'q');
    for (const id of ['p', mine.id]) {
      const row = await w.row('Post', id, 'title');
      await w.shows(Post, id, (p) => p.title === row.title && p._version === row._version);
    }
    assert.deepEqual([(await w.row('Post', 'p', 'title')).title, (await w.row('Post', mine.id, 'title'))._version], ['b', 1]);
    assert.equal((await w.row('Post', 'q', 'id'))._deleted, true);
    assert.deepEqual(w.errors, []);
  });
}
