// What the client's outbox sends, and what it makes of the answers.
import assert from 'node:assert/strict';

export default function (it, g) {
  const { Post, Sample, Item, Country } = g.models;
  // Real time is not needed here: what the client learns, it learns from answers.
  const still = { live: false };

  it('a create gets version 1 on both sides', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'a', rating: 3, tags: ['x', 'y'], status: 'DRAFT', location: { lat: 1, lng: 2 } }));
    await w.sent();
    const row = await w.row('Post', post.id, 'title rating tags status location { lat lng } createdAt updatedAt');
    assert.deepEqual(
      [row.title, row.rating, row.tags, row.status, row.location, row._version, row._deleted],
      ['a', 3, ['x', 'y'], 'DRAFT', { lat: 1, lng: 2 }, 1, null],
    );
    const local = await w.shows(Post, post.id, (p) => p._version === 1);
    assert.equal(local._lastChangedAt, row._lastChangedAt);
    assert.deepEqual([local.createdAt, local.updatedAt], [row.createdAt, row.updatedAt]);
    assert.deepEqual(w.errors, []);
  });

  it('an update sends the changed fields and the version it was made on', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'a', rating: 3 }));
    await w.sent();
    const known = await w.shows(Post, post.id, (p) => p._version === 1);
    await w.change(known, (p) => void (p.title = 'b'));
    await w.sent();
    const { variables } = w.door.of('updatePost')[0];
    assert.deepEqual(variables, { input: { id: post.id, title: 'b', _version: 1 }, condition: null });
    const row = await w.row('Post', post.id, 'title rating');
    assert.deepEqual([row.title, row.rating, row._version], ['b', 3, 2]);
  });

  it('a field set to null is null on the server', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'a', rating: 3, tags: ['x'], meta: { a: 1 }, location: { lat: 1, lng: 2 } }));
    await w.sent();
    const known = await w.shows(Post, post.id, (p) => p._version === 1);
    await w.change(known, (p) => Object.assign(p, { rating: null, tags: null, meta: null, location: null }));
    await w.sent();
    const row = await w.row('Post', post.id, 'rating tags meta location { lat }');
    assert.deepEqual([row.rating, row.tags, row.meta, row.location], [null, null, null, null]);
  });

  it('a delete leaves a tombstone on the server and nothing here', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'a' }));
    await w.sent();
    await w.remove(await w.shows(Post, post.id, (p) => p._version === 1));
    await w.sent();
    const row = await w.row('Post', post.id, 'title');
    assert.deepEqual([row._deleted, row._version, row.title], [true, 2, 'a']);
    await w.lacks(Post, post.id);
    assert.deepEqual(w.errors, []);
  });

  it('ten quick changes of one record end as the last of them, without a conflict', async (w) => {
    await w.start(still);
    let post = await w.save(new Post({ title: 'a', rating: 0 }));
    for (let i = 1; i <= 10; i += 1) post = await w.change(post, (p) => void (p.rating = i));
    await w.sent();
    const row = await w.row('Post', post.id, 'rating');
    assert.equal(row.rating, 10);
    await w.shows(Post, post.id, (p) => p.rating === 10 && p._version === row._version);
    assert.deepEqual(w.errors, []);
  });

  it('a hundred records reach the server in the order they were made', async (w) => {
    await w.start(still);
    const ids = [];
    for (let i = 0; i < 100; i += 1) ids.push((await w.DataStore.save(new Post({ title: `t${i}` }))).id);
    await w.shows(Post, undefined, (posts) => posts.length === 100 && posts.every((p) => p._version === 1));
    assert.deepEqual(w.door.of('createPost').map((r) => r.variables.input.id), ids);
  });

  it('a delete by predicate deletes what matches', async (w) => {
    await w.putAll('Post', [1, 2, 3, 4].map((rating) => ({ id: `p${rating}`, title: 't', rating })));
    await w.start(still);
    await w.DataStore.delete(Post, (p) => p.rating.gt(2));
    await w.shows(Post, undefined, (posts) => posts.length === 2);
    await w.sent();
    for (const [id, deleted] of [['p1', null], ['p2', null], ['p3', true], ['p4', true]]) {
      assert.equal((await w.row('Post', id, 'id'))._deleted, deleted, id);
    }
  });

  it('values of every scalar come back as they were sent', async (w) => {
    await w.start(still);
    const values = {
      text: 'ř 🐎 \u2028 "',
      int: 2147483647,
      float: -1.5e-7,
      bool: true,
      date: '2024-02-29',
      time: '07:08:00',
      dateTime: '2024-02-29T07:08:09.120Z',
      timestamp: 0,
      email: 'a@example.com',
      json: { deep: [{ er: null }, 1.5, 'x'] },
      url: 'https://example.com/%C3%BC',
      phone: '+1-555-010-0000',
      ip: '192.0.2.1',
      ints: [1, null, 3],
      words: ['b', 'a', 'b'],
      place: { lat: 50.08, lng: 14.42 },
      places: [{ lat: 1, lng: 2 }],
      states: ['DRAFT', 'PUBLISHED', 'DRAFT'],
    };
    const sample = await w.save(new Sample(values));
    await w.sent();
    const { input } = w.door.of('createSample')[0].variables;
    const answer = w.door.of('createSample')[0].answer.data.createSample;
    for (const name of Object.keys(values)) assert.deepEqual(answer[name], input[name], name);
    const local = await w.shows(Sample, sample.id, (s) => s._version === 1);
    for (const [name, value] of Object.entries(values)) assert.deepEqual(local[name], value, name);
  });

  it('an empty record: every optional value null', async (w) => {
    await w.start(still);
    const sample = await w.save(new Sample({ words: [] }));
    await w.sent();
    const local = await w.shows(Sample, sample.id, (s) => s._version === 1);
    const absent = Object.keys(local).filter((name) => local[name] === null);
    assert.equal(absent.length, 18, absent.join(' '));
    assert.deepEqual(local.words, []);
  });

  it('a text of 100,000 characters', async (w) => {
    await w.start(still);
    const text = 'ž'.repeat(100_000);
    const post = await w.save(new Post({ title: text }));
    await w.sent();
    assert.equal((await w.row('Post', post.id, 'title')).title, text);
  });

  /** Another client takes the key just before this one's create arrives, too late for an event of it. */
  function taken(w) {
    let done = false;
    w.door.before = async ({ field }) => {
      if (field !== 'createCountry' || done) return;
      done = true;
      await w.put('Country', { code: 'CZ', name: 'Czechia' });
    };
  }

  it('what the server refuses is told to the app, and the queue goes on', async (w) => {
    await w.start(still);
    taken(w);
    await w.save(new Country({ code: 'CZ', name: 'mine' }));
    const last = await w.save(new Post({ title: 'last' }));
    await w.sent();
    assert.equal(w.errors.length, 1);
    assert.ok(await w.row('Post', last.id, 'id'), 'the one behind it was sent');
  });

  it('a condition that holds lets an update through', async (w) => {
    await w.put('Post', { id: 'a', title: 'a', rating: 1 });
    await w.start(still);
    await w.change(await w.DataStore.query(Post, 'a'), (p) => void (p.title = 'b'), (p) => p.rating.eq(1));
    await w.sent();
    assert.deepEqual(w.door.of('updatePost')[0].variables.condition, { and: [{ rating: { eq: 1 } }] });
    assert.equal((await w.row('Post', 'a', 'title')).title, 'b');
    assert.deepEqual(w.errors, []);
  });

  it('a condition that fails is ConditionalCheckFailedException, told to the app, without effect', async (w) => {
    await w.put('Post', { id: 'a', title: 'a', rating: 1 });
    await w.start(still);
    // The server's record differs, at a version that the client takes for its own.
    const known = await w.DataStore.query(Post, 'a');
    w.door.before = async (r) => {
      if (r.field === 'updatePost') r.patched ??= await w.patch('Post', { id: 'a', rating: 5, _version: 1 });
    };
    await w.change(known, (p) => void (p.title = 'b'), (p) => p.rating.eq(1));
    await w.sent();
    assert.equal((await w.row('Post', 'a', 'title')).title, 'a');
    assert.equal(w.errors.length, 1);
    const { errors, data } = w.door.of('updatePost')[0].answer;
    assert.equal(errors[0].errorType, 'ConditionalCheckFailedException');
    assert.equal(data.updatePost, null);
  });

  it('a delete whose condition fails leaves the record', async (w) => {
    await w.put('Post', { id: 'a', title: 'a', rating: 1 });
    await w.start(still);
    const known = await w.DataStore.query(Post, 'a');
    w.door.before = async (r) => {
      if (r.field === 'deletePost') r.patched ??= await w.patch('Post', { id: 'a', rating: 5, _version: 1 });
    };
    await w.remove(known, (p) => p.rating.eq(1));
    await w.sent();
    const row = await w.row('Post', 'a', 'rating');
    assert.deepEqual([row._deleted, row.rating], [null, 5]);
  });

  it('a composite key: create, find, update, delete', async (w) => {
    await w.put('Item', { orderId: 'o1', status: 'open', n: 1, title: 'theirs' });
    await w.start(still);
    const key = { orderId: 'o1', status: 'open', n: 2 };
    await w.save(new Item({ ...key, title: 'mine' }));
    await w.sent();
    const found = await w.shows(Item, key, (i) => i?._version === 1);
    assert.equal(found.title, 'mine');
    assert.equal((await w.DataStore.query(Item, { ...key, n: 1 })).title, 'theirs');
    await w.change(found, (i) => void (i.title = 'changed'));
    await w.sent();
    assert.equal((await w.row('Item', key, 'title')).title, 'changed');
    await w.remove(await w.shows(Item, key, (i) => i._version === 2));
    await w.sent();
    assert.equal((await w.row('Item', key, 'title'))._deleted, true);
    assert.equal((await w.DataStore.query(Item)).length, 1);
    assert.deepEqual(w.errors, []);
  });

  it('keys that differ only in where a separator stands are different records', async (w) => {
    await w.start(still);
    await w.save(new Item({ orderId: 'o', status: 'a#1', n: 1, title: 'one' }));
    await w.save(new Item({ orderId: 'o', status: 'a', n: 11, title: 'two' }));
    await w.sent();
    assert.equal((await w.row('Item', { orderId: 'o', status: 'a#1', n: 1 }, 'title')).title, 'one');
    assert.equal((await w.row('Item', { orderId: 'o', status: 'a', n: 11 }, 'title')).title, 'two');
  });

  it('a key of another name, and an irregular plural', async (w) => {
    await w.put('Country', { code: 'CZ', name: 'Czechia' });
    await w.start(still);
    await w.save(new Country({ code: 'NZ', name: 'New Zealand' }));
    await w.sent();
    assert.equal((await w.row('Country', { code: 'NZ' }, 'name')).name, 'New Zealand');
    assert.equal((await w.DataStore.query(Country, 'CZ')).name, 'Czechia');
    assert.equal(w.door.of('syncCountries').length, 1);
  });

  it('a key that exists already is refused, and the app is told', async (w) => {
    await w.start(still);
    taken(w);
    await w.save(new Country({ code: 'CZ', name: 'Bohemia' }));
    await w.sent();
    assert.equal(w.door.of('createCountry')[0].answer.errors[0].errorType, 'ConditionalCheckFailedException');
    assert.equal(w.errors.length, 1);
    assert.equal((await w.row('Country', { code: 'CZ' }, 'name')).name, 'Czechia');
  });

  it('a key that was deleted is refused, too', async (w) => {
    await w.put('Country', { code: 'CS', name: 'Czechoslovakia' });
    await w.drop('Country', { code: 'CS', _version: 1 });
    await w.start(still);
    await w.save(new Country({ code: 'CS', name: 'again' }));
    await w.sent();
    assert.equal(w.door.of('createCountry')[0].answer.errors[0].errorType, 'ConditionalCheckFailedException');
    assert.equal((await w.row('Country', { code: 'CS' }, 'name'))._deleted, true);
  });
}
