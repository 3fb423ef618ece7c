// Real time: what others change reaches the client by its subscriptions alone.
import assert from 'node:assert/strict';
import { frames, sockets } from '../../src/environment.js';
import { until } from '../../src/until.js';

const told = (field) => frames.filter((f) => f.message.type === 'data' && f.message.payload.data?.[field]).map((f) => f.message.payload.data[field]);

export default function (it, g) {
  const { Post, Comment, Account, Item } = g.models;

  it('one socket carries three subscriptions of each model', async (w) => {
    await w.start();
    assert.equal(sockets.length, 1);
    assert.equal(sockets[0].protocol, 'graphql-ws');
    const started = frames.filter((f) => f.out && f.message.type === 'start');
    assert.equal(started.length, 3 * w.modelNames.length);
    const ack = frames.find((f) => f.message.type === 'connection_ack');
    assert.ok(ack.message.payload.connectionTimeoutMs > 0);
    assert.deepEqual(w.errors, []);
  });

  it('a record that another client creates, changes and deletes', async (w) => {
    await w.start();
    await w.put('Post', { id: 'p', title: 'a', tags: ['x'], meta: '{"a":1}', location: { lat: 1, lng: 2 } }, 'title');
    const seen = await w.shows(Post, 'p');
    assert.deepEqual([seen.title, seen.tags, seen.meta, seen.location, seen._version], ['a', ['x'], { a: 1 }, { lat: 1, lng: 2 }, 1]);
    await w.patch('Post', { id: 'p', rating: 4, _version: 1 });
    await w.shows(Post, 'p', (p) => p.rating === 4 && p.title === 'a' && p._version === 2);
    await w.drop('Post', { id: 'p', _version: 2 });
    await w.lacks(Post, 'p');
    assert.equal(w.door.of('syncPosts').length, 1, 'no sync was needed');
  });

  it('an event has every selected field, null where there is no value', async (w) => {
    await w.start();
    // The other client selects the version only; the event is whole all the same.
    await w.put('Post', { id: 'p', title: 'a' });
    await w.shows(Post, 'p');
    const [event] = told('onCreatePost');
    const selected = ['id', 'title', 'rating', 'status', 'tags', 'meta', 'createdAt', 'updatedAt', 'location', '_version', '_lastChangedAt', '_deleted'];
    assert.deepEqual(Object.keys(event).sort(), selected.sort());
    assert.deepEqual([event.rating, event.status, event.tags, event.location, event._deleted], [null, null, null, null, null]);
  });

  it('the client hears of its own changes and takes no harm', async (w) => {
    await w.start();
    const events = [];
    const watched = w.DataStore.observe(Post).subscribe((e) => events.push(e.opType));
    const post = await w.save(new Post({ title: 'a' }));
    await until('its own event comes', () => told('onCreatePost').length === 1);
    const known = await w.shows(Post, post.id, (p) => p._version === 1);
    await w.change(known, (p) => void (p.title = 'b'));
    await until('its own event comes', () => told('onUpdatePost').length === 1);
    const final = await w.shows(Post, post.id, (p) => p._version === 2);
    assert.equal(final.title, 'b');
    watched.unsubscribe();
    assert.equal(events.filter((e) => e === 'INSERT').length, 1, events.join(' '));
    assert.deepEqual(w.errors, []);
  });

  it('two hundred changes of one record come in the order of their versions', async (w) => {
    await w.start();
    await w.put('Post', { id: 'p', title: 't', rating: 0 });
    for (let i = 1; i <= 200; i += 1) await w.patch('Post', { id: 'p', rating: i, _version: i });
    await w.shows(Post, 'p', (p) => p.rating === 200 && p._version === 201);
    const versions = told('onUpdatePost').map((p) => p._version);
    assert.deepEqual(versions, [...versions].sort((a, b) => a - b), 'none goes back');
    assert.equal(new Set(versions).size, versions.length, 'none twice');
    assert.equal(versions.at(-1), 201);
  });

  it('many writers at once: the client ends where the server is', async (w) => {
    await w.start();
    await w.putAll('Account', Array.from({ length: 20 }, (_, i) => ({ id: `a${i}`, name: 'n', balance: 0 })));
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => w.patch('Post', { id: `a${i}`, title: 'x' }).catch(() => {}) && w.put('Comment', { id: `c${i}`, postID: 'p', content: `${i}` })),
    );
    await Promise.all(Array.from({ length: 20 }, (_, i) => w.patch('Account', { id: `a${i}`, balance: i + 1, _version: 1 })));
    await w.shows(Comment, undefined, (all) => all.length === 100);
    await w.shows(Account, undefined, (all) => all.length === 20 && all.every((a) => a.balance === Number(a.id.slice(1)) + 1));
  });

  it('observe: all of a model, one record, and what a predicate chooses', async (w) => {
    await w.start();
    const [all, one, some] = [[], [], []];
    const note = (list) => (e) => list.push(`${e.opType} ${e.element.id}`);
    const watched = [
      w.DataStore.observe(Post).subscribe(note(all)),
      w.DataStore.observe(Post, 'a').subscribe(note(one)),
      w.DataStore.observe(Post, (p) => p.rating.gt(5)).subscribe(note(some)),
    ];
    await w.put('Post', { id: 'a', title: 'a', rating: 1 });
    await w.put('Post', { id: 'b', title: 'b', rating: 9 });
    await w.patch('Post', { id: 'a', title: 'A', _version: 1 });
    await w.drop('Post', { id: 'b', _version: 1 });
    await until('all four are told', () => all.length >= 4);
    watched.forEach((s) => s.unsubscribe());
    assert.deepEqual(all.filter((e) => e.endsWith('a')), ['INSERT a', 'UPDATE a']);
    assert.deepEqual(all.filter((e) => e.endsWith('b')), ['INSERT b', 'DELETE b']);
    assert.deepEqual(one, ['INSERT a', 'UPDATE a']);
    assert.equal(some[0], 'INSERT b');
  });

  it('observeQuery: a snapshot, and new ones as records come and go', async (w) => {
    await w.putAll('Post', [3, 1, 2].map((rating) => ({ id: `p${rating}`, title: 't', rating })));
    const snapshots = [];
    await w.start();
    const watched = w.DataStore.observeQuery(Post, (p) => p.rating.ge(2), { sort: (s) => s.rating('ASCENDING') }).subscribe((s) =>
      snapshots.push({ synced: s.isSynced, ratings: s.items.map((p) => p.rating) }),
    );
    const reads = (wanted) => until(`the snapshot is ${wanted}`, () => snapshots.at(-1)?.ratings.join() === wanted);
    await reads('2,3');
    await w.put('Post', { id: 'p5', title: 't', rating: 5 });
    await reads('2,3,5');
    await w.patch('Post', { id: 'p2', rating: 4, _version: 1 });
    await reads('3,4,5');
    await w.patch('Post', { id: 'p3', rating: 0, _version: 1 });
    await reads('4,5');
    await w.drop('Post', { id: 'p5', _version: 1 });
    await reads('4');
    watched.unsubscribe();
    assert.ok(snapshots.at(-1).synced);
  });

  it('observeQuery: from before the first sync to its end', async (w) => {
    await w.putAll('Post', Array.from({ length: 50 }, (_, i) => ({ id: `p${i}`, title: 't' })));
    const snapshots = [];
    const watched = w.DataStore.observeQuery(Post).subscribe((s) => snapshots.push([s.isSynced, s.items.length]));
    await until('it is synced', () => snapshots.at(-1)?.[0] && snapshots.at(-1)[1] === 50);
    watched.unsubscribe();
    // Version 5 does not stop well in the midst of its start.
    await until('the client is ready', () => w.events.some((e) => e.event === 'ready'));
    await w.live();
  });

  it('relations: a child that comes by an event finds its parent', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    await w.start();
    await w.put('Comment', { id: 'c', postID: 'p', content: 'x' });
    const comment = await w.shows(Comment, 'c');
    assert.equal((await comment.post).title, 'a');
    assert.deepEqual(told('onCreateComment')[0].post, { id: 'p', _deleted: null });
  });

  it('a composite key, by events', async (w) => {
    await w.start();
    const key = { orderId: 'o', status: 's', n: 7 };
    await w.put('Item', { ...key, title: 'a' });
    await w.shows(Item, key);
    await w.drop('Item', { ...key, _version: 1 });
    await w.shows(Item, undefined, (items) => items.length === 0);
  });

  it('selective sync: only chosen records come by events', async (w) => {
    w.configure({ syncExpressions: [g.syncExpression(Post, () => (p) => p.rating.gt(5))] });
    await w.start();
    const starts = frames.filter((f) => f.out && f.message.type === 'start').map((f) => JSON.parse(f.message.payload.data));
    const { variables } = starts.find((s) => s.query.includes('onCreatePost'));
    assert.deepEqual(variables, { filter: { and: [{ rating: { gt: 5 } }] } });
    await w.put('Post', { id: 'low', title: 't', rating: 1 });
    await w.put('Post', { id: 'high', title: 't', rating: 6 });
    await w.shows(Post, 'high');
    assert.deepEqual(told('onCreatePost').map((p) => p.id), ['high']);
    assert.equal(await w.DataStore.query(Post, 'low'), undefined);
  });

  const choices = [
    ['eq', (p) => p.title.eq('alpha'), 'a'],
    ['ne', (p) => p.title.ne('alpha'), 'bcd'],
    ['le', (p) => p.rating.le(2), 'ab'],
    ['between', (p) => p.rating.between(2, 3), 'bc'],
    ['contains, on text', (p) => p.title.contains('mm'), 'c'],
    ['contains, on a list', (p) => p.tags.contains('red'), 'ab'],
    ['notContains', (p) => p.title.notContains('p'), 'bcd'],
    ['beginsWith', (p) => p.title.beginsWith('al'), 'a'],
    ['an enum', (p) => p.status.eq('PUBLISHED'), 'b'],
    ['or', (p) => p.or((p) => [p.title.eq('alpha'), p.rating.eq(3)]), 'ac'],
    ['and of or', (p) => p.and((p) => [p.or((p) => [p.rating.eq(1), p.rating.eq(3)]), p.title.ne('gamma')]), 'a'],
  ];
  for (const [name, choose, wanted] of choices) {
    it(`selective sync of events by ${name}`, async (w) => {
      w.configure({ syncExpressions: [g.syncExpression(Post, () => choose)] });
      await w.start();
      const four = [
        { id: 'a', title: 'alpha', rating: 1, status: 'DRAFT', tags: ['red'] },
        { id: 'b', title: 'beta', rating: 2, status: 'PUBLISHED', tags: ['red', 'blue'] },
        { id: 'c', title: 'gamma', rating: 3 },
        { id: 'd', title: 'delta' },
      ];
      for (const post of four) await w.put('Post', post);
      // The comment is written last, so what comes of the posts has come before it.
      await w.put('Comment', { id: 'end', postID: 'a', content: 'x' });
      await w.shows(Comment, 'end');
      await until('the chosen ones come', () => told('onCreatePost').length >= wanted.length);
      assert.deepEqual(told('onCreatePost').map((p) => p.id).join(''), wanted);
      await w.shows(Post, undefined, (posts) => posts.map((p) => p.id).sort().join('') === wanted);
    });
  }

  it('stop ends each subscription, and the socket closes', async (w) => {
    await w.start();
    await w.DataStore.stop();
    const stopped = () => frames.filter((f) => f.out && f.message.type === 'stop').length;
    const completed = () => frames.filter((f) => !f.out && f.message.type === 'complete').length;
    await until('the socket is closed', () => sockets[0].readyState === 3);
    assert.equal(stopped(), 3 * w.modelNames.length);
    assert.equal(completed(), stopped());
  });

  it('after stop and start events come again', async (w) => {
    await w.start();
    await w.DataStore.stop();
    await w.put('Post', { id: 'between', title: 't' });
    await w.start();
    await w.shows(Post, 'between');
    await w.put('Post', { id: 'after', title: 't' });
    await w.shows(Post, 'after');
  });
}
