// A storage as the offline stores of `aws-appsync` want it: with callbacks, and with promises.
export class Memory {
  #items = new Map();
  getItem(key, done) {
    return later(this.#items.get(key) ?? null, done);
  }
  setItem(key, value, done) {
    this.#items.set(key, value);
    return later(undefined, done);
  }
  removeItem(key, done) {
    this.#items.delete(key);
    return later(undefined, done);
  }
  getAllKeys(done) {
    return later([...this.#items.keys()], done);
  }
}

function later(value, done = () => {}) {
  queueMicrotask(() => done(null, value));
  return Promise.resolve(value);
}
