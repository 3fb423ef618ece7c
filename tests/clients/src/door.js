// The network between a client and the server, in the test's hand: it records requests and answers, can be shut (no
// network) and opened, can lose an answer and deliver twice. It changes nothing on its way.
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { Doubling } from './doubling.js';

export class Door {
  /** Every request so far: `{ field, variables, status, answer }`, in the order of arrival. */
  requests = [];
  /** Given a request's record, true: its answer is lost and the connection cut. */
  lose = () => false;
  /** Given a request's record, true: it reaches the server twice, and the client has the first answer. */
  repeat = () => false;
  /** Given a message of the server on a socket, true: it comes twice. */
  twice = () => false;
  /** Awaited with a request's record before it goes on to the server. */
  before = async () => {};
  #sockets = new Set();
  #server;

  /** A door to the server's port. */
  static async to(port) {
    const door = new Door();
    door.target = port;
    await door.open();
    return door;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/graphql`;
  }

  async open() {
    const server = createServer((from, to) => this.#forward(from, to));
    server.on('connection', (socket) => this.#keep(socket));
    server.on('upgrade', (from, socket, head) => this.#tunnel(from, socket, head));
    this.#server = server;
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port ?? 0, '127.0.0.1', resolve);
    });
    this.port = server.address().port;
  }

  /** Cuts every connection; none is taken until it is opened again. */
  async shut() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#sockets.forEach((socket) => socket.destroy());
    await closed;
  }

  /** The requests whose root field it is. */
  of(field) {
    return this.requests.filter((r) => r.field === field);
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  }

  async #forward(from, to) {
    const chunks = [];
    for await (const chunk of from) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const asked = JSON.parse(body.toString() || '{}');
    const record = { field: rootField(asked.query ?? ''), query: asked.query, variables: asked.variables, headers: from.headers };
    this.requests.push(record);
    await this.before(record);
    try {
      const answer = await this.#onward(from, body);
      record.status = answer.status;
      record.answer = answer.text.length ? JSON.parse(plain(answer.text, answer.headers['content-encoding'])) : null;
      if (this.repeat(record)) await this.#onward(from, body);
      if (this.lose(record)) throw new Error('lost');
      to.writeHead(answer.status, answer.headers);
      to.end(answer.text);
    } catch {
      from.socket.destroy();
    }
  }

  #onward(from, body) {
    return new Promise((resolve, reject) => {
      const to = { host: '127.0.0.1', port: this.target, path: from.url, method: from.method, headers: from.headers };
      const onward = request(to, async (answer) => {
        const parts = [];
        answer.on('error', reject);
        for await (const part of answer) parts.push(part);
        resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts) });
      });
      onward.on('error', reject);
      onward.end(body);
    });
  }

  #tunnel(from, socket, head) {
    const onward = connect(this.target, '127.0.0.1', () => {
      const lines = [`${from.method} ${from.url} HTTP/1.1`];
      for (let i = 0; i < from.rawHeaders.length; i += 2) lines.push(`${from.rawHeaders[i]}: ${from.rawHeaders[i + 1]}`);
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(new Doubling((message) => this.twice(message))).pipe(socket);
    });
    this.#keep(onward);
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  }
}

function plain(body, encoding) {
  if (!encoding) return body.toString();
  const decoders = { br: brotliDecompressSync, gzip: gunzipSync, deflate: inflateSync };
  return decoders[encoding](body).toString();
}

/** The first field of a document's first operation. */
function rootField(document) {
  return /\{\s*(?:\w+\s*:\s*)?(\w+)/.exec(document.replace(/\([^()]*\)/, ''))?.[1] ?? '';
}
