// A hundred models: AppSync's limit of a hundred subscriptions on a socket ends DataStore at thirty-three.
import assert from 'node:assert/strict';
import { frames, sockets } from '../../src/environment.js';
import { until } from '../../src/until.js';

export default function (it, g) {
  it('a hundred models on one socket: each is synced and each hears of its records', async (w) => {
    for (const name of w.modelNames) await w.put(name, { id: 'before', title: 't' });
    await w.start();
    assert.equal(sockets.length, 1);
    assert.equal(frames.filter((f) => f.message.type === 'start_ack').length, 3 * w.modelNames.length);
    for (const name of w.modelNames) await w.put(name, { id: 'after', title: 't' });
    for (const name of w.modelNames) {
      await w.shows(g.models[name], undefined, (all) => all.map((r) => r.id).sort().join() === 'after,before');
    }
    assert.deepEqual(w.errors, []);
  });

  it('a hundred models: a write to each goes out', async (w) => {
    await w.start();
    for (const name of w.modelNames) await w.DataStore.save(new g.models[name]({ title: name }));
    await until('all are known to the server', () => w.door.requests.filter((r) => r.field.startsWith('create') && r.answer).length === 100);
    await w.sent();
    for (const name of w.modelNames) {
      await w.shows(g.models[name], undefined, (all) => all.length === 1 && all[0]._version === 1);
    }
    assert.deepEqual(w.errors, []);
  });
}
