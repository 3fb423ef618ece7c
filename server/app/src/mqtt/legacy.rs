//! MQTT 3.1, as the oldest of AppSync's clients begin: after its CONNECT it differs from 3.1.1 in nothing that is served here, so
//! the CONNECT is written anew.

/// How MQTT 3.1 is named in a CONNECT, with its level.
const NAME_3_1: &[u8] = b"\x00\x06MQIsdp\x03";

/// How 3.1.1 is.
const NAME_3_1_1: &[u8] = b"\x00\x04MQTT\x04";

/// The type of a CONNECT.
const CONNECT: u8 = 0x10;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Too little to tell.
    Short,
    /// No MQTT 3.1: to be read as it is.
    Other,
    /// A CONNECT of MQTT 3.1, which took so many bytes, as one of 3.1.1.
    Legacy(Vec<u8>, usize),
}

/// Looks at the first bytes of a connection.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let Some((&CONNECT, rest)) = bytes.split_first() else {
        return if bytes.is_empty() {
            Beginning::Short
        } else {
            Beginning::Other
        };
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
            return Beginning::Other;
        }
    }
    let body = rest.get(taken..).unwrap_or_default();
    let seen = body.len().min(NAME_3_1.len());
    if body.get(..seen) != NAME_3_1.get(..seen) {
        return Beginning::Other;
    }
    let Some(body) = body.get(..length).filter(|body| body.len() >= NAME_3_1.len()) else {
        // It says that it is long: its length is bounded where packets are read, and this one is none of ours to keep.
        return if length < NAME_3_1.len() || length > super::PACKET_BYTES_MAX {
            Beginning::Other
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
    anew.extend_from_slice(body.get(NAME_3_1.len()..).unwrap_or_default());
    Beginning::Legacy(anew, 1 + taken + length)
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
            let seen = beginning(&bytes[..cut]);
            assert!(matches!(seen, Beginning::Short), "{cut}: {seen:?}");
        }
        bytes.extend_from_slice(b"\xc0\x00");
        let anew = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab".to_vec();
        assert_eq!(beginning(&bytes), Beginning::Legacy(anew, whole));
        // A length that needs one digit less.
        let id = "x".repeat(116);
        let mut long = b"\x10\x82\x01\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x74".to_vec();
        long.extend_from_slice(id.as_bytes());
        let Beginning::Legacy(anew, taken) = beginning(&long) else {
            panic!("{:?}", beginning(&long))
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
            assert_eq!(beginning(other), Beginning::Other, "{other:?}");
        }
    }
}
