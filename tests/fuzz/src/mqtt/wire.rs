//! What a server may write to a client, read by the letter of the specifications (MQTT 3.1.1 and 5) and without the library
//! that the server writes with.

/// A packet from a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    Connack { code: u8, assigned_id: Option<String> },
    Publish(Publish),
    Puback { id: u16 },
    Suback { id: u16, codes: usize },
    Unsuback { id: u16, codes: usize },
    Pingresp,
    Disconnect,
    Auth,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    pub topic: String,
    /// With QoS 1.
    pub id: Option<u16>,
    pub payload: Vec<u8>,
}

/// What a client's CONNECT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// It has the name of the protocol.
    pub is_named: bool,
    /// 3, 4 or 5; or one that there is not.
    pub level: u8,
    pub client_id: String,
    pub receive_maximum: usize,
    pub packet_bytes_max: usize,
}

/// A packet's first byte, its body, and how long all of it is; `None` while it is not all there.
pub fn frame(bytes: &[u8]) -> Result<Option<(u8, &[u8], usize)>, &'static str> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut reader = Reader(rest);
    let length = match reader.number() {
        Ok(length) => length,
        Err(_) if rest.len() < 4 => return Ok(None),
        Err(wrong) => return Err(wrong),
    };
    Ok(reader
        .0
        .get(..length)
        .map(|body| (first, body, bytes.len() - reader.0.len() + length)))
}

/// Reads one packet of a server's.
pub fn read(version_5: bool, first: u8, body: &[u8]) -> Result<Packet, &'static str> {
    let mut reader = Reader(body);
    let (kind, flags) = (first >> 4, first & 0xf);
    if kind != 3 && flags != 0 {
        return Err("reserved flags are set");
    }
    let packet = match kind {
        2 => {
            let present = reader.byte()?;
            let code = reader.byte()?;
            let mut assigned_id = None;
            if version_5 {
                reader.properties(CONNACK, |id, value| {
                    if id == 0x12 {
                        assigned_id = Some(String::from_utf8_lossy(value).into_owned());
                    }
                })?;
                known(code, CONNACK_CODES)?;
            } else {
                known(code, &[0, 1, 2, 3, 4, 5])?;
            }
            if present != 0 {
                return Err("a session is present that nobody keeps");
            }
            Packet::Connack { code, assigned_id }
        }
        3 => {
            if flags & 0b1001 != 0 {
                return Err("a message is retained or comes again");
            }
            let topic = reader.text()?;
            let id = match flags >> 1 {
                0 => None,
                1 => Some(reader.id()?),
                _ => return Err("a message with a QoS that nobody granted"),
            };
            if version_5 {
                reader.properties(PUBLISH, |_, _| {})?;
            }
            let payload = std::mem::take(&mut reader.0).to_vec();
            Packet::Publish(Publish { topic, id, payload })
        }
        4 => {
            let id = reader.id()?;
            if version_5 && !reader.0.is_empty() {
                known(reader.byte()?, PUBACK_CODES)?;
                reader.properties_if_any(REASON)?;
            }
            Packet::Puback { id }
        }
        9 | 11 => {
            let id = reader.id()?;
            if version_5 {
                reader.properties(REASON, |_, _| {})?;
            }
            let codes = std::mem::take(&mut reader.0);
            let table: &[u8] = match (kind, version_5) {
                (9, true) => SUBACK_CODES,
                (9, false) => &[0, 1, 0x80],
                (_, true) => UNSUBACK_CODES,
                (_, false) => &[],
            };
            codes.iter().try_for_each(|code| known(*code, table))?;
            let codes = codes.len();
            match kind {
                9 => Packet::Suback { id, codes },
                _ => Packet::Unsuback { id, codes },
            }
        }
        13 => Packet::Pingresp,
        14 if version_5 => {
            if !reader.0.is_empty() {
                known(reader.byte()?, DISCONNECT_CODES)?;
                reader.properties_if_any(DISCONNECT)?;
            }
            Packet::Disconnect
        }
        15 if version_5 => {
            if !reader.0.is_empty() {
                known(reader.byte()?, &[0, 0x18])?;
                reader.properties_if_any(AUTH)?;
            }
            Packet::Auth
        }
        _ => return Err("no packet that a server sends"),
    };
    match reader.0 {
        [] => Ok(packet),
        _ => Err("more bytes than the packet has"),
    }
}

/// Reads the CONNECT that a connection begins with, as far as the server has to look at it; `None` if it is none.
pub fn connect(bytes: &[u8]) -> Option<Connect> {
    let (first, body, _) = frame(bytes).ok()??;
    if first >> 4 != 1 {
        return None;
    }
    // Where the name of another length says that the level is, it is not looked for: a server tells by its place.
    let (level, rest) = match body {
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, rest @ ..] => (*level, rest),
        [_, _, _, _, _, _, level, rest @ ..] => (*level, rest),
        _ => return None,
    };
    let mut reader = Reader(rest);
    let mut connect = Connect {
        is_named: body.starts_with(b"\x00\x04MQTT") || body.starts_with(b"\x00\x06MQIsdp\x03"),
        level,
        client_id: String::new(),
        receive_maximum: usize::from(u16::MAX),
        packet_bytes_max: usize::MAX,
    };
    // Behind the level it may be in disorder, of which the server says so in the words of that level.
    let _disorder = rest_of_connect(&mut reader, &mut connect);
    Some(connect)
}

fn rest_of_connect(reader: &mut Reader<'_>, connect: &mut Connect) -> Result<(), &'static str> {
    // Flags and keep-alive.
    reader.take(3)?;
    if connect.level == 5 {
        let (receive, packet) = (&mut connect.receive_maximum, &mut connect.packet_bytes_max);
        let number = |value: &[u8]| value.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        reader.properties(CONNECT, |id, value| match id {
            0x21 => *receive = number(value),
            0x27 => *packet = number(value),
            _ => {}
        })?;
    }
    connect.client_id = reader.text()?;
    Ok(())
}

const CONNACK_CODES: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
    0x9c, 0x9d, 0x9f,
];
const PUBACK_CODES: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const SUBACK_CODES: &[u8] = &[0, 1, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
const UNSUBACK_CODES: &[u8] = &[0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
const DISCONNECT_CODES: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

/// The properties that a packet may have.
const CONNECT: &[u8] = &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27];
const CONNACK: &[u8] = &[
    0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a,
];
const PUBLISH: &[u8] = &[0x01, 0x02, 0x03, 0x08, 0x09, 0x26];
const REASON: &[u8] = &[0x1f, 0x26];
const DISCONNECT: &[u8] = &[0x1c, 0x1f, 0x26];
const AUTH: &[u8] = &[0x15, 0x16, 0x1f, 0x26];

fn known(code: u8, table: &[u8]) -> Result<(), &'static str> {
    match table.contains(&code) {
        true => Ok(()),
        false => Err("a code that such a packet does not have"),
    }
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a packet is too short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16, &'static str> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn id(&mut self) -> Result<u16, &'static str> {
        match self.short()? {
            0 => Err("packet id 0"),
            id => Ok(id),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.short()?;
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Result<String, &'static str> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
            _ => Err("a text that is none"),
        }
    }

    fn number(&mut self) -> Result<usize, &'static str> {
        let mut number = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return match byte == 0 && place > 0 {
                    true => Err("a length longer than it need be"),
                    false => Ok(number),
                };
            }
        }
        Err("a length that does not end")
    }

    fn properties_if_any(&mut self, may: &[u8]) -> Result<(), &'static str> {
        match self.0 {
            [] => Ok(()),
            _ => self.properties(may, |_, _| {}),
        }
    }

    fn properties(&mut self, may: &[u8], mut each: impl FnMut(u8, &[u8])) -> Result<(), &'static str> {
        let length = self.number()?;
        let mut inner = Reader(self.take(length)?);
        let mut seen = Vec::new();
        while !inner.0.is_empty() {
            let id = inner.byte()?;
            if !may.contains(&id) {
                return Err("a property that such a packet does not have");
            }
            if id != 0x26 && seen.contains(&id) {
                return Err("a property twice");
            }
            seen.push(id);
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => inner.take(1)?,
                0x13 | 0x21 | 0x22 => inner.take(2)?,
                0x02 | 0x11 | 0x27 => inner.take(4)?,
                0x26 => {
                    inner.text()?;
                    inner.bytes()?
                }
                _ => inner.bytes()?,
            };
            each(id, value);
        }
        Ok(())
    }
}
