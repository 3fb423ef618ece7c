//! Bytes and what is said of them.

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
