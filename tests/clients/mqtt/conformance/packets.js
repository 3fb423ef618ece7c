// Bytes of the vectors, read as Mosquitto's own runner reads them, and packets, told in words that can be compared.

const KINDS = [
  'RESERVED', 'CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP',
  'SUBSCRIBE', 'SUBACK', 'UNSUBSCRIBE', 'UNSUBACK', 'PINGREQ', 'PINGRESP', 'DISCONNECT', 'AUTH',
];

/** A variable byte integer; also one that is longer than MQTT allows, since vectors have such. */
export function varint(value) {
  const bytes = [];
  do {
    bytes.push((value % 128) | (value >= 128 ? 0x80 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Buffer.from(bytes);
}

/** `82 r6 m1234 s1 'p' 00` in bytes. */
export function bytesOf(text) {
  const parts = text.match(/'[^']*'|\S+/g) ?? [];
  return Buffer.concat(parts.map((part) => {
    const number = Number(part.slice(1));
    switch (part[0]) {
      case "'": return Buffer.from(part.slice(1, -1));
      case 'i': return Buffer.from([number]);
      case 'H': case 'k': case 'm': case 's': return Buffer.from([number >> 8, number & 0xff]);
      case 'L': { const four = Buffer.alloc(4); four.writeUInt32BE(number); return four; }
      case 'v': case 'r': return varint(number);
      default: {
        const hex = Buffer.from(part, 'hex');
        if (hex.length * 2 !== part.length) throw new Error(`${text}: ${part} is no hex`);
        return hex;
      }
    }
  }));
}

/** The variable byte integer at `at`, and where it ends; nothing if it does not end, or is too long. */
export function readVarint(bytes, at) {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) << shift;
    at += 1;
    if (byte < 0x80) return { value, at };
  }
  return undefined;
}

/** Takes whole packets off the front of `bytes`; gives them, and what is left. */
export function split(bytes) {
  const packets = [];
  for (;;) {
    const length = bytes.length > 1 ? readVarint(bytes, 1) : undefined;
    if (!length || bytes.length < length.at + length.value) return { packets, rest: bytes };
    packets.push({ head: bytes[0], body: bytes.subarray(length.at, length.at + length.value) });
    bytes = bytes.subarray(length.at + length.value);
  }
}

const hex = (byte) => (byte ?? 0).toString(16).padStart(2, '0').toUpperCase();

/**
 * What a packet of the server says: its kind, flags, ids, reason codes and topic. Left out are a message's payload and the
 * properties, which tell a server's own limits and its reasons in words.
 */
export function told({ head, body }, version) {
  const kind = KINDS[head >> 4];
  const five = version === 5;
  const id = (at = 0) => (body.length >= at + 2 ? body.readUInt16BE(at) : 'none');
  const flags = head & 0x0f;
  switch (kind) {
    case 'CONNACK': return `CONNACK ${body[0] === 1 ? 'session ' : ''}${hex(body[1])}${flags ? ` flags ${flags}` : ''}`;
    case 'PUBLISH': {
      const length = id();
      const topic = body.subarray(2, 2 + length).toString();
      const qos = (flags >> 1) & 3;
      const marks = `${flags & 8 ? ' dup' : ''}${flags & 1 ? ' retain' : ''}`;
      return `PUBLISH qos ${qos}${marks}${qos ? ` id ${id(2 + length)}` : ''} ${topic}`;
    }
    case 'PUBACK': case 'PUBREC': case 'PUBREL': case 'PUBCOMP':
      return `${kind} ${id()} ${hex(body[2])}${flags === (kind === 'PUBREL' ? 2 : 0) ? '' : ` flags ${flags}`}`;
    case 'SUBACK': case 'UNSUBACK': {
      let from = 2;
      if (five) {
        const properties = readVarint(body, 2);
        from = properties ? properties.at + properties.value : body.length;
      }
      return `${kind} ${[id(), ...[...body.subarray(from)].map(hex)].join(' ')}`;
    }
    case 'DISCONNECT': case 'AUTH': return `${kind} ${hex(body[0])}`;
    default: return kind;
  }
}

/** The device's own topics in place of those of a PUBLISH, SUBSCRIBE or UNSUBSCRIBE; the rest byte for byte, and as much more in
 * the remaining length as the packet has grown. `payload`, if given, is put in place of the texts that vectors publish. */
export function withOwnTopics(bytes, version, topics, payload) {
  const kind = KINDS[bytes[0] >> 4];
  const length = readVarint(bytes, 1);
  if (!length || !['PUBLISH', 'SUBSCRIBE', 'UNSUBSCRIBE'].includes(kind)) return bytes;
  const body = bytes.subarray(length.at);
  const out = [];
  let at = 0;
  const keep = (until) => { out.push(body.subarray(at, until)); at = until; };
  /** Replaces the string at `at` if it is a topic that another server would have; whether there was a string. */
  const topic = (own) => {
    if (body.length < at + 2) return false;
    const end = at + 2 + body.readUInt16BE(at);
    if (end > body.length) return false;
    const text = body.subarray(at + 2, end).toString('latin1');
    if (!/^[\x21-\x7e]+$/.test(text) || /[+#$]/.test(text)) keep(end);
    else {
      out.push(Buffer.from([own.length >> 8, own.length & 0xff]), Buffer.from(own));
      at = end;
    }
    return true;
  };
  if (kind === 'PUBLISH') topic(topics.request);
  else if (body.length >= 2) {
    keep(2);
    const properties = version === 5 ? readVarint(body, 2) : { at: 2, value: 0 };
    if (properties && properties.at + properties.value <= body.length) {
      keep(properties.at + properties.value);
      while (topic(topics.response)) if (kind === 'SUBSCRIBE') keep(Math.min(at + 1, body.length));
    }
  }
  keep(body.length);
  let anew = Buffer.concat(out);
  if (kind === 'PUBLISH' && payload) {
    const text = /(?:payload|message)+$/.exec(anew.toString('latin1'));
    if (text) anew = Buffer.concat([anew.subarray(0, text.index), Buffer.from(payload)]);
  }
  return Buffer.concat([bytes.subarray(0, 1), varint(length.value + anew.length - body.length), anew]);
}

const text = (value) => Buffer.concat([Buffer.from([value.length >> 8, value.length & 0xff]), Buffer.from(value)]);

/** The CONNECT that the runner says where a vector leaves it to the runner. */
export function connect(version, clientId, credential) {
  const head = Buffer.concat([
    version === 3 ? text('MQIsdp') : text('MQTT'),
    Buffer.from([version, credential ? 0xc2 : 0x02, 0, 60]),
    version === 5 ? Buffer.from([0]) : Buffer.alloc(0),
    text(clientId),
    ...(credential ? [text('x-api-key'), text(credential)] : []),
  ]);
  return Buffer.concat([Buffer.from([0x10]), varint(head.length), head]);
}

/** A PUBLISH with QoS 1. */
export function publish(version, topic, id, payload) {
  const body = Buffer.concat([text(topic), Buffer.from([id >> 8, id & 0xff]), version === 5 ? Buffer.from([0]) : Buffer.alloc(0), Buffer.from(payload)]);
  return Buffer.concat([Buffer.from([0x32]), varint(body.length), body]);
}

/** A SUBSCRIBE of one topic, or an UNSUBSCRIBE if there is no QoS. */
export function subscribe(version, topic, qos, id = 1) {
  const body = Buffer.concat([Buffer.from([id >> 8, id & 0xff]), version === 5 ? Buffer.from([0]) : Buffer.alloc(0), text(topic), qos === undefined ? Buffer.alloc(0) : Buffer.from([qos])]);
  return Buffer.concat([Buffer.from([qos === undefined ? 0xa2 : 0x82]), varint(body.length), body]);
}
