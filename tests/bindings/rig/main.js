// The rig of the bindings' scenarios: real servers, an issuer, and files to begin from, for a runner in any language that can
// speak HTTP. `node tests/bindings/rig/main.js` prints one line of JSON, {"url": …}, and ends, with all that it started, when
// its standard input closes. What it can be asked for: tests/bindings/README.md.
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { post, startConfigured } from '../../clients/src/server.js';
import { dataStoreFile } from './datastore.js';
import { drifted } from './drift.js';
import { clientId, startIssuer } from './issuer.js';

const here = dirname(fileURLToPath(import.meta.url));
const schemaPath = join(here, 'schema.graphql');
/** Longest body of a request, in bytes: the runners send documents and numbers. */
const bodyBytesMax = 1 << 20;

const folder = mkdtempSync(join(tmpdir(), 'tombolo-rig-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
// The servers' own folders are made in this one, and go with it.
process.env.TMPDIR = folder;
const issuer = await startIssuer();
const servers = new Map();
let made = 0;

/** A mistake in a request, told to the runner. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const routes = [
  ['GET', /^\/schema$/, () => ({ path: schemaPath, text: readFileSync(schemaPath, 'utf8'), operations: join(here, 'operations') })],
  ['POST', /^\/servers$/, newServer],
  ['POST', /^\/servers\/(\d+)\/stop$/, async (_, id) => ((await serverOf(id).server.end('SIGKILL')), {})],
  ['POST', /^\/servers\/(\d+)\/start$/, async (_, id) => ((await serverOf(id).server.start()), {})],
  ['DELETE', /^\/servers\/(\d+)$/, removeServer],
  ['POST', /^\/servers\/(\d+)\/graphql$/, graphql],
  ['POST', /^\/tokens$/, ({ user = 'ada', seconds = 600 }) => ({ token: issuer.token(user, seconds) })],
  ['POST', /^\/datastore-file$/, oldFile],
  ['POST', /^\/drifted-library$/, driftedLibrary],
];

async function newServer() {
  const apiKey = randomBytes(24).toString('hex');
  const server = await startConfigured(
    `[[api_keys]]\nname = "rig"\nkey = "${apiKey}"\n[[issuers]]\nissuer = "${issuer.url}"\nclient_id = "${clientId}"\n`,
    schemaPath,
    { kept: true },
  );
  const id = String((made += 1));
  servers.set(id, { server, apiKey });
  return { id, url: server.url, apiKey };
}

async function removeServer(_, id) {
  const { server } = serverOf(id);
  servers.delete(id);
  await server.end('SIGKILL');
  await server.stop();
  return {};
}

/** Somebody else's request: with the key, or as `user`. Gives the whole answer, errors included. */
async function graphql({ query, variables, user }, id) {
  const { server, apiKey } = serverOf(id);
  const headers = user === undefined ? { 'x-api-key': apiKey } : { authorization: issuer.token(user, 600) };
  const { status, body } = await post(server.url, query, variables, headers);
  return { status, ...body };
}

/** A DataStore file; with `server` that server is given the records that the file was synced with. */
async function oldFile({ platform = 'ios', records = 20, mutations = 5, server }) {
  const whole = Number.isInteger(records) && Number.isInteger(mutations);
  if (!['ios', 'android'].includes(platform) || !whole || records < mutations || records > 10_000 || mutations < 0) {
    throw new Refused(400, 'platform is ios or android; records are at most 10000, and no fewer than mutations');
  }
  const file = dataStoreFile(join(folder, `datastore-${(made += 1)}.db`), { platform, records, mutations });
  for (let at = 0; server !== undefined && at < file.server.length; at += 100) {
    const inputs = file.server.slice(at, at + 100);
    const variables = Object.fromEntries(inputs.map((input, i) => [`i${i}`, input]));
    const declared = inputs.map((_, i) => `$i${i}: CreateNoteInput!`).join(', ');
    const query = `mutation(${declared}) { ${inputs.map((_, i) => `n${i}: createNote(input: $i${i}) { id }`).join(' ')} }`;
    const answer = await graphql({ query, variables }, server);
    if (answer.errors) throw new Refused(500, `the server was not given the records: ${JSON.stringify(answer.errors[0])}`);
  }
  return file;
}

function driftedLibrary({ path }) {
  const { bytes, name } = drifted(path);
  const own = mkdtempSync(join(folder, 'drifted-'));
  const copy = join(own, basename(path));
  writeFileSync(copy, bytes);
  return { path: copy, changed: name };
}

function serverOf(id) {
  const found = servers.get(id);
  if (!found) throw new Refused(404, `there is no server ${id}`);
  return found;
}

async function body(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new Refused(413, `a body has at most ${bodyBytesMax} bytes`);
    parts.push(part);
  }
  if (!bytes) return {};
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    throw new Refused(400, `the body is no JSON: ${error.message}`);
  }
}

async function answer(request) {
  const given = await body(request);
  for (const [method, path, act] of routes) {
    const match = method === request.method && path.exec(request.url);
    if (match) return act(given, ...match.slice(1));
  }
  throw new Refused(404, `the rig knows no ${request.method} ${request.url}`);
}

const listener = createServer(async (request, response) => {
  let [status, told] = [200, undefined];
  try {
    told = await answer(request);
  } catch (error) {
    [status, told] = [error.status ?? 500, { error: error.message }];
  }
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(told));
});

let ending = false;
async function end(code) {
  if (ending) return;
  ending = true;
  listener.close();
  listener.closeAllConnections();
  await Promise.allSettled([...servers.keys()].map((id) => removeServer({}, id)));
  await issuer.stop();
  process.exit(code);
}

process.stdin.resume();
process.stdin.once('end', () => end(0));
process.stdin.once('error', () => end(0));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => end(1));
// A runner that died while it was being answered.
process.stdout.on('error', () => end(1));
listener.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: `http://127.0.0.1:${listener.address().port}` })));
