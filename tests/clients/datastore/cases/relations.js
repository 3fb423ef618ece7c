// Relations as the client sends and reads them, and deletes that take others along.
import assert from 'node:assert/strict';

export default function (it, g) {
  const { Post, Comment, Project, Team, Task, Article, Topic, ArticleTopics } = g.models;
  const still = { live: false };

  it('belongsTo: the child carries its parent’s key', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'p' }));
    const comment = await w.save(new Comment({ content: 'c', post }));
    await w.sent();
    assert.deepEqual(w.door.of('createComment')[0].variables.input, { id: comment.id, content: 'c', postID: post.id });
    const data = await w.ask(`{ getComment(id: "${comment.id}") { content post { id title } } }`);
    assert.deepEqual(data.getComment, { content: 'c', post: { id: post.id, title: 'p' } });
    assert.deepEqual(w.errors, []);
  });

  it('belongsTo: a child moves to another parent', async (w) => {
    await w.start(still);
    const [one, two] = [await w.save(new Post({ title: '1' })), await w.save(new Post({ title: '2' }))];
    const comment = await w.save(new Comment({ content: 'c', post: one }));
    await w.sent();
    await w.change(await w.shows(Comment, comment.id, (c) => c._version === 1), (c) => void (c.post = two));
    await w.sent();
    assert.equal((await w.row('Comment', comment.id, 'postID')).postID, two.id);
    assert.equal((await (await w.DataStore.query(Comment, comment.id)).post).id, two.id);
    assert.equal((await (await w.DataStore.query(Post, one.id)).comments.toArray()).length, 0);
  });

  it('hasMany: the children of a parent, here and in a nested query', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'p' }));
    for (const content of ['x', 'y', 'z']) await w.save(new Comment({ content, post }));
    await w.sent();
    const local = await (await w.DataStore.query(Post, post.id)).comments.toArray();
    assert.deepEqual(local.map((c) => c.content).sort(), ['x', 'y', 'z']);
    const data = await w.ask(`{ getPost(id: "${post.id}") { comments(sortDirection: DESC) { items { content } } } }`);
    assert.deepEqual(data.getPost.comments.items.map((c) => c.content), ['z', 'y', 'x']);
  });

  it('hasMany: a parent’s delete takes its children along, children first', async (w) => {
    await w.start(still);
    const post = await w.save(new Post({ title: 'p' }));
    const other = await w.save(new Post({ title: 'other' }));
    const gone = await Promise.all(['x', 'y'].map((content) => w.save(new Comment({ content, post }))));
    const kept = await w.save(new Comment({ content: 'kept', post: other }));
    await w.sent();
    await w.shows(Comment, undefined, (all) => all.length === 3 && all.every((c) => c._version === 1));
    await w.remove(await w.shows(Post, post.id, (p) => p._version === 1));
    await w.sent();
    const order = w.door.requests.map((r) => r.field).filter((f) => f.startsWith('delete'));
    assert.deepEqual(order, ['deleteComment', 'deleteComment', 'deletePost']);
    for (const comment of gone) assert.equal((await w.row('Comment', comment.id, 'id'))._deleted, true);
    assert.equal((await w.row('Post', post.id, 'id'))._deleted, true);
    assert.equal((await w.row('Comment', kept.id, 'id'))._deleted, null);
    assert.deepEqual((await w.DataStore.query(Comment)).map((c) => c.id), [kept.id]);
    assert.deepEqual(w.errors, []);
  });

  it('hasMany without fields: the child’s hidden key', async (w) => {
    await w.start(still);
    const project = await w.save(new Project({ name: 'p' }));
    await w.save(new Task({ text: 't', projectTasksId: project.id }));
    await w.sent();
    const data = await w.ask(`{ getProject(id: "${project.id}") { tasks { items { text } } } }`);
    assert.deepEqual(data.getProject.tasks.items, [{ text: 't' }]);
    assert.deepEqual((await (await w.DataStore.query(Project, project.id)).tasks.toArray()).map((t) => t.text), ['t']);
  });

  it('hasOne: the parent carries the key, and finds it', async (w) => {
    await w.start(still);
    const team = await w.save(new Team({ name: 't' }));
    const project = await w.save(new Project({ name: 'p', team, projectTeamId: team.id }));
    await w.sent();
    assert.equal(w.door.of('createProject')[0].variables.input.projectTeamId, team.id);
    const data = await w.ask(`{ getProject(id: "${project.id}") { team { name } } }`);
    assert.deepEqual(data.getProject.team, { name: 't' });
    assert.equal((await (await w.DataStore.query(Project, project.id)).team).name, 't');
  });

  it('belongsTo opposite hasOne: the way back', async (w) => {
    await w.start(still);
    const project = await w.save(new Project({ name: 'p' }));
    const team = await w.save(new Team({ name: 't', project }));
    await w.sent();
    assert.equal(w.door.of('createTeam')[0].variables.input.teamProjectId, project.id);
    const data = await w.ask(`{ getTeam(id: "${team.id}") { project { name } } }`);
    assert.deepEqual(data.getTeam.project, { name: 'p' });
  });

  it('manyToMany: the join model’s rows, from both sides', async (w) => {
    await w.start(still);
    const articles = [await w.save(new Article({ title: 'a1' })), await w.save(new Article({ title: 'a2' }))];
    const topics = [await w.save(new Topic({ label: 't1' })), await w.save(new Topic({ label: 't2' }))];
    for (const [a, t] of [[0, 0], [0, 1], [1, 1]]) {
      await w.save(new ArticleTopics({ article: articles[a], topic: topics[t] }));
    }
    await w.sent();
    const data = await w.ask(
      `{ getArticle(id: "${articles[0].id}") { topics { items { topic { label } } } }
         getTopic(id: "${topics[1].id}") { articles { items { article { title } } } } }`,
    );
    assert.deepEqual(data.getArticle.topics.items.map((i) => i.topic.label).sort(), ['t1', 't2']);
    assert.deepEqual(data.getTopic.articles.items.map((i) => i.article.title).sort(), ['a1', 'a2']);
    const joined = await (await w.DataStore.query(Topic, topics[1].id)).articles.toArray();
    assert.equal(joined.length, 2);
    assert.deepEqual(w.errors, []);
  });

  it('manyToMany: deleting one side takes the join rows, not the other side', async (w) => {
    await w.start(still);
    const article = await w.save(new Article({ title: 'a' }));
    const topic = await w.save(new Topic({ label: 't' }));
    const join = await w.save(new ArticleTopics({ article, topic }));
    await w.sent();
    await w.shows(ArticleTopics, join.id, (j) => j._version === 1);
    await w.remove(await w.shows(Article, article.id, (a) => a._version === 1));
    await w.sent();
    assert.equal((await w.row('ArticleTopics', join.id, 'id'))._deleted, true);
    assert.equal((await w.row('Topic', topic.id, 'id'))._deleted, null);
  });

  it('relations made elsewhere come with the base sync', async (w) => {
    await w.put('Team', { id: 't1', name: 't', teamProjectId: 'p1' });
    await w.put('Project', { id: 'p1', name: 'p', projectTeamId: 't1' });
    await w.put('Task', { id: 'k1', text: 'k', projectTasksId: 'p1' });
    await w.put('Article', { id: 'a1', title: 'a' });
    await w.put('Topic', { id: 'x1', label: 'x' });
    await w.put('ArticleTopics', { id: 'j1', articleId: 'a1', topicId: 'x1' });
    await w.start(still);
    const project = await w.DataStore.query(Project, 'p1');
    assert.equal((await project.team).id, 't1');
    assert.deepEqual((await project.tasks.toArray()).map((t) => t.id), ['k1']);
    assert.equal((await (await w.DataStore.query(Team, 't1')).project).id, 'p1');
    const [join] = await (await w.DataStore.query(Article, 'a1')).topics.toArray();
    assert.equal((await join.topic).label, 'x');
  });

  it('a parent that is deleted on the server: the child stays, its parent is gone', async (w) => {
    await w.put('Post', { id: 'p1', title: 'p' });
    await w.put('Comment', { id: 'c1', postID: 'p1', content: 'c' });
    await w.drop('Post', { id: 'p1', _version: 1 });
    await w.start(still);
    const [item] = w.door.of('syncComments')[0].answer.data.syncComments.items;
    assert.deepEqual(item.post, { id: 'p1', _deleted: true });
    assert.equal((await w.DataStore.query(Comment, 'c1')).content, 'c');
  });
}
