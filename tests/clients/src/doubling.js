// A network that delivers twice: the server's WebSocket frames on their way to the client.
import { Transform } from 'node:stream';

const TEXT = 0x81;

/** Passes the answer to the upgrade on, then each frame, and those that `twice` picks (by their JSON) once more. */
export class Doubling extends Transform {
  #rest = Buffer.alloc(0);
  #upgraded = false;

  constructor(twice) {
    super();
    this.twice = twice;
  }

  _transform(chunk, _, done) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let piece = this.#next(); piece; piece = this.#next()) this.push(piece);
    done();
  }

  /** The next whole piece, or nothing if its end is yet to come. */
  #next() {
    const rest = this.#rest;
    const end = this.#upgraded ? frameEnd(rest) : headEnd(rest);
    if (end > rest.length) return undefined;
    this.#rest = rest.subarray(end);
    const piece = rest.subarray(0, end);
    if (!this.#upgraded) {
      this.#upgraded = true;
      return piece;
    }
    return piece[0] === TEXT && this.twice(JSON.parse(payload(piece).toString())) ? Buffer.concat([piece, piece]) : piece;
  }
}

/** A server's frames are not masked (RFC 6455, section 5.1). */
const headLength = (frame) => 2 + ({ 126: 2, 127: 8 }[frame[1]] ?? 0);
const payload = (frame) => frame.subarray(headLength(frame));

/** Where the answer's head ends; past the end where that is yet to come. */
function headEnd(bytes) {
  const at = bytes.indexOf('\r\n\r\n');
  return at < 0 ? Infinity : at + 4;
}

/** Where the first frame ends; past the end where that is not known yet. */
function frameEnd(bytes) {
  if (bytes.length < 2 || bytes.length < headLength(bytes)) return Infinity;
  const length = { 126: () => bytes.readUInt16BE(2), 127: () => Number(bytes.readBigUInt64BE(2)) }[bytes[1]]?.() ?? bytes[1];
  return headLength(bytes) + length;
}
