// Private keys, each the only object of its kind.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';

/**
 * A fresh private key. It goes through PEM: both halves of a generated pair share a lock, which Node takes to export one of them
 * as JWK; a collection of the other half meanwhile waits for it on the same thread, for ever.
 */
export function privateKey(type, options = {}) {
  const { privateKey: pem } = generateKeyPairSync(type, {
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return createPrivateKey(pem);
}
