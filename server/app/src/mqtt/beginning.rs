//! CONNECTs that are written anew before they are read.
//!
//! MQTT 3.1, as the oldest of AppSync's clients begin: after its CONNECT it differs from 3.1.1 in nothing that is served here.
//! And MQTT 5 with a Topic Alias Maximum of 0 (3.1.2.11.5: the client takes no aliases, as when it says nothing), which
//! `mqtt-protocol-core` 0.7.9 panics at: as no alias is ever sent from here, 1 says the same.

/// How MQTT 3.1 is named in a CONNECT, with its level.
const NAME_3_1: &[u8] = b"\x00\x06MQIsdp\x03";

/// How 3.1.1 is.
const NAME_3_1_1: &[u8] = b"\x00\x04MQTT\x04";

/// How 5 is.
const NAME_5: &[u8] = b"\x00\x04MQTT\x05";

/// The flag of a CONNECT that says nothing in 3.1, and is not allowed later.
const RESERVED_FLAG: u8 = 0x01;

/// The type of a CONNECT.
const CONNECT: u8 = 0x10;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Too little to tell.
    Short,
    /// To be read as it is.
    AsItIs,
    /// A CONNECT of a version that is not served: MQTT's, but none of its levels that there are.
    Unknown,
    /// A CONNECT with flags that are reserved (2.2.2 of 3.1.1): to be closed, and `mqtt-protocol-core` would not.
    Broken,
    /// A CONNECT in other words, and how many bytes it took.
    Anew(Vec<u8>, usize),
}

/// Looks at the first bytes of a connection.
pub(super) fn look_at(bytes: &[u8]) -> Beginning {
    let rest = match bytes.split_first() {
        Some((&CONNECT, rest)) => rest,
        Some((first, _)) if first & 0xf0 == CONNECT => return Beginning::Broken,
        Some(_) => return Beginning::AsItIs,
        None => return Beginning::Short,
    };
    let (mut length, mut shift, mut taken) = (0_usize, 0, 0);
    loop {
        let Some(&byte) = rest.get(taken) else {
            return Beginning::Short;
        };
        length |= usize::from(byte & 0x7f) << shift;
        (taken, shift) = (taken + 1, shift + 7);
        if byte & 0x80 == 0 {
            break;
        }
        if taken == 4 {
            return Beginning::AsItIs;
        }
    }
    let body = rest.get(taken..).unwrap_or_default();
    let seen = body.len().min(NAME_5.len());
    if body.get(..seen) == NAME_5.get(..seen) {
        let Some(body) = body.get(..length) else {
            return if length > super::CONNECT_BYTES_MAX {
                Beginning::AsItIs
            } else {
                Beginning::Short
            };
        };
        return match no_aliases(body) {
            Some(at) => {
                let end = 1 + taken + length;
                let mut anew = bytes.get(..end).unwrap_or_default().to_vec();
                if let Some(low) = anew.get_mut(1 + taken + at + 1) {
                    *low = 1;
                }
                Beginning::Anew(anew, end)
            }
            None => Beginning::AsItIs,
        };
    }
    if let [name @ .., level] = body.get(..NAME_5.len()).unwrap_or_default()
        && NAME_5.starts_with(name)
        && ![4, 5].contains(level)
    {
        return Beginning::Unknown;
    }
    let seen = body.len().min(NAME_3_1.len());
    if body.get(..seen) != NAME_3_1.get(..seen) {
        return Beginning::AsItIs;
    }
    let Some(body) = body.get(..length).filter(|body| body.len() >= NAME_3_1.len()) else {
        // It says that it is long: its length is bounded where packets are read, and this one is none of ours to keep.
        return if length < NAME_3_1.len() || length > super::CONNECT_BYTES_MAX {
            Beginning::AsItIs
        } else {
            Beginning::Short
        };
    };
    let mut anew = vec![CONNECT];
    let mut left = length - (NAME_3_1.len() - NAME_3_1_1.len());
    loop {
        let digit = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        anew.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    anew.extend_from_slice(NAME_3_1_1);
    if let Some((flags, rest)) = body.get(NAME_3_1.len()..).and_then(<[u8]>::split_first) {
        anew.push(flags & !RESERVED_FLAG);
        anew.extend_from_slice(rest);
    }
    Beginning::Anew(anew, 1 + taken + length)
}

/// Where in the body of a CONNECT of MQTT 5 a Topic Alias Maximum of 0 stands. `None` too for properties that are not well
/// formed, which whoever reads the packet will see.
fn no_aliases(body: &[u8]) -> Option<usize> {
    const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    // Behind the name and level: flags, and the keep-alive in two bytes.
    let mut at = NAME_5.len() + 3;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = *body.get(at)?;
        length |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return None;
        }
    }
    let end = at + length;
    let text = |at: usize| Some(2 + usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?])));
    while at < end {
        let property = *body.get(at)?;
        at += 1;
        at += match property {
            TOPIC_ALIAS_MAXIMUM if body.get(at..at + 2)? == [0, 0] => return Some(at),
            // Receive Maximum.
            TOPIC_ALIAS_MAXIMUM | 0x21 => 2,
            // Session Expiry Interval, Maximum Packet Size.
            0x11 | 0x27 => 4,
            // Request Response Information, Request Problem Information.
            0x19 | 0x17 => 1,
            // Authentication Method and Data.
            0x15 | 0x16 => text(at)?,
            // User Property.
            0x26 => {
                let name = text(at)?;
                name + text(at + name)?
            }
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_clients_begin_in_3_1() {
        // As aws-appsync 3.0.1 writes it: clean session, 60 s, an id.
        let mut bytes = b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02ab".to_vec();
        let whole = bytes.len();
        for cut in 0..whole {
            let seen = look_at(&bytes[..cut]);
            assert!(matches!(seen, Beginning::Short), "{cut}: {seen:?}");
        }
        bytes.extend_from_slice(b"\xc0\x00");
        let anew = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab".to_vec();
        assert_eq!(look_at(&bytes), Beginning::Anew(anew, whole));
        // Clean session, and a flag that says nothing.
        let mut flagged = bytes.clone();
        flagged[11] |= RESERVED_FLAG;
        assert_eq!(look_at(&flagged), look_at(&bytes));
        // A length that needs one digit less.
        let id = "x".repeat(116);
        let mut long = b"\x10\x82\x01\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x74".to_vec();
        long.extend_from_slice(id.as_bytes());
        let Beginning::Anew(anew, taken) = look_at(&long) else {
            panic!("{:?}", look_at(&long))
        };
        assert_eq!(
            (taken, &anew[..9], anew.len()),
            (long.len(), &b"\x10\x80\x01\x00\x04MQTT"[..], long.len() - 2)
        );
    }

    #[test]
    fn all_else_is_left_as_it_is() {
        for other in [
            &b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd"[..],
            b"\x10\x10\x00\x06MQIsdp\x04\x02",
            b"GET / HTTP/1.1",
            b"\x10\xff\xff\xff\xff\x7f",
            b"\x10\x04\x00\x06MQ",
            b"\x10\xff\xff\xff\x7f\x00\x06MQIsdp\x03",
        ] {
            assert_eq!(look_at(other), Beginning::AsItIs, "{other:?}");
        }
    }

    #[test]
    fn a_client_that_takes_no_aliases_is_read_as_one_that_is_sent_none() {
        let connect = |properties: &[u8]| {
            let mut body = b"\x00\x04MQTT\x05\x02\x00\x3c".to_vec();
            body.push(u8::try_from(properties.len()).unwrap());
            body.extend_from_slice(properties);
            body.extend_from_slice(b"\x00\x05phone");
            let mut bytes = vec![CONNECT, u8::try_from(body.len()).unwrap()];
            bytes.extend(body);
            bytes
        };
        // Session Expiry Interval, a User Property, Authentication Method, Request Problem Information, Receive Maximum.
        let others = b"\x11\x00\x00\x00\x0a\x26\x00\x01a\x00\x02bc\x15\x00\x01m\x17\x01\x21\x00\x10";
        let with = |low: u8| connect(&[others.as_slice(), b"\x22\x00", &[low], b"\x27\x00\x01\x00\x00"].concat());
        let zero = with(0);
        for cut in 0..zero.len() {
            assert_eq!(look_at(&zero[..cut]), Beginning::Short, "{cut}");
        }
        assert_eq!(look_at(&zero), Beginning::Anew(with(1), zero.len()));
        assert_eq!(look_at(&with(5)), Beginning::AsItIs);
        let mut flagged = with(0);
        flagged[0] = 0x15;
        assert_eq!(look_at(&flagged), Beginning::Broken);
        assert_eq!(look_at(&connect(others)), Beginning::AsItIs);
        let mut newer = with(0);
        newer[8] = 6;
        assert_eq!(look_at(&newer), Beginning::Unknown);
        // Not well formed, and longer than any CONNECT is.
        assert_eq!(look_at(&connect(b"\x22")), Beginning::AsItIs);
        assert_eq!(look_at(&connect(b"\x7f\x22\x00\x00")), Beginning::AsItIs);
        assert_eq!(look_at(b"\x10\xff\xff\x7f\x00\x04MQTT\x05"), Beginning::AsItIs);
    }
}
