//! Packets of MQTT 3.1.1 and 5 as one: what a session asks and is told, whatever the version.

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, AuthenticationMethod, GenericPacket, MaximumQos, Property, Qos, ReasonString,
    RetainAvailable, ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    AuthReasonCode, ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

/// A packet that goes out.
pub(super) type Wire = GenericPacket<u16>;

/// What comes in.
#[derive(Debug)]
pub(super) enum Packet {
    Connect(Connect),
    Publish(Publish),
    Subscribe {
        id: u16,
        filters: Vec<(String, Qos)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    /// A fresh credential (MQTT 5).
    Authenticate {
        method: Option<String>,
        data: Option<Vec<u8>>,
    },
    /// The device goes; MQTT 5 may say for how many seconds its session is to be kept.
    Disconnect {
        expiry_s: Option<u32>,
    },
    /// Acknowledgements and pings, which the protocol's own state has seen to.
    Other,
}

impl Packet {
    /// About how much memory it holds.
    pub(super) fn bytes(&self) -> usize {
        const ITSELF: usize = 128;
        ITSELF
            + match self {
                Self::Publish(publish) => publish.payload.len() + publish.topic.len(),
                Self::Subscribe { filters, .. } => filters.iter().map(|(filter, _)| ITSELF + filter.len()).sum(),
                Self::Unsubscribe { filters, .. } => filters.iter().map(|filter| ITSELF + filter.len()).sum(),
                Self::Authenticate { data, .. } => data.as_ref().map_or(0, Vec::len),
                Self::Connect(_) | Self::Disconnect { .. } | Self::Other => 0,
            }
    }
}

/// Who connects.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) client_id: String,
    pub(super) keep_alive_s: u16,
    pub(super) has_will: bool,
    /// No session of before is wanted.
    pub(super) clean: bool,
    /// Seconds that the session is to be kept after the connection; `None`: without end (3.1.1).
    pub(super) expiry_s: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Vec<u8>>,
    /// Enhanced authentication (MQTT 5).
    pub(super) method: Option<String>,
    pub(super) data: Option<Vec<u8>>,
}

/// A message of the device.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) qos: Qos,
    /// With QoS 1.
    pub(super) id: Option<u16>,
    pub(super) again: bool,
    pub(super) retain: bool,
    pub(super) payload: Vec<u8>,
    /// Where the answer is wanted (MQTT 5).
    pub(super) response_topic: Option<String>,
}

/// Reads a packet.
pub(super) fn read(packet: Wire) -> Packet {
    match packet {
        GenericPacket::V3_1_1Connect(p) => Packet::Connect(Connect {
            client_id: p.client_id().to_owned(),
            keep_alive_s: p.keep_alive(),
            has_will: p.will_flag(),
            clean: p.clean_session(),
            expiry_s: p.clean_session().then_some(0),
            user: p.user_name().map(str::to_owned),
            password: p.password().map(<[u8]>::to_vec),
            method: None,
            data: None,
        }),
        GenericPacket::V5_0Connect(p) => Packet::Connect(Connect {
            client_id: p.client_id().to_owned(),
            keep_alive_s: p.keep_alive(),
            has_will: p.will_flag(),
            clean: p.clean_start(),
            expiry_s: Some(expiry(p.props()).unwrap_or(0)),
            user: p.user_name().map(str::to_owned),
            password: p.password().map(<[u8]>::to_vec),
            method: method(p.props()),
            data: data(p.props()),
        }),
        GenericPacket::V3_1_1Publish(p) => Packet::Publish(Publish {
            topic: p.topic_name().to_owned(),
            qos: p.qos(),
            id: p.packet_id(),
            again: p.dup(),
            retain: p.retain(),
            payload: p.payload().as_slice().to_vec(),
            response_topic: None,
        }),
        GenericPacket::V5_0Publish(p) => Packet::Publish(Publish {
            topic: p.topic_name().to_owned(),
            qos: p.qos(),
            id: p.packet_id(),
            again: p.dup(),
            retain: p.retain(),
            payload: p.payload().as_slice().to_vec(),
            response_topic: p.props().iter().find_map(|property| match property {
                Property::ResponseTopic(topic) => Some(topic.val().to_owned()),
                _ => None,
            }),
        }),
        GenericPacket::V3_1_1Subscribe(p) => Packet::Subscribe {
            id: p.packet_id(),
            filters: p
                .entries()
                .iter()
                .map(|e| (e.topic_filter().to_owned(), e.sub_opts().qos()))
                .collect(),
        },
        GenericPacket::V5_0Subscribe(p) => Packet::Subscribe {
            id: p.packet_id(),
            filters: p
                .entries()
                .iter()
                .map(|e| (e.topic_filter().to_owned(), e.sub_opts().qos()))
                .collect(),
        },
        GenericPacket::V3_1_1Unsubscribe(p) => Packet::Unsubscribe {
            id: p.packet_id(),
            filters: p.entries().iter().map(|e| e.as_str().to_owned()).collect(),
        },
        GenericPacket::V5_0Unsubscribe(p) => Packet::Unsubscribe {
            id: p.packet_id(),
            filters: p.entries().iter().map(|e| e.as_str().to_owned()).collect(),
        },
        GenericPacket::V5_0Auth(p) => {
            let properties = p.props().as_ref();
            Packet::Authenticate {
                method: properties.and_then(|p| method(p)),
                data: properties.and_then(|p| data(p)),
            }
        }
        GenericPacket::V3_1_1Disconnect(_) => Packet::Disconnect { expiry_s: None },
        GenericPacket::V5_0Disconnect(p) => Packet::Disconnect {
            expiry_s: p.props().as_ref().and_then(|properties| expiry(properties)),
        },
        _ => Packet::Other,
    }
}

/// Session Expiry Interval, in seconds.
fn expiry(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(interval) => Some(interval.val()),
        _ => None,
    })
}

fn method(properties: &[Property]) -> Option<String> {
    properties.iter().find_map(|property| match property {
        Property::AuthenticationMethod(method) => Some(method.val().to_owned()),
        _ => None,
    })
}

fn data(properties: &[Property]) -> Option<Vec<u8>> {
    properties.iter().find_map(|property| match property {
        Property::AuthenticationData(data) => Some(data.val().to_vec()),
        _ => None,
    })
}

/// What a CONNACK tells of a session that begins.
pub(super) struct Welcome {
    /// An id that the client did not bring.
    pub(super) assigned_id: Option<String>,
    /// Another keep-alive than the client's.
    pub(super) keep_alive_s: Option<u16>,
    /// The method of enhanced authentication that it came by.
    pub(super) method: Option<String>,
    /// The session was there before.
    pub(super) present: bool,
    /// Seconds that the session is kept, where that is not what the client asked for.
    pub(super) expiry_s: Option<u32>,
}

/// CONNACK: come in.
pub(super) fn welcome(version: Version, welcome: Welcome) -> Result<Wire, MqttError> {
    if version != Version::V5_0 {
        let packet = v3_1_1::Connack::builder()
            .session_present(welcome.present)
            .return_code(ConnectReturnCode::Accepted);
        return Ok(packet.build()?.into());
    }
    let mut properties: Vec<Property> = vec![
        MaximumQos::new(1)?.into(),
        RetainAvailable::new(0)?.into(),
        WildcardSubscriptionAvailable::new(0)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
    ];
    if let Some(seconds) = welcome.expiry_s {
        properties.push(SessionExpiryInterval::new(seconds)?.into());
    }
    if let Some(id) = welcome.assigned_id {
        properties.push(AssignedClientIdentifier::new(id)?.into());
    }
    if let Some(seconds) = welcome.keep_alive_s {
        properties.push(ServerKeepAlive::new(seconds)?.into());
    }
    if let Some(method) = welcome.method {
        properties.push(AuthenticationMethod::new(method)?.into());
    }
    let packet = v5_0::Connack::builder()
        .session_present(welcome.present)
        .reason_code(ConnectReasonCode::Success)
        .props(properties);
    Ok(packet.build()?.into())
}

/// CONNACK: stay out, and why.
pub(super) fn unwelcome(version: Version, code: ConnectReasonCode, why: &str) -> Result<Wire, MqttError> {
    if version != Version::V5_0 {
        let code = match code {
            ConnectReasonCode::UnsupportedProtocolVersion => ConnectReturnCode::UnacceptableProtocolVersion,
            ConnectReasonCode::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
            ConnectReasonCode::ServerUnavailable
            | ConnectReasonCode::ServerBusy
            | ConnectReasonCode::ConnectionRateExceeded => ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
            _ => ConnectReturnCode::NotAuthorized,
        };
        let packet = v3_1_1::Connack::builder().session_present(false).return_code(code);
        return Ok(packet.build()?.into());
    }
    let packet = v5_0::Connack::builder()
        .session_present(false)
        .reason_code(code)
        .props(vec![ReasonString::new(why)?.into()]);
    Ok(packet.build()?.into())
}

/// SUBACK: for each filter the QoS granted, or why not.
pub(super) fn subscribed(version: Version, id: u16, codes: Vec<SubackReasonCode>) -> Result<Wire, MqttError> {
    if version == Version::V5_0 {
        return Ok(v5_0::Suback::builder()
            .packet_id(id)
            .reason_codes(codes)
            .build()?
            .into());
    }
    let code = |code| match code {
        SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
        SubackReasonCode::GrantedQos1 => SubackReturnCode::SuccessMaximumQos1,
        _ => SubackReturnCode::Failure,
    };
    let codes: Vec<SubackReturnCode> = codes.into_iter().map(code).collect();
    Ok(v3_1_1::Suback::builder()
        .packet_id(id)
        .return_codes(codes)
        .build()?
        .into())
}

/// UNSUBACK.
pub(super) fn unsubscribed(version: Version, id: u16, codes: Vec<UnsubackReasonCode>) -> Result<Wire, MqttError> {
    match version {
        Version::V5_0 => Ok(v5_0::Unsuback::builder()
            .packet_id(id)
            .reason_codes(codes)
            .build()?
            .into()),
        _ => Ok(v3_1_1::Unsuback::builder().packet_id(id).build()?.into()),
    }
}

/// PUBACK.
pub(super) fn received(version: Version, id: u16, code: PubackReasonCode) -> Result<Wire, MqttError> {
    match version {
        Version::V5_0 => Ok(v5_0::Puback::builder().packet_id(id).reason_code(code).build()?.into()),
        _ => Ok(v3_1_1::Puback::builder().packet_id(id).build()?.into()),
    }
}

/// PUBLISH to the device, with QoS 1 if there is an id.
pub(super) fn message(version: Version, topic: &str, id: Option<u16>, payload: Vec<u8>) -> Result<Wire, MqttError> {
    let qos = if id.is_some() {
        Qos::AtLeastOnce
    } else {
        Qos::AtMostOnce
    };
    match version {
        Version::V5_0 => {
            let packet = v5_0::Publish::builder()
                .topic_name(topic)?
                .qos(qos)
                .packet_id(id)
                .payload(payload);
            Ok(packet.build()?.into())
        }
        _ => {
            let packet = v3_1_1::Publish::builder()
                .topic_name(topic)?
                .qos(qos)
                .packet_id(id)
                .payload(payload);
            Ok(packet.build()?.into())
        }
    }
}

/// AUTH: the fresh credential counts.
pub(super) fn authenticated(method: &str) -> Result<Wire, MqttError> {
    let properties: Vec<Property> = vec![AuthenticationMethod::new(method)?.into()];
    let packet = v5_0::Auth::builder()
        .reason_code(AuthReasonCode::Success)
        .props(properties);
    Ok(packet.build()?.into())
}

/// DISCONNECT, which only MQTT 5 has from a server; with the reason in words if there is one.
pub(super) fn goodbye(version: Version, code: DisconnectReasonCode, why: &str) -> Result<Option<Wire>, MqttError> {
    if version != Version::V5_0 {
        return Ok(None);
    }
    let mut packet = v5_0::Disconnect::builder().reason_code(code);
    if !why.is_empty() {
        packet = packet.props(vec![ReasonString::new(why)?.into()]);
    }
    Ok(Some(packet.build()?.into()))
}
