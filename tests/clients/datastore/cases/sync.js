// What the client's sync queries bring: the base, the delta, pages, tombstones, and chosen records only.
import assert from 'node:assert/strict';
import { until } from '../../src/until.js';

const titles = (posts) => posts.map((p) => p.title).sort();

export default function (it, g) {
  const { Post, Sample, Comment, Account } = g.models;

  it('a first start asks each model once for all there is', async (w) => {
    await w.start();
    const asked = w.door.requests.filter((r) => r.field.startsWith('sync'));
    assert.equal(asked.length, w.modelNames.length);
    for (const { variables } of asked) assert.deepEqual(variables, { limit: 1000, nextToken: null, lastSync: 0, filter: null });
    assert.deepEqual(w.errors, []);
  });

  it('the base sync brings every scalar as it was written', async (w) => {
    const written = {
      id: 's1',
      text: 'žluťoučký 🐎 "quoted" \\ \u0001',
      int: -2147483648,
      float: 0.1,
      bool: false,
      date: '2024-02-29Z',
      time: '07:08:09.123Z',
      dateTime: '2024-02-29T07:08:09.120+02:00',
      timestamp: 1700000000,
      email: 'a.b+c@example.com',
      json: JSON.stringify({ b: [1, { c: null }], a: 'ü' }),
      url: 'https://example.com/a?b=c#d',
      phone: '+44 20 7946 0958',
      ip: '2001:db8::1',
      ints: [3, null, 1],
      words: [],
      place: { lat: 1.5, lng: -2 },
      places: [{ lat: 0, lng: 0 }, null],
      states: ['PUBLISHED', 'DRAFT'],
    };
    await w.put('Sample', written);
    await w.start({ live: false });
    const { json, ...rest } = written;
    const found = await w.DataStore.query(Sample, 's1');
    for (const [name, value] of Object.entries(rest)) assert.deepEqual(found[name], value, name);
    assert.deepEqual(found.json, JSON.parse(json));
    assert.equal(found._version, 1);
  });

  it('pages follow each other until there is no token', async (w) => {
    w.configure({ syncPageSize: 100 });
    await w.putAll('Post', Array.from({ length: 250 }, (_, i) => ({ id: `p${i}`, title: `t${i}` })));
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Post)).length, 250);
    const asked = w.door.of('syncPosts');
    assert.deepEqual(asked.map((r) => r.answer.data.syncPosts.items.length), [100, 100, 50]);
    assert.equal(new Set(asked.map((r) => r.answer.data.syncPosts.startedAt)).size, 1, 'one start for all pages');
    assert.equal(asked.at(-1).answer.data.syncPosts.nextToken, null);
  });

  it('records written between two pages come by the next delta at the latest', async (w) => {
    w.configure({ syncPageSize: 100 });
    await w.putAll('Post', Array.from({ length: 150 }, (_, i) => ({ id: `p${i}`, title: 'old' })));
    let done = false;
    w.door.before = async (r) => {
      if (r.field === 'syncPosts' && r.variables.nextToken && !done) {
        done = true;
        await w.patch('Post', { id: 'p0', title: 'new', _version: 1 });
        await w.put('Post', { id: 'late', title: 'late' });
        await w.drop('Post', { id: 'p1', _version: 1 });
      }
    };
    await w.start({ live: false });
    assert.ok(done);
    await w.DataStore.stop();
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Post, 'p0')).title, 'new');
    assert.ok(await w.DataStore.query(Post, 'late'));
    assert.equal(await w.DataStore.query(Post, 'p1'), undefined);
  });

  it('no more than maxRecordsToSync are fetched', async (w) => {
    w.configure({ syncPageSize: 40, maxRecordsToSync: 100 });
    await w.putAll('Post', Array.from({ length: 150 }, (_, i) => ({ id: `p${i}`, title: `t${i}` })));
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Post)).length, 100);
    assert.deepEqual(w.door.of('syncPosts').map((r) => r.variables.limit), [40, 40, 20]);
  });

  it('a second start asks only for what changed since', async (w) => {
    await w.putAll('Post', ['a', 'b', 'c'].map((id) => ({ id, title: id })));
    await w.start({ live: false });
    await w.DataStore.stop();
    const { startedAt } = w.door.of('syncPosts')[0].answer.data.syncPosts;
    assert.ok(startedAt > 1e12, `milliseconds: ${startedAt}`);
    assert.equal(startedAt % 10_000, 0, 'by which the server knows it again');
    await w.patch('Post', { id: 'b', title: 'B', _version: 1 });
    await w.put('Post', { id: 'd', title: 'd' });
    await w.start({ live: false });
    const [, delta] = w.door.of('syncPosts');
    assert.equal(delta.variables.lastSync, startedAt);
    const brought = delta.answer.data.syncPosts.items.map((p) => p.id);
    assert.ok(brought.includes('b') && brought.includes('d'));
    assert.deepEqual(titles(await w.DataStore.query(Post)), ['B', 'a', 'c', 'd']);
  });

  it('a delta removes what was deleted meanwhile', async (w) => {
    await w.putAll('Post', ['a', 'b'].map((id) => ({ id, title: id })));
    await w.start({ live: false });
    await w.DataStore.stop();
    await w.drop('Post', { id: 'a', _version: 1 });
    await w.start({ live: false });
    assert.deepEqual(titles(await w.DataStore.query(Post)), ['b']);
    const [, delta] = w.door.of('syncPosts');
    assert.ok(delta.variables.lastSync > 0);
    assert.equal(delta.answer.data.syncPosts.items.find((p) => p.id === 'a')._deleted, true);
  });

  it('a base sync brings tombstones, and the client shows none of them', async (w) => {
    await w.put('Post', { id: 'a', title: 'a' });
    await w.drop('Post', { id: 'a', _version: 1 });
    await w.put('Post', { id: 'b', title: 'b' });
    await w.start({ live: false });
    const { items } = w.door.of('syncPosts')[0].answer.data.syncPosts;
    assert.deepEqual(items.map((p) => [p.id, p._deleted]).sort(), [['a', true], ['b', null]]);
    assert.deepEqual(titles(await w.DataStore.query(Post)), ['b']);
  });

  it('a record deleted and the local store cleared: it does not come back', async (w) => {
    await w.put('Post', { id: 'a', title: 'a' });
    await w.start({ live: false });
    assert.ok(await w.DataStore.query(Post, 'a'));
    await w.drop('Post', { id: 'a', _version: 1 });
    await w.DataStore.clear();
    await w.start({ live: false });
    assert.equal(await w.DataStore.query(Post, 'a'), undefined);
  });

  it('children find their parents, whichever page brings them', async (w) => {
    w.configure({ syncPageSize: 10 });
    await w.putAll('Post', Array.from({ length: 25 }, (_, i) => ({ id: `p${i}`, title: `t${i}` })));
    await w.putAll('Comment', Array.from({ length: 75 }, (_, i) => ({ id: `c${i}`, postID: `p${i % 25}`, content: `c${i}` })));
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Comment)).length, 75);
    const post = await w.DataStore.query(Post, 'p7');
    assert.deepEqual((await post.comments.toArray()).map((c) => c.id).sort(), ['c32', 'c57', 'c7']);
    assert.equal((await (await w.DataStore.query(Comment, 'c57')).post).id, 'p7');
  });

  it('the client sorts, pages and filters what was synced', async (w) => {
    await w.putAll('Post', Array.from({ length: 30 }, (_, i) => ({ id: `p${i}`, title: `t${i}`, rating: i })));
    await w.start({ live: false });
    const page = await w.DataStore.query(Post, (p) => p.rating.ge(10), {
      sort: (s) => s.rating('DESCENDING'),
      page: 1,
      limit: 5,
    });
    assert.deepEqual(page.map((p) => p.rating), [24, 23, 22, 21, 20]);
  });

  // Chosen records only: the predicate, and which of the six posts it brings.
  const six = [
    { id: 'a', title: 'alpha', rating: 1, status: 'DRAFT', tags: ['red'] },
    { id: 'b', title: 'beta', rating: 2, status: 'PUBLISHED', tags: ['red', 'blue'] },
    { id: 'c', title: 'gamma', rating: 3, status: 'DRAFT' },
    { id: 'd', title: 'delta', rating: 4, status: 'PUBLISHED', tags: [] },
    { id: 'e', title: 'alphabet', rating: 5 },
    { id: 'f', title: 'omega' },
  ];
  const choices = [
    ['eq', (p) => p.title.eq('alpha'), 'a'],
    ['ne', (p) => p.title.ne('alpha'), 'bcdef'],
    ['gt', (p) => p.rating.gt(3), 'de'],
    ['ge', (p) => p.rating.ge(3), 'cde'],
    ['lt', (p) => p.rating.lt(2), 'a'],
    ['le', (p) => p.rating.le(2), 'ab'],
    ['between', (p) => p.rating.between(2, 4), 'bcd'],
    ['contains, on text', (p) => p.title.contains('mm'), 'c'],
    ['contains, on a list', (p) => p.tags.contains('red'), 'ab'],
    ['notContains', (p) => p.title.notContains('a'), ''],
    ['beginsWith', (p) => p.title.beginsWith('alpha'), 'ae'],
    ['an enum', (p) => p.status.eq('PUBLISHED'), 'bd'],
    ['or', (p) => p.or((p) => [p.title.eq('alpha'), p.rating.eq(4)]), 'ad'],
    ['and', (p) => p.and((p) => [p.rating.gt(1), p.status.eq('DRAFT')]), 'c'],
    // No filter of a subscription says `not`: the client chooses, for whom nothing is less than 4.
    ['not', (p) => p.not((p) => p.rating.lt(4)), 'def', 'DE'],
    ['nested groups', (p) => p.or((p) => [p.and((p) => [p.rating.ge(4), p.title.contains('l')]), p.title.eq('omega')]), 'def'],
  ];
  for (const [name, choose, wanted, live = wanted.toUpperCase()] of choices) {
    it(`selective sync by ${name}`, async (w) => {
      await w.putAll('Post', six);
      w.configure({ syncExpressions: [g.syncExpression(Post, () => choose)] });
      await w.start();
      const [{ variables }] = w.door.of('syncPosts');
      assert.ok(variables.filter, 'the server chooses');
      const ids = async () => (await w.DataStore.query(Post)).map((p) => p.id).sort().join('');
      assert.equal(await ids(), wanted);
      // And live.
      await w.putAll('Post', six.map((post) => ({ ...post, id: post.id.toUpperCase() })));
      await w.put('Account', { id: 'last', name: 'n' });
      await w.shows(Account, 'last');
      assert.equal(await ids(), live + wanted);
    });
  }

  it('another sync expression asks for all there is again', async (w) => {
    await w.putAll('Post', six);
    let least = 4;
    w.configure({ syncExpressions: [g.syncExpression(Post, () => (p) => p.rating.ge(least))] });
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Post)).length, 2);
    await w.DataStore.stop();
    least = 2;
    await w.start({ live: false });
    assert.equal((await w.DataStore.query(Post)).length, 4);
    assert.deepEqual(w.door.of('syncPosts').map((r) => r.variables.lastSync), [0, 0]);
  });
}
