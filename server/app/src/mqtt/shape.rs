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
        if before - self.0.len() != as_few {
            return Err(malformed("A number in more bytes than it takes."));
        }
        Ok(value)
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
mod tests;
