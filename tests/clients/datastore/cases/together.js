// A replica of our own SDK and a DataStore client, through one server, on the same records.
import assert from 'node:assert/strict';
import { Replica } from '../../src/replica.js';
import { until } from '../../src/until.js';

export default function (it, g) {
  const { Post, Comment } = g.models;
  const fields = 'id title rating tags';

  async function agree(w, replica, count) {
    await w.sent();
    const { rejected, pending } = await replica.sync();
    assert.deepEqual([rejected, pending], [0, 0]);
    const plain = (posts) => posts.map(({ id, title, rating, tags }) => ({ id, title, rating: rating ?? null, tags: tags ?? null })).sort((a, b) => (a.id < b.id ? -1 : 1));
    const server = plain((await w.ask(`{ listPosts(filter: { _deleted: { ne: true } }, limit: 1000) { items { ${fields} } } }`)).listPosts.items);
    assert.equal(server.length, count);
    assert.deepEqual(plain((await replica.exec(`{ listPosts(limit: 1000) { items { ${fields} } } }`)).listPosts.items), server);
    await until('DataStore holds what the server holds', async () => JSON.stringify(plain(await w.DataStore.query(Post))) === JSON.stringify(server));
    return server;
  }

  it('a replica of ours and DataStore edit one record while apart, and hold the same in the end', async (w) => {
    await w.start();
    const replica = new Replica(w.server, 'ours');
    const { id } = await w.save(new Post({ title: 'a', rating: 1, tags: ['x'] }));
    await w.sent();
    assert.equal((await replica.sync()).pulled, 1);
    await w.offline();
    await w.change(await w.shows(Post, id), (post) => void (post.rating = 5));
    await replica.exec(`mutation { updatePost(input: { id: "${id}", title: "b" }) { id } }`);
    await replica.exec(`mutation { createComment(input: { id: "c", postID: "${id}", content: "ours" }) { id } }`);
    await replica.sync();
    await w.online();
    const [post] = await agree(w, replica, 1);
    assert.deepEqual([post.title, post.rating], ['b', 5]);
    assert.equal((await w.shows(Comment, 'c')).content, 'ours');
    assert.deepEqual(w.errors, []);
  });

  it('what one deletes the other loses, and what both change ends alike', async (w) => {
    await w.start();
    const replica = new Replica(w.server, 'ours');
    const [kept, gone, lost] = [await w.save(new Post({ title: 'kept' })), await w.save(new Post({ title: 'gone' })), await w.save(new Post({ title: 'lost' }))];
    await w.sent();
    await replica.sync();
    await w.remove(await w.shows(Post, gone.id));
    await replica.exec(`mutation { deletePost(input: { id: "${lost.id}" }) { id } }`);
    await w.change(await w.shows(Post, kept.id), (post) => void (post.title = 'theirs'));
    await w.sent();
    await replica.exec(`mutation { updatePost(input: { id: "${kept.id}", title: "ours" }) { id } }`);
    await replica.sync();
    await w.lacks(Post, lost.id);
    const [post] = await agree(w, replica, 1);
    assert.equal(post.title, 'theirs', 'AUTOMERGE keeps what the server had');
  });

  it('forty edits from both sides, in turns', async (w) => {
    await w.start();
    const replica = new Replica(w.server, 'ours');
    const ids = [];
    for (const title of ['a', 'b', 'c', 'd']) ids.push((await w.save(new Post({ title, rating: 0 }))).id);
    await w.sent();
    await replica.sync();
    for (let turn = 0; turn < 20; turn += 1) {
      const id = ids[turn % ids.length];
      await w.change(await w.shows(Post, id), (post) => void (post.rating = turn + 1));
      await replica.exec(`mutation { updatePost(input: { id: "${ids[(turn + 1) % ids.length]}", title: "t${turn}" }) { id } }`);
      if (turn % 5 === 4) await replica.sync();
    }
    await agree(w, replica, ids.length);
    assert.deepEqual(w.errors, []);
  });
}
