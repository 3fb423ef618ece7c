//! The two topics of a device, and whose they are.
//!
//! There is no tree that clients share: `tombolo/DEVICE/request` is where a device asks and `tombolo/DEVICE/response` where it is
//! answered, and DEVICE is told by the client's own id. Two identities with one client id are two devices that cannot see
//! each other.

use mqtt_protocol_core::mqtt::result_code::SubackReasonCode;

/// Longest client id, in bytes: a UUID with a name behind it, several times. It is in every packet of the session.
pub const CLIENT_ID_BYTES_MAX: usize = 128;

/// What is before the `:` of a client id, or all of it: `phone1` of `phone1:pub`. Several connections of one device share its
/// topics, as when one publishes and another listens.
const SEPARATOR: char = ':';

/// The topics of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) device: String,
    pub(super) request: String,
    pub(super) response: String,
}

impl Topics {
    /// Those of the device that `client_id` names; `None` if it cannot be in a topic.
    pub(super) fn of(client_id: &str) -> Option<Self> {
        let device = client_id.split(SEPARATOR).next().unwrap_or_default();
        let fits = |c: char| !matches!(c, '/' | '+' | '#') && !c.is_control();
        if device.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX || !client_id.chars().all(fits) {
            return None;
        }
        Some(Self {
            device: device.to_owned(),
            request: format!("tombolo/{device}/request"),
            response: format!("tombolo/{device}/response"),
        })
    }

    /// Why the device may not subscribe to `filter`; `None`: it may.
    pub(super) fn refusal(&self, filter: &str) -> Option<SubackReasonCode> {
        if filter == self.response {
            return None;
        }
        Some(match filter {
            shared if shared.starts_with("$share/") => SubackReasonCode::SharedSubscriptionsNotSupported,
            wild if wild.contains(['+', '#']) => SubackReasonCode::WildcardSubscriptionsNotSupported,
            _ => SubackReasonCode::NotAuthorized,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_two_topics_and_no_others() {
        let topics = Topics::of("phone1:pub").unwrap();
        assert_eq!(topics, Topics::of("phone1").unwrap());
        assert_eq!(topics.request, "tombolo/phone1/request");
        assert_eq!(topics.refusal("tombolo/phone1/response"), None);
        for (filter, code) in [
            ("tombolo/phone2/response", SubackReasonCode::NotAuthorized),
            ("tombolo/phone1/request", SubackReasonCode::NotAuthorized),
            ("tombolo/phone1:pub/response", SubackReasonCode::NotAuthorized),
            ("", SubackReasonCode::NotAuthorized),
            ("$SYS/broker/version", SubackReasonCode::NotAuthorized),
            ("#", SubackReasonCode::WildcardSubscriptionsNotSupported),
            (
                "tombolo/+/response",
                SubackReasonCode::WildcardSubscriptionsNotSupported,
            ),
            ("tombolo/phone1/#", SubackReasonCode::WildcardSubscriptionsNotSupported),
            (
                "$share/g/tombolo/phone1/response",
                SubackReasonCode::SharedSubscriptionsNotSupported,
            ),
        ] {
            assert_eq!(topics.refusal(filter), Some(code), "{filter}");
        }
        for bad in [
            "",
            ":x",
            "a/b",
            "a+",
            "#",
            "a\u{0}b",
            &"x".repeat(CLIENT_ID_BYTES_MAX + 1),
        ] {
            assert_eq!(Topics::of(bad), None, "{bad:?}");
        }
    }
}
