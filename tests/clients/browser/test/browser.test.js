// The main story in a real browser: `aws-amplify` 6 with IndexedDB, over https and wss with the server's own certificate, from
// a page of another origin.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';
import { apiKey, startServer } from '../../src/server.js';
import { until } from '../../src/until.js';

// Node asks the server, too, whose certificate nobody but the server has made.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const here = dirname(fileURLToPath(import.meta.url));
const bundle = await build({ entryPoints: [join(here, '../page.js')], bundle: true, write: false, format: 'iife', logLevel: 'error' });
const site = createServer((request, response) => {
  const script = request.url === '/page.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
  response.end(script ? bundle.outputFiles[0].text : '<!doctype html><title>app</title><script src="/page.js"></script>');
});
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
const browser = await puppeteer.launch({
  executablePath: process.env.TOMBOLO_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
  acceptInsecureCerts: true,
});
after(async () => {
  await browser.close();
  site.close();
});

/** One case: a server, and a browser's profile whose pages share a local store. */
const it = (name, run) =>
  test(`Chromium: ${name}`, { timeout: 60_000 }, async () => {
    const server = await startServer(join(here, '../../datastore/schema.graphql'), { tls: true });
    const context = await browser.createBrowserContext();
    /** A page of the app; its functions are those of `window.app`. */
    const open = async ({ start = true } = {}) => {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${site.address().port}/`);
      const app = (name, ...args) => page.evaluate((name, args) => window.app[name](...args), name, args);
      await app('configure', server.url, apiKey);
      if (start) {
        await app('start');
        await until('the app is ready', () => app('happened', 'ready'));
      }
      return { page, app };
    };
    try {
      await run({ server, open, ask: (query, variables) => server.ask(query, variables) });
    } finally {
      await context.close();
      await server.stop();
    }
  });

const title = async (w, id) => (await w.ask(`{ getPost(id: "${id}") { title } }`)).getPost?.title;

it('written here and there, seen here and there, kept in IndexedDB', async (w) => {
  assert.match(w.server.url, /^https:/);
  await w.ask('mutation { createPost(input: { id: "before", title: "before" }) { id } }');
  const { page, app } = await w.open();
  assert.ok((await app('databases')).includes('amplify-datastore'));
  assert.equal((await app('query', 'Post', 'before')).title, 'before');
  const mine = await app('save', 'Post', { title: 'mine' });
  await until('the server has it', async () => (await title(w, mine.id)) === 'mine');
  await w.ask('mutation { createPost(input: { id: "live", title: "live" }) { id } }');
  await until('the event comes', () => app('query', 'Post', 'live'));
  await until('its version is known', async () => (await app('query', 'Post', mine.id))._version === 1);
  await app('update', 'Post', mine.id, { title: 'changed' });
  await until('the server has it', async () => (await title(w, mine.id)) === 'changed');
  await app('remove', 'Post', 'live');
  await until('it is deleted', async () => (await w.ask('{ getPost(id: "live") { _deleted } }')).getPost._deleted);
  assert.deepEqual(await app('errors'), []);
  await page.close();

  // Another page of the same profile, without a network: all is there.
  const again = await w.open({ start: false });
  await again.page.setOfflineMode(true);
  await again.app('start');
  assert.equal((await again.app('query', 'Post', mine.id)).title, 'changed');
  assert.equal(await again.app('query', 'Post', 'live'), undefined);
});

it('written without a network, the page closed, another page sends it', async (w) => {
  const { page, app } = await w.open();
  await page.setOfflineMode(true);
  await until('the app knows', async () => (await app('active')) === false);
  const post = await app('save', 'Post', { title: 'queued' });
  await until('it is queued', () => app('happened', 'outboxMutationEnqueued'));
  await page.close();
  assert.equal(await title(w, post.id), undefined);
  await w.open();
  await until('the server has it', async () => (await title(w, post.id)) === 'queued');
});

it('the network goes and comes back: both sides catch up', async (w) => {
  await w.ask('mutation { createPost(input: { id: "p", title: "a" }) { id } }');
  const { page, app } = await w.open();
  await page.setOfflineMode(true);
  await until('the app knows', async () => (await app('active')) === false);
  await app('update', 'Post', 'p', { rating: 5 });
  await w.ask('mutation { updatePost(input: { id: "p", title: "theirs", _version: 1 }) { id } }');
  await page.setOfflineMode(false);
  await until('both edits stand here', async () => {
    const post = await app('query', 'Post', 'p');
    return post.title === 'theirs' && post.rating === 5 && post._version === 3;
  });
  const { getPost } = await w.ask('{ getPost(id: "p") { title rating } }');
  assert.deepEqual(getPost, { title: 'theirs', rating: 5 });
});

it('the server is restarted while the page lives', async (w) => {
  const { app } = await w.open();
  await w.ask('mutation { createPost(input: { id: "one", title: "one" }) { id } }');
  await until('the event comes', () => app('query', 'Post', 'one'));
  await w.server.end('SIGKILL');
  await w.server.start();
  await w.ask('mutation { createPost(input: { id: "two", title: "two" }) { id } }');
  await until('the page catches up', () => app('query', 'Post', 'two'), 40_000);
  await w.ask('mutation { createPost(input: { id: "three", title: "three" }) { id } }');
  await until('events come again', () => app('query', 'Post', 'three'));
});
