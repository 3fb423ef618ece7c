//! What the packets of a device look like: each is looked at before `mqtt-protocol-core` reads it, which passes over much that both
//! specifications forbid, and does not always say what is wrong.
//!
//! Bytes in; out come whole packets, or the reason code and a sentence. The library is given one whole packet at a time, so that
//! there is one opinion of where it ends. Whether what a packet says makes sense at the moment (an acknowledgement of nothing,
//! somebody else's topic) is seen later.
//!
//! Codes are the specification's of MQTT 5; where it says no more than that a packet is wrong, what cannot be read is malformed
//! (0x81), and what can be, and is not allowed, breaks the protocol (0x82). In 3.1.1 nobody is told.

use std::borrow::Cow;

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::result_code::MqttError;

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) error: MqttError,
    pub(super) why: &'static str,
}

/// It cannot be read (0x81).
const fn malformed(why: &'static str) -> Fault {
    let error = MqttError::MalformedPacket;
    Fault { error, why }
}

/// It can, and is not allowed (0x82).
const fn forbidden(why: &'static str) -> Fault {
    let error = MqttError::ProtocolError;
    Fault { error, why }
}

/// How a CONNECT of MQTT 5 begins, behind its fixed header.
const BEGINNING_5: &[u8] = b"\x00\x04MQTT\x05";

/// The kinds of packet that a device may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Pingreq,
    Disconnect,
    Auth,
    /// Not a packet, but the will in a CONNECT, which has properties of its own.
    Will,
}

/// Reads the first byte of a packet: its kind, and the flags, which say something in PUBLISH alone.
fn head(version: Version, byte: u8) -> Result<Kind, Fault> {
    let not_theirs = forbidden("A packet that clients do not send.");
    let (kind, flags) = match byte >> 4 {
        1 => (Kind::Connect, 0),
        3 => (Kind::Publish, byte & 0x0f),
        4 => (Kind::Puback, 0),
        5 => (Kind::Pubrec, 0),
        6 => (Kind::Pubrel, 2),
        7 => (Kind::Pubcomp, 0),
        8 => (Kind::Subscribe, 2),
        10 => (Kind::Unsubscribe, 2),
        12 => (Kind::Pingreq, 0),
        14 => (Kind::Disconnect, 0),
        15 if version == Version::V5_0 => (Kind::Auth, 0),
        // SUBACK, UNSUBACK, PINGRESP.
        9 | 11 | 13 if byte & 0x0f != 0 => return Err(malformed("Reserved flags of the fixed header.")),
        _ => return Err(not_theirs),
    };
    if byte & 0x0f != flags {
        return Err(malformed("Reserved flags of the fixed header."));
    }
    match (kind, version) {
        (Kind::Connect, Version::Undetermined) => {}
        (Kind::Connect, _) => return Err(forbidden("A second CONNECT.")),
        (_, Version::Undetermined) => return Err(forbidden("CONNECT comes first.")),
        _ => {}
    }
    if kind == Kind::Publish {
        match (flags >> 1) & 3 {
            3 => return Err(malformed("QoS 3.")),
            0 if flags & 8 != 0 => return Err(malformed("DUP with QoS 0.")),
            _ => {}
        }
    }
    Ok(kind)
}

/// Cuts what comes into packets.
#[derive(Debug)]
pub(super) struct Cutter {
    /// A packet that has begun in what came before, and no more than it.
    begun: Vec<u8>,
    /// The largest that is taken, in bytes.
    most: usize,
}

impl Cutter {
    pub(super) fn new(most: usize) -> Self {
        let begun = Vec::new();
        Self { begun, most }
    }

    /// Takes a whole packet off the front of `bytes`, with what came of it before; or all of them, if it goes on behind them.
    pub(super) fn next<'b>(&mut self, version: Version, bytes: &mut &'b [u8]) -> Result<Option<Cow<'b, [u8]>>, Fault> {
        if self.begun.is_empty()
            && let Some(end) = end(version, bytes, self.most)?
            && let Some((packet, rest)) = bytes.split_at_checked(end)
        {
            *bytes = rest;
            return Ok(Some(Cow::Borrowed(packet)));
        }
        loop {
            let end = end(version, &self.begun, self.most)?;
            if end == Some(self.begun.len()) {
                return Ok(Some(Cow::Owned(std::mem::take(&mut self.begun))));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            // Until there is a length, a byte at a time.
            let wanted = end.map_or(1, |end| end - self.begun.len());
            let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.begun.extend_from_slice(taken);
            *bytes = rest;
        }
    }
}

/// Where the packet ends that `bytes` begin with, if they tell yet. What can be refused for its first bytes is.
fn end(version: Version, bytes: &[u8], most: usize) -> Result<Option<usize>, Fault> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    head(version, first)?;
    let mut body = Body(rest);
    match body.length(version) {
        Ok(length) => {
            let end = bytes.len() - body.0.len() + length as usize;
            if end > most {
                let error = MqttError::PacketTooLarge;
                let why = "A packet that is larger than the server's Maximum Packet Size.";
                return Err(Fault { error, why });
            }
            Ok(Some(end))
        }
        Err(_) if rest.len() < 4 && rest.iter().all(|byte| byte & 0x80 != 0) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether this is, as far as it goes, a CONNECT of MQTT 5.
pub(super) fn connects_by_5(packet: &[u8]) -> bool {
    let Some((0x10, rest)) = packet.split_first().map(|(first, rest)| (first & 0xf0, rest)) else {
        return false;
    };
    let mut body = Body(rest);
    body.variable_in_any().is_ok() && body.0.starts_with(BEGINNING_5)
}

/// Looks at a whole packet.
pub(super) fn look_at(version: Version, packet: &[u8]) -> Result<(), Fault> {
    let Some((&first, rest)) = packet.split_first() else {
        return Err(malformed("Nothing."));
    };
    let kind = head(version, first)?;
    let mut body = Body(rest);
    body.length(version)?;
    let five = version == Version::V5_0;
    match kind {
        Kind::Connect => body.connect()?,
        Kind::Publish => return body.publish(five, first & 0x06 != 0),
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => {
            body.id()?;
            if five {
                body.reason(kind)?;
            }
        }
        Kind::Subscribe => return body.subscribe(five),
        Kind::Unsubscribe => {
            body.id()?;
            if five {
                body.properties(Kind::Unsubscribe)?;
            }
            body.filters(|body| body.filter().map(drop))?;
        }
        Kind::Disconnect | Kind::Auth if five => body.reason(kind)?,
        Kind::Disconnect | Kind::Auth | Kind::Pingreq | Kind::Will => {}
    }
    body.end()
}

/// What is left of a packet's body.
struct Body<'p>(&'p [u8]);

impl<'p> Body<'p> {
    fn take(&mut self, count: usize) -> Result<&'p [u8], Fault> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(malformed("It ends before its time."))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let [byte] = *self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<&'p [u8; N], Fault> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| malformed("It ends before its time."))
    }

    fn number(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    /// A number of one to four bytes, and of as few as it takes.
    fn variable(&mut self) -> Result<u32, Fault> {
        let before = self.0.len();
        let value = self.variable_in_any()?;
        let as_few = match value {
            0..0x80 => 1,
            0x80..0x4000 => 2,
            0x4000..0x20_0000 => 3,
            _ => 4,
        };
        match before - self.0.len() == as_few {
            true => Ok(value),
            false => Err(malformed("A number in more bytes than it takes.")),
        }
    }

    /// A number of one to four bytes: 3.1.1 does not say how many.
    fn variable_in_any(&mut self) -> Result<u32, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("A number of more than four bytes."))
    }

    /// The remaining length, which comes before all else.
    fn length(&mut self, version: Version) -> Result<u32, Fault> {
        match version {
            Version::V5_0 => self.variable(),
            Version::V3_1_1 | Version::Undetermined => self.variable_in_any(),
        }
    }

    fn binary(&mut self) -> Result<&'p [u8], Fault> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Result<&'p str, Fault> {
        match std::str::from_utf8(self.binary()?) {
            Ok(text) if text.contains('\0') => Err(malformed("U+0000 in a string.")),
            Ok(text) => Ok(text),
            Err(_) => Err(malformed("A string that is not UTF-8.")),
        }
    }

    /// The name of a topic, where there has to be one.
    fn topic(&mut self) -> Result<(), Fault> {
        match self.text()? {
            "" => Err(forbidden("A topic without a name.")),
            wild if wild.contains(['+', '#']) => Err(malformed("A topic's name with a wildcard.")),
            _ => Ok(()),
        }
    }

    /// A topic filter: wildcards are whole levels, and `#` is the last.
    fn filter(&mut self) -> Result<&'p str, Fault> {
        let filter = self.text()?;
        if filter.is_empty() {
            return Err(malformed("An empty topic filter."));
        }
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            let whole = match level {
                "+" => true,
                "#" => levels.peek().is_none(),
                level => !level.contains(['+', '#']),
            };
            if !whole {
                return Err(malformed("A topic filter with a wildcard where none can be."));
            }
        }
        Ok(filter)
    }

    fn id(&mut self) -> Result<(), Fault> {
        match self.number()? {
            0 => Err(forbidden("A packet id is 1 to 65,535.")),
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        match self.0 {
            [] => Ok(()),
            _ => Err(malformed("It goes on behind its end.")),
        }
    }

    fn connect(&mut self) -> Result<(), Fault> {
        let named = self.text()?;
        let five = match (named, self.byte()?) {
            ("MQTT", 4) => false,
            ("MQTT", 5) => true,
            _ => return Err(forbidden("A protocol that is not served.")),
        };
        let flags = self.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let (user, password, will_retain, will_qos, will) =
            (has(0x80), has(0x40), has(0x20), (flags >> 3) & 3, has(0x04));
        if has(0x01) {
            return Err(malformed("The reserved flag of CONNECT."));
        }
        if !will && (will_retain || will_qos > 0) {
            return Err(malformed("Flags of a will without a will."));
        }
        if will_qos == 3 {
            return Err(malformed("A will with QoS 3."));
        }
        if password && !user && !five {
            return Err(malformed("A password without a user name."));
        }
        let _keep_alive = self.number()?;
        if five {
            self.properties(Kind::Connect)?;
        }
        let _client_id = self.text()?;
        if will {
            if five {
                self.properties(Kind::Will)?;
            }
            self.topic()?;
            let _message = self.binary()?;
        }
        if user {
            let _name = self.text()?;
        }
        if password {
            let _password = self.binary()?;
        }
        Ok(())
    }

    /// Up to the payload, which may be anything.
    fn publish(&mut self, five: bool, has_id: bool) -> Result<(), Fault> {
        let is_named = !self.0.starts_with(&[0, 0]);
        if is_named {
            self.topic()?;
        } else {
            let _none = self.text()?;
        }
        if has_id {
            self.id()?;
        }
        let properties = if five { self.properties(Kind::Publish)? } else { 0 };
        if !is_named && properties & bit(TOPIC_ALIAS) == 0 {
            return Err(forbidden("A topic without a name."));
        }
        if properties & bit(SUBSCRIPTION_IDENTIFIER) != 0 {
            return Err(forbidden("A Subscription Identifier in a client's PUBLISH."));
        }
        Ok(())
    }

    fn subscribe(&mut self, five: bool) -> Result<(), Fault> {
        self.id()?;
        let properties = if five { self.properties(Kind::Subscribe)? } else { 0 };
        self.filters(|body| {
            let filter = body.filter()?;
            let options = body.byte()?;
            match five {
                true => subscription(filter, options),
                false if options > 2 => Err(malformed("A QoS that there is not.")),
                false => Ok(()),
            }
        })?;
        if properties & bit(SUBSCRIPTION_IDENTIFIER) != 0 {
            let error = MqttError::SubscriptionIdentifiersNotSupported;
            let why = "Subscription Identifiers are not served, as CONNACK has said.";
            return Err(Fault { error, why });
        }
        Ok(())
    }

    /// One filter at least, and nothing behind the last.
    fn filters(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Err(forbidden("No topic filter."));
        }
        while !self.0.is_empty() {
            each(self)?;
        }
        Ok(())
    }

    /// A reason code and properties at a packet's end, of which either may be missing.
    fn reason(&mut self, kind: Kind) -> Result<(), Fault> {
        if !self.0.is_empty() {
            let _code = self.byte()?;
        }
        if !self.0.is_empty() {
            self.properties(kind)?;
        }
        Ok(())
    }

    /// The properties of a packet of this kind, or of a will; as [`bit`]s, which there were.
    fn properties(&mut self, of: Kind) -> Result<u64, Fault> {
        let length = self.variable()?;
        let mut body = Body(self.take(length as usize)?);
        let mut seen = 0;
        while !body.0.is_empty() {
            let property = body.variable()?;
            let form = form(property, of).ok_or(malformed("A property that is none of this packet's."))?;
            body.value(form)?;
            if seen & bit(property) != 0 && form != Form::Pair {
                return Err(forbidden("A property that comes twice."));
            }
            seen |= bit(property);
        }
        Ok(seen)
    }

    fn value(&mut self, form: Form) -> Result<(), Fault> {
        let zero = forbidden("A property that must not be 0.");
        match form {
            Form::Flag if self.byte()? > 1 => return Err(forbidden("A property that is 0 or 1.")),
            Form::Flag => {}
            Form::Two => drop(self.number()?),
            Form::TwoNotZero if self.number()? == 0 => return Err(zero),
            Form::Four => drop(self.take(4)?),
            Form::FourNotZero if *self.array()? == [0; 4] => return Err(zero),
            Form::VariableNotZero if self.variable()? == 0 => return Err(zero),
            Form::TwoNotZero | Form::FourNotZero | Form::VariableNotZero => {}
            Form::Text => drop(self.text()?),
            Form::Topic => self.topic()?,
            Form::Binary => drop(self.binary()?),
            Form::Pair => {
                let _name = self.text()?;
                let _value = self.text()?;
            }
        }
        Ok(())
    }
}

/// One filter of MQTT 5 and its options.
fn subscription(filter: &str, options: u8) -> Result<(), Fault> {
    if options & 0xc0 != 0 {
        return Err(malformed("Reserved bits of a subscription's options."));
    }
    if options & 0x03 == 3 {
        return Err(forbidden("A QoS that there is not."));
    }
    if options & 0x30 == 0x30 {
        return Err(forbidden("A Retain Handling that there is not."));
    }
    let Some(shared) = filter.strip_prefix("$share/") else {
        return Ok(());
    };
    match shared.split_once('/') {
        None | Some(("", _) | (_, "")) => Err(malformed("A shared subscription without a name or a filter.")),
        Some((name, _)) if name.contains(['+', '#']) => Err(malformed("A shared subscription's name with a wildcard.")),
        Some(_) if options & 0x04 != 0 => Err(forbidden("No Local with a shared subscription.")),
        Some(_) => Ok(()),
    }
}

const SUBSCRIPTION_IDENTIFIER: u32 = 0x0b;
const TOPIC_ALIAS: u32 = 0x23;

/// A property among others: all that there are have numbers below 64.
fn bit(property: u32) -> u64 {
    1_u64.checked_shl(property).unwrap_or_default()
}

/// What a property's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A byte, 0 or 1.
    Flag,
    Two,
    TwoNotZero,
    Four,
    FourNotZero,
    VariableNotZero,
    Text,
    Topic,
    Binary,
    /// Two strings; the one property that may come many times.
    Pair,
}

/// A property's form, if a device may say it in such a packet (5: table 2-4).
fn form(property: u32, of: Kind) -> Option<Form> {
    use Kind::{Auth, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Subscribe, Unsubscribe, Will};
    let (form, owners): (Form, &[Kind]) = match property {
        // Payload Format Indicator, Message Expiry Interval, Content Type, Response Topic, Correlation Data.
        0x01 => (Form::Flag, &[Publish, Will]),
        0x02 => (Form::Four, &[Publish, Will]),
        0x03 => (Form::Text, &[Publish, Will]),
        0x08 => (Form::Topic, &[Publish, Will]),
        0x09 => (Form::Binary, &[Publish, Will]),
        SUBSCRIPTION_IDENTIFIER => (Form::VariableNotZero, &[Publish, Subscribe]),
        // Session Expiry Interval.
        0x11 => (Form::Four, &[Connect, Disconnect]),
        // Authentication Method, Authentication Data.
        0x15 => (Form::Text, &[Connect, Auth]),
        0x16 => (Form::Binary, &[Connect, Auth]),
        // Request Problem Information, Request Response Information.
        0x17 | 0x19 => (Form::Flag, &[Connect]),
        // Will Delay Interval.
        0x18 => (Form::Four, &[Will]),
        // Server Reference, Reason String.
        0x1c => (Form::Text, &[Disconnect]),
        0x1f => (Form::Text, &[Puback, Pubrec, Pubrel, Pubcomp, Disconnect, Auth]),
        // Receive Maximum, Topic Alias Maximum.
        0x21 => (Form::TwoNotZero, &[Connect]),
        0x22 => (Form::Two, &[Connect]),
        TOPIC_ALIAS => (Form::Two, &[Publish]),
        // User Property.
        0x26 => (
            Form::Pair,
            &[
                Connect,
                Will,
                Publish,
                Puback,
                Pubrec,
                Pubrel,
                Pubcomp,
                Subscribe,
                Unsubscribe,
                Disconnect,
                Auth,
            ],
        ),
        // Maximum Packet Size.
        0x27 => (Form::FourNotZero, &[Connect]),
        _ => return None,
    };
    owners.contains(&of).then_some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Version = Version::Undetermined;
    const OLD: Version = Version::V3_1_1;
    const FIVE: Version = Version::V5_0;

    const MALFORMED: u16 = 0x81;
    const FORBIDDEN: u16 = 0x82;

    /// A packet's bytes: the first, the length, and the body.
    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
        bytes.extend_from_slice(body);
        bytes
    }

    /// The code with which it is refused, or 0.
    fn verdict(version: Version, first: u8, body: &[u8]) -> u16 {
        match look_at(version, &packet(first, body)) {
            Ok(()) => 0,
            Err(fault) => fault.error as u16,
        }
    }

    fn check(table: &[(Version, u8, &[u8], u16)]) {
        for (version, first, body, code) in table {
            let is = verdict(*version, *first, body);
            assert_eq!(
                is,
                *code,
                "{version:?} {first:02x} {:?}: {is:#x}",
                body.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn the_first_byte_is_that_of_a_packet_that_a_client_sends() {
        for first in 0..=u8::MAX {
            let fits = |version| head(version, first).is_ok();
            let both = matches!(
                first,
                0x30..=0x35 | 0x3a..=0x3d | 0x40 | 0x50 | 0x62 | 0x70 | 0x82 | 0xa2 | 0xc0 | 0xe0
            );
            assert_eq!(fits(OLD), both, "{first:02x}");
            assert_eq!(fits(FIVE), both || first == 0xf0, "{first:02x}");
            assert_eq!(fits(FIRST), first == 0x10, "{first:02x}");
        }
        check(&[
            (FIVE, 0x00, b"", FORBIDDEN),
            (FIVE, 0x20, b"\0\0\0", FORBIDDEN),
            (FIVE, 0x90, b"\0\x01\0\0", FORBIDDEN),
            (FIVE, 0x91, b"\0\x01\0\0", MALFORMED),
            (FIVE, 0x38, b"\0\x01t\0", MALFORMED),
            (FIVE, 0x36, b"\0\x01t\0\x01\0", MALFORMED),
            (FIVE, 0xc1, b"", MALFORMED),
            (FIVE, 0x10, b"\0\x04MQTT\x05\x02\0\0\0\0\x01p", FORBIDDEN),
            (FIRST, 0xc0, b"", FORBIDDEN),
        ]);
    }

    #[test]
    fn connect() {
        check(&[
            (FIRST, 0x10, b"\0\x04MQTT\x04\x02\0\x0a\0\x01p", 0),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x02\0\x0a\0\0", 0),
            (FIRST, 0x10, b"\0\x04MQTT\x04\xc2\0\x0a\0\x01p\0\x01u\0\x01\0", 0),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x2e\0\x0a\0\x01p\0\x01t\0\0", 0),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\0\0\x01p", 0),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x42\0\x0a\0\0\x01p\0\x01w", 0),
            (
                FIRST,
                0x10,
                b"\0\x04MQTT\x05\x06\0\x0a\0\0\x01p\x05\x18\0\0\0\x01\0\x01t\0\0",
                0,
            ),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x05\x11\0\0\0\x01\0\x01p", 0),
            // Another protocol; it ends too early, and too late.
            (FIRST, 0x10, b"\0\x04MQTS\x04\x02\0\x0a\0\x01p", FORBIDDEN),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x02\0\x0a", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x02\0\x0a\0\x01p\0", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x82\0\x0a\0\x01p", MALFORMED),
            // Flags: the reserved one, of a will that there is not, a will with QoS 3, a password alone.
            (FIRST, 0x10, b"\0\x04MQTT\x04\x03\0\x0a\0\x01p", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x0a\0\x0a\0\0\x01p", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x22\0\x0a\0\0\x01p", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x1e\0\x0a\0\x01p\0\x01t\0\0", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x42\0\x0a\0\x01p\0\x01w", MALFORMED),
            // Strings with U+0000, and with a surrogate.
            (FIRST, 0x10, b"\0\x04MQTT\x04\x82\0\x0a\0\x01p\0\x02u\0", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x04\x02\0\x0a\0\x03\xed\xa0\x80", MALFORMED),
            (
                FIRST,
                0x10,
                b"\0\x04MQTT\x05\x02\0\x0a\x08\x26\0\x01k\0\x02v\0\0\x01p",
                MALFORMED,
            ),
            // Receive Maximum 0, twice, a PUBLISH's property, one that there is not, one that is cut off.
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x03\x21\0\0\0\x01p", FORBIDDEN),
            (
                FIRST,
                0x10,
                b"\0\x04MQTT\x05\x02\0\x0a\x06\x21\0\x01\x21\0\x01\0\x01p",
                FORBIDDEN,
            ),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x02\x17\x02\0\x01p", FORBIDDEN),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x03\x23\0\x01\0\x01p", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x02\x7f\0\0\x01p", MALFORMED),
            (FIRST, 0x10, b"\0\x04MQTT\x05\x02\0\x0a\x02\x21\0\0\x01p", MALFORMED),
        ]);
        let five = packet(0x10, b"\0\x04MQTT\x05\x03\0\x0a\0\0\x01p");
        assert!(connects_by_5(&five) && !connects_by_5(&packet(0x10, b"\0\x04MQTT\x04\x02")));
    }

    #[test]
    fn publish() {
        check(&[
            (OLD, 0x30, b"\0\x01tany\0thing", 0),
            (OLD, 0x3b, b"\0\x01t\0\x01", 0),
            (FIVE, 0x32, b"\0\x01t\0\x01\x06\x26\0\x01k\0\0{}", 0),
            (FIVE, 0x30, b"\0\0\x03\x23\0\x01", 0),
            (OLD, 0x30, b"\0\0payload", FORBIDDEN),
            (FIVE, 0x30, b"\0\0\0", FORBIDDEN),
            (FIVE, 0x30, b"\0\x02a+\0", MALFORMED),
            (FIVE, 0x30, b"\0\x02#/\0", MALFORMED),
            (FIVE, 0x30, b"\0\x02a\0\0", MALFORMED),
            (FIVE, 0x30, b"\0\x05abc", MALFORMED),
            (OLD, 0x32, b"\0\x01t\0\0", FORBIDDEN),
            (OLD, 0x32, b"\0\x01t\0", MALFORMED),
            // Subscription Identifiers; one of too many bytes, and of more than there can be.
            (FIVE, 0x30, b"\0\x01t\x02\x0b\x01", FORBIDDEN),
            (FIVE, 0x30, b"\0\x01t\x04\x0b\x01\x0b\x02", FORBIDDEN),
            (FIVE, 0x30, b"\0\x01t\x03\x0b\x80\x00", MALFORMED),
            (FIVE, 0x30, b"\0\x01t\x06\x0b\x80\x80\x80\x80\x01", MALFORMED),
            // Payload Format Indicator 2; a Response Topic with a wildcard.
            (FIVE, 0x30, b"\0\x01t\x02\x01\x02", FORBIDDEN),
            (FIVE, 0x30, b"\0\x01t\x04\x08\0\x01+", MALFORMED),
        ]);
    }

    #[test]
    fn acknowledgements_and_what_ends_a_connection() {
        check(&[
            (OLD, 0x40, b"\0\x01", 0),
            (OLD, 0x62, b"\0\x01", 0),
            (OLD, 0x62, b"\0\x01\0", MALFORMED),
            (OLD, 0x40, b"\0", MALFORMED),
            (FIVE, 0x40, b"\0\x01", 0),
            (FIVE, 0x40, b"\0\x01\0", 0),
            (FIVE, 0x40, b"\0\x01\0\x04\x1f\0\x01r", 0),
            (FIVE, 0x50, b"\0\0", FORBIDDEN),
            (FIVE, 0x70, b"\0\x01\0\0\0", MALFORMED),
            (FIVE, 0x40, b"\0\x01\0\x08\x1f\0\x01r\x1f\0\x01r", FORBIDDEN),
            (FIVE, 0x40, b"\0\x01\0\x01\x0b", MALFORMED),
            (OLD, 0xc0, b"", 0),
            (OLD, 0xc0, b"\0", MALFORMED),
            (OLD, 0xe0, b"", 0),
            (OLD, 0xe0, b"\0", MALFORMED),
            (FIVE, 0xe0, b"", 0),
            (FIVE, 0xe0, b"\x04", 0),
            (FIVE, 0xe0, b"\0\x05\x11\0\0\0\x01", 0),
            (FIVE, 0xf0, b"\x19\x08\x15\0\x01m\x16\0\x01d", 0),
            (OLD, 0xf0, b"", FORBIDDEN),
        ]);
    }

    #[test]
    fn subscribe_and_unsubscribe() {
        check(&[
            (OLD, 0x82, b"\0\x01\0\x01t\x02", 0),
            (OLD, 0x82, b"\0\x01\0\x01#\0\0\x05a/+/#\x01", 0),
            (OLD, 0x82, b"\0\x01", FORBIDDEN),
            (OLD, 0x82, b"\0\x01\0\x01t\x03", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x01t\x04", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x01t\x80", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x01t\0\0\0\0", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x05ab/+e\0", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x03#/a\0", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x02a\0\0", MALFORMED),
            (OLD, 0x82, b"\0\x01\0\x01t", MALFORMED),
            (FIVE, 0x82, b"\0\x01\0\0\x01t\x2e", 0),
            (FIVE, 0x82, b"\0\0\0\0\x01t\0", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\0\0\x01t\x40", MALFORMED),
            (FIVE, 0x82, b"\0\x01\0\0\x01t\x03", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\0\0\x01t\x30", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\x02\x01\0\0\x01t\0", MALFORMED),
            (FIVE, 0x82, b"\0\x01\x02\x0b\x01\0\x01t\0", 0xa1),
            (FIVE, 0x82, b"\0\x01\x02\x0b\0\0\x01t\0", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01t\0", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\0\0\x0a$share/g/t\0", 0),
            (FIVE, 0x82, b"\0\x01\0\0\x0a$share/g/t\x04", FORBIDDEN),
            (FIVE, 0x82, b"\0\x01\0\0\x08$share/g\0", MALFORMED),
            (FIVE, 0x82, b"\0\x01\0\0\x0a$share/+/t\0", MALFORMED),
            (OLD, 0xa2, b"\0\x01\0\x01t", 0),
            (OLD, 0xa2, b"\0\x01\0\x01t\0\0", MALFORMED),
            (FIVE, 0xa2, b"\0\x01\0\0\x01t\0\x01u", 0),
            (FIVE, 0xa2, b"\0\x01\0", FORBIDDEN),
            (FIVE, 0xa2, b"\0\x01\x02\x0b\x01\0\x01t", MALFORMED),
        ]);
    }

    #[test]
    fn packets_are_cut_out_wherever_the_reads_end() {
        let long = {
            let mut bytes = vec![0x30, 0x80, 0x02, 0, 1, b't'];
            bytes.resize(3 + 256, b'x');
            bytes
        };
        let packets = [
            packet(0x82, b"\0\x01\0\x01t\0"),
            packet(0xc0, b""),
            long,
            packet(0x30, b"\0\x01t"),
        ];
        let stream = packets.concat();
        for size in 1..=stream.len() {
            let mut cutter = Cutter::new(259);
            let mut cut = Vec::new();
            for mut bytes in stream.chunks(size) {
                while let Some(packet) = cutter.next(OLD, &mut bytes).unwrap() {
                    cut.push(packet.into_owned());
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(cut, packets, "reads of {size} bytes");
            assert!(cutter.begun.is_empty());
        }
    }

    #[test]
    fn what_can_be_refused_for_its_beginning_is_not_waited_for() {
        let cut = |version, bytes: &[u8]| {
            let mut bytes = bytes;
            let cut = Cutter::new(100).next(version, &mut bytes);
            cut.map(|packet| packet.map(Cow::into_owned))
                .map_err(|fault| fault.error as u16)
        };
        assert_eq!(cut(FIVE, b"\x81"), Err(MALFORMED));
        assert_eq!(cut(FIVE, b"\x0a\xc0"), Err(FORBIDDEN));
        assert_eq!(cut(FIVE, b"\x30\x63"), Err(0x95));
        assert_eq!(cut(FIVE, b"\x30\x62"), Ok(None));
        assert_eq!(cut(FIVE, b"\x30\xff\xff\xff\x7f"), Err(0x95));
        assert_eq!(cut(FIVE, b"\x30\xff\xff\xff"), Ok(None));
        assert_eq!(cut(FIVE, b"\x30\xff\xff\xff\xff"), Err(MALFORMED));
        // A length in more bytes than it takes, which 3.1.1 does not forbid.
        assert_eq!(cut(FIVE, b"\xc0\x80\0"), Err(MALFORMED));
        assert_eq!(cut(OLD, b"\xc0\x80\0"), Ok(Some(b"\xc0\x80\0".to_vec())));
        assert_eq!(cut(FIVE, b""), Ok(None));
    }
}
