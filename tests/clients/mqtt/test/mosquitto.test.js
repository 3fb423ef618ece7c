// The example of docs/mqtt.md, with Debian's mosquitto_pub and mosquitto_sub.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { apiKey, startServer } from '../../src/server.js';
import { until } from '../../src/until.js';

const server = await startServer(undefined, { mqtt: true });
after(() => server.stop());
const run = promisify(execFile);

for (const version of ['mqttv5', 'mqttv311', 'mqttv31']) {
  test(`by hand, ${version}`, async () => {
    const name = `phone-${version}`;
    const common = ['-V', version, '-p', String(server.mqttPort), '-u', 'x-api-key', '-P', apiKey, '-q', '1'];
    // Line by line, also into a pipe.
    const listening = spawn('stdbuf', ['-oL', 'mosquitto_sub', ...common, '-i', name, '-t', `tombolo/${name}/response`, '-d']);
    let said = '';
    listening.stdout.on('data', (data) => (said += data));
    const of = (id) => frames().filter((frame) => frame.id === id);
    const frames = () => said.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    try {
      await until('it listens', () => /Subscribed/.test(said));
      const ask = (frame) => run('mosquitto_pub', [...common, '-i', `${name}:pub`, '-t', `tombolo/${name}/request`, '-m', JSON.stringify(frame)]);
      await ask({ id: '1', type: 'subscribe', payload: { query: 'subscription { onCreateList { title } }' } });
      await ask({ id: '2', type: 'subscribe', payload: { query: 'mutation { createList(input: { title: "by MQTT" }) { title } }' } });
      // mosquitto_pub goes when the mutation is acknowledged, that is in the queue.
      await until('it is carried out', () => of('2').length === 2);
      await ask({ id: '3', type: 'subscribe', payload: { query: '{ listLists(limit: 1000) { items { title } } }' } });
      await until('all is answered', () => frames().length === 5);
      assert.deepEqual(of('1').map((f) => f.payload.data), [{ onCreateList: { title: 'by MQTT' } }]);
      assert.deepEqual(of('2').map((f) => f.type), ['next', 'complete']);
      assert.ok(of('3')[0].payload.data.listLists.items.some((list) => list.title === 'by MQTT'));
    } finally {
      listening.kill('SIGKILL');
    }
  });
}
