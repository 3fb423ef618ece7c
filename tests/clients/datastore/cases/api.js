// The GraphQL client without DataStore: queries and mutations over HTTP.
import assert from 'node:assert/strict';

const create = `mutation C($input: CreatePostInput!, $condition: ModelPostConditionInput) {
  createPost(input: $input, condition: $condition) { id title rating tags _version } }`;
const update = `mutation U($input: UpdatePostInput!, $condition: ModelPostConditionInput) {
  updatePost(input: $input, condition: $condition) { id title _version } }`;

export default function (it, g) {
  const ask = (query, variables, more) => g.graphql({ query, variables, ...more });
  /** What the client throws: the answer itself. */
  const refused = async (query, variables, more) => {
    let thrown;
    await ask(query, variables, more).catch((error) => (thrown = error));
    assert.ok(thrown?.errors, `refused: ${query}`);
    return thrown;
  };

  it('API: a create, with and without an id', async () => {
    const { data } = await ask(create, { input: { title: 'a', tags: ['x'] } });
    const { id, ...rest } = data.createPost;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, { title: 'a', rating: null, tags: ['x'], _version: 1 });
    const named = await ask(create, { input: { id: 'mine', title: 'b' } });
    assert.equal(named.data.createPost.id, 'mine');
  });

  it('API: get, and get of what is not there', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    const { data } = await ask('query G($id: ID!) { getPost(id: $id) { title __typename } }', { id: 'p' });
    assert.deepEqual(data.getPost, { title: 'a', __typename: 'Post' });
    assert.deepEqual((await ask('{ getPost(id: "none") { title } }')).data, { getPost: null });
  });

  it('API: an id that exists is refused', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    const { errors, data } = await refused(create, { input: { id: 'p', title: 'b' } });
    assert.equal(errors.length, 1);
    assert.equal(errors[0].errorType, 'ConditionalCheckFailedException');
    assert.match(errors[0].message, /conditional request failed/);
    assert.deepEqual(data, { createPost: null });
  });

  it('API: update and delete by version', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    const { data } = await ask(update, { input: { id: 'p', title: 'b', _version: 1 } });
    assert.deepEqual(data.updatePost, { id: 'p', title: 'b', _version: 2 });
    const gone = await ask('mutation { deletePost(input: { id: "p", _version: 2 }) { id title _deleted _version } }');
    assert.deepEqual(gone.data.deletePost, { id: 'p', title: 'b', _deleted: true, _version: 3 });
    const { errors } = await refused('mutation { deletePost(input: { id: "p", _version: 1 }) { id } }');
    assert.equal(errors[0].errorType, 'ConflictUnhandled');
  });

  it('API: an update of what does not exist is refused', async () => {
    const { errors } = await refused(update, { input: { id: 'none', title: 'b', _version: 1 } });
    assert.equal(errors.length, 1);
    assert.equal(errors[0].errorType, 'ConditionalCheckFailedException');
  });

  it('API: a condition is checked', async (w) => {
    await w.put('Post', { id: 'p', title: 'a', rating: 1 });
    const { errors } = await refused(update, {
      input: { id: 'p', title: 'b', _version: 1 },
      condition: { rating: { gt: 1 } },
    });
    assert.equal(errors[0].errorType, 'ConditionalCheckFailedException');
    const { data } = await ask(update, { input: { id: 'p', title: 'b', _version: 1 }, condition: { rating: { eq: 1 } } });
    assert.equal(data.updatePost.title, 'b');
  });

  it('API: a wrong key is Unauthorized', async (w) => {
    w.g.configure(w.door.url, g.wrongKey);
    const thrown = await ask('{ __typename }').then(
      () => assert.fail('answered'),
      (error) => error,
    );
    const told = JSON.stringify(thrown.errors ?? [{ message: thrown.message }]);
    assert.match(told, /Unauthorized|401/, told);
    const { status, answer } = w.door.requests.at(-1);
    assert.equal(status, 401);
    assert.equal(answer.errors[0].errorType, 'UnauthorizedException');
  });

  it('API: a document that does not validate', async () => {
    const { errors, data } = await refused('{ getPost(id: "p") { nope } }');
    assert.match(errors[0].message, /nope/);
    assert.ok(errors[0].locations[0].line >= 1);
    assert.ok(data === null || Object.keys(data ?? {}).length === 0);
  });

  it('API: an input field that does not exist is named', async () => {
    const { errors } = await refused(create, { input: { title: 'a', nope: 1 } });
    assert.match(errors[0].message, /nope/);
    assert.match(errors[0].message, /CreatePostInput/);
  });

  it('API: a missing required variable', async () => {
    const { errors } = await refused(create, {});
    assert.match(errors[0].message, /input/);
  });

  it('API: several fields in one document, aliases, fragments', async (w) => {
    await w.put('Post', { id: 'p', title: 'a' });
    await w.put('Comment', { id: 'c', postID: 'p', content: 'x' });
    const { data } = await ask(`query Q { one: getPost(id: "p") { ...F } two: getPost(id: "none") { ...F } }
      fragment F on Post { id comments { items { content post { title } } nextToken } }`);
    assert.deepEqual(data, {
      one: { id: 'p', comments: { items: [{ content: 'x', post: { title: 'a' } }], nextToken: null } },
      two: null,
    });
  });

  it('API: pages by nextToken bring each record once', async (w) => {
    await w.putAll('Post', Array.from({ length: 57 }, (_, i) => ({ id: `p${i}`, title: 't' })));
    const seen = [];
    let nextToken = null;
    do {
      const { data } = await ask('query L($t: String) { listPosts(limit: 10, nextToken: $t) { items { id } nextToken } }', {
        t: nextToken,
      });
      seen.push(...data.listPosts.items.map((p) => p.id));
      nextToken = data.listPosts.nextToken;
    } while (nextToken);
    assert.equal(seen.length, 57);
    assert.equal(new Set(seen).size, 57);
  });

  it('API: an index query sorts and takes conditions on its sort key', async (w) => {
    for (const content of ['b', 'a', 'c']) await w.put('Comment', { postID: 'p', content });
    await w.put('Comment', { postID: 'other', content: 'a' });
    const by = async (more) => {
      const { data } = await ask(`{ commentsByPost(postID: "p" ${more}) { items { content } } }`);
      return data.commentsByPost.items.map((c) => c.content).join('');
    };
    assert.equal(await by(', sortDirection: DESC'), 'cba');
    assert.equal(await by(', content: { ge: "b" }'), 'bc');
    assert.equal(await by(', content: { between: ["a", "b"] }'), 'ab');
  });

  it('API: headers of the app travel along', async (w) => {
    await g.graphqlWithHeaders({ query: '{ __typename }' }, { 'x-app': 'mine' });
    assert.equal(w.door.requests.at(-1).headers['x-app'], 'mine');
  });

  it('API: introspection', async () => {
    const { data } = await ask('{ __schema { queryType { name } mutationType { name } subscriptionType { name } } }');
    assert.deepEqual(data.__schema, {
      queryType: { name: 'Query' },
      mutationType: { name: 'Mutation' },
      subscriptionType: { name: 'Subscription' },
    });
  });

  const five = [
    { id: 'a', title: 'alpha', rating: 1, status: 'DRAFT', tags: ['red'] },
    { id: 'b', title: 'beta', rating: 2, status: 'PUBLISHED', tags: ['red', 'blue'] },
    { id: 'c', title: 'gamma', rating: 3, status: 'DRAFT' },
    { id: 'd', title: 'delta', rating: 4, tags: [] },
    { id: 'e', title: 'alphabet' },
  ];
  const filters = [
    [{ title: { eq: 'alpha' } }, 'a'],
    [{ title: { ne: 'alpha' } }, 'bcde'],
    [{ rating: { gt: 2 } }, 'cd'],
    [{ rating: { ge: 2, lt: 4 } }, 'bc'],
    [{ rating: { le: 1 } }, 'a'],
    [{ rating: { between: [2, 3] } }, 'bc'],
    [{ title: { contains: 'mm' } }, 'c'],
    [{ tags: { contains: 'red' } }, 'ab'],
    [{ title: { notContains: 'a' } }, ''],
    [{ title: { beginsWith: 'alpha' } }, 'ae'],
    [{ rating: { attributeExists: false } }, 'e'],
    [{ status: { eq: 'DRAFT' } }, 'ac'],
    [{ title: { size: { gt: 5 } } }, 'e'],
    [{ or: [{ title: { eq: 'alpha' } }, { rating: { eq: 4 } }] }, 'ad'],
    [{ and: [{ status: { eq: 'DRAFT' } }, { rating: { gt: 1 } }] }, 'c'],
    [{ not: { rating: { ge: 2 } } }, 'ae'],
    [{ id: { eq: null } }, ''],
  ];
  it('API: list filters', async (w) => {
    await w.putAll('Post', five);
    for (const [filter, wanted] of filters) {
      const { data } = await ask('query L($filter: ModelPostFilterInput) { listPosts(filter: $filter) { items { id } } }', {
        filter,
      });
      assert.equal(data.listPosts.items.map((p) => p.id).sort().join(''), wanted, JSON.stringify(filter));
    }
  });
}
