// A library whose API is another one than the generated code was made for: a copy of a cdylib (ELF, 64 bits) in which one of
// uniffi's checksum functions gives another number.
import { readFileSync } from 'node:fs';

/** `mov ax|w0, 0xbad; ret`, for each kind of machine that is known. */
const answers = {
  62: Buffer.from([0x66, 0xb8, 0xad, 0x0b, 0xc3]),
  183: Buffer.from([0xa0, 0x75, 0x81, 0x52, 0xc0, 0x03, 0x5f, 0xd6]),
};

/** The bytes of the copy, and the name of the function that was changed. */
export function drifted(path) {
  const file = readFileSync(path);
  if (file.toString('latin1', 0, 4) !== '\x7fELF' || file[4] !== 2) throw new Error(`${path} is no 64 bit ELF library`);
  const machine = file.readUInt16LE(18);
  const answer = answers[machine];
  if (!answer) throw new Error(`machine ${machine} is not known to tests/bindings/rig/drift.js: add how it gives back 0xbad`);
  const sections = readSections(file);
  const symbols = sections.find((section) => section.type === 11);
  if (!symbols) throw new Error(`${path} exports nothing`);
  const names = sections[symbols.link];
  for (let at = symbols.offset; at < symbols.offset + symbols.size; at += 24) {
    const start = names.offset + file.readUInt32LE(at);
    const name = file.toString('latin1', start, file.indexOf(0, start));
    const size = Number(file.readBigUInt64LE(at + 16));
    if (!/^uniffi_\w+_checksum_/.test(name) || size < answer.length) continue;
    const address = Number(file.readBigUInt64LE(at + 8));
    const home = sections[file.readUInt16LE(at + 6)];
    const place = address - home.address + home.offset;
    // One in 65,536 gives this number already.
    if (file.subarray(place, place + answer.length).equals(answer)) continue;
    answer.copy(file, place);
    return { bytes: file, name };
  }
  throw new Error(`${path} has no checksum function: it was not made by uniffi`);
}

function readSections(file) {
  const [start, size, count] = [Number(file.readBigUInt64LE(0x28)), file.readUInt16LE(0x3a), file.readUInt16LE(0x3c)];
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * size;
    return {
      type: file.readUInt32LE(at + 4),
      address: Number(file.readBigUInt64LE(at + 16)),
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
      link: file.readUInt32LE(at + 40),
    };
  });
}
