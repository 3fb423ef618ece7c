// What a browser gives the clients and Node does not: a global WebSocket, and a window that says whether there is a network.
// Must be imported before the client's packages.
import { setMaxListeners } from 'node:events';
import { WebSocket as NodeSocket } from 'ws';

/** Every frame of every socket since the last `forget`: `{ out: boolean, message }`. */
export const frames = [];
/** Every socket made since the last `forget`. */
export const sockets = [];

export function forget() {
  frames.length = 0;
  sockets.length = 0;
}

/** The clients dial `wss` even where the endpoint is `http`; on the loopback the sockets are plain. */
class Socket extends NodeSocket {
  constructor(url, protocols, ...rest) {
    super(String(url).replace(/^wss:\/\/127\./, 'ws://127.'), protocols, ...rest);
    sockets.push(this);
    this.on('message', (data) => frames.push({ out: false, message: JSON.parse(data.toString()) }));
    this.on('error', () => {});
  }

  send(data, ...rest) {
    frames.push({ out: true, message: JSON.parse(data) });
    return super.send(data, ...rest);
  }
}

const target = new EventTarget();
setMaxListeners(0, target);
const navigator = { onLine: true, userAgent: 'node', product: '' };

globalThis.WebSocket = Socket;
globalThis.window = {
  navigator,
  location: { href: 'http://127.0.0.1/', search: '', hash: '', origin: 'http://127.0.0.1' },
  addEventListener: target.addEventListener.bind(target),
  removeEventListener: target.removeEventListener.bind(target),
  dispatchEvent: target.dispatchEvent.bind(target),
};

/** What the system tells the app of the network, as a browser passes it on. */
export function network(online) {
  navigator.onLine = online;
  target.dispatchEvent(new Event(online ? 'online' : 'offline'));
}
