// Subscriptions of the GraphQL client, without DataStore.
import assert from 'node:assert/strict';
import { frames, sockets } from '../../src/environment.js';
import { until } from '../../src/until.js';

export default function (it, g) {
  /** Subscribes, and waits until the server has acknowledged or refused it. */
  async function hear(query, variables) {
    const answered = () => frames.filter((f) => !f.out && /^(start_ack|error|connection_error)$/.test(f.message.type)).length;
    const before = answered();
    const [events, errors] = [[], []];
    const subscription = g.graphql({ query, variables }).subscribe({
      next: (event) => events.push(Object.values(g.value(event).data)[0]),
      error: (error) => errors.push(error),
    });
    await until('it is answered', () => answered() > before);
    return { events, errors, stop: () => subscription.unsubscribe() };
  }

  it('API: created, updated, deleted: each by its own selection', async (w) => {
    const heard = [
      await hear('subscription { onCreatePost { id title rating } }'),
      await hear('subscription { onUpdatePost { title _version } }'),
      await hear('subscription { onDeletePost { id _deleted __typename } }'),
    ];
    assert.equal(sockets.length, 1, 'one socket for all');
    await w.put('Post', { id: 'p', title: 'a' });
    await w.patch('Post', { id: 'p', title: 'b', _version: 1 });
    await w.drop('Post', { id: 'p', _version: 2 });
    await until('all have come', () => heard.every((h) => h.events.length === 1));
    assert.deepEqual(heard.map((h) => h.events[0]), [
      { id: 'p', title: 'a', rating: null },
      { title: 'b', _version: 2 },
      { id: 'p', _deleted: true, __typename: 'Post' },
    ]);
    heard.forEach((h) => h.stop());
  });

  const filters = [
    [{ title: { eq: 'alpha' } }, 'a'],
    [{ title: { ne: 'alpha' } }, 'bcd'],
    [{ rating: { gt: 1 } }, 'bc'],
    [{ rating: { between: [1, 2] } }, 'ab'],
    [{ rating: { in: [1, 3] } }, 'ac'],
    [{ title: { notIn: ['alpha', 'beta'] } }, 'cd'],
    [{ title: { contains: 'mm' } }, 'c'],
    [{ title: { beginsWith: 'be' } }, 'b'],
    [{ status: { eq: 'DRAFT' } }, 'a'],
    [{ or: [{ title: { eq: 'alpha' } }, { rating: { eq: 3 } }] }, 'ac'],
    [{ and: [{ rating: { ge: 1 } }, { or: [{ title: { eq: 'alpha' } }, { title: { eq: 'beta' } }] }] }, 'ab'],
  ];
  it('API: subscription filters', async (w) => {
    const query = 'subscription S($filter: ModelSubscriptionPostFilterInput) { onCreatePost(filter: $filter) { id } }';
    const heard = [];
    for (const [filter] of filters) heard.push(await hear(query, { filter }));
    const all = await hear('subscription { onCreatePost { id } }');
    const four = [
      { id: 'a', title: 'alpha', rating: 1, status: 'DRAFT' },
      { id: 'b', title: 'beta', rating: 2 },
      { id: 'c', title: 'gamma', rating: 3 },
      { id: 'd', title: 'delta' },
    ];
    for (const post of four) await w.put('Post', post);
    await until('all have come', () => all.events.length === 4 && heard.every((h, i) => h.events.length >= filters[i][1].length));
    for (const [i, [filter, wanted]] of filters.entries()) {
      assert.equal(heard[i].events.map((e) => e.id).join(''), wanted, JSON.stringify(filter));
    }
    [...heard, all].forEach((h) => h.stop());
  });

  it('API: what is stopped hears no more; the others do', async (w) => {
    const [one, two] = [await hear('subscription { onCreatePost { id } }'), await hear('subscription { onCreatePost { title } }')];
    one.stop();
    await until('it is completed', () => frames.some((f) => !f.out && f.message.type === 'complete'));
    await w.put('Post', { id: 'p', title: 'a' });
    await until('the other hears', () => two.events.length === 1);
    assert.equal(one.events.length, 0);
    two.stop();
  });

  it('API: a subscription that is not valid is an error; the others live', async (w) => {
    const good = await hear('subscription { onCreatePost { id } }');
    const bad = await hear('subscription { onNothing { id } }');
    await until('it is told', () => bad.errors.length === 1);
    assert.match(JSON.stringify(bad.errors[0].errors ?? bad.errors[0].error?.errors), /onNothing/);
    await w.put('Post', { id: 'p', title: 'a' });
    await until('the good one hears', () => good.events.length === 1);
    good.stop();
  });

  it('API: a wrong key: the connection is refused, once', async (w) => {
    g.configure(w.door.url, g.wrongKey);
    const heard = await hear('subscription { onCreatePost { id } }');
    await until('it is told', () => heard.errors.length === 1);
    const refusals = frames.filter((f) => f.message.type === 'connection_error');
    assert.deepEqual(refusals[0].message.payload.errors.map((e) => [e.errorType, e.errorCode]), [['UnauthorizedException', 401]]);
    assert.equal(sockets.length, 1, 'it is not tried again');
  });
}
