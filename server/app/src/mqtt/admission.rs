//! Who may connect: a CONNECT is looked at, and answered if it is refused.

use jiff::Timestamp;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;

use super::KEEP_ALIVE_MAX;
use super::packets::{self, Connect, Welcome, Wire};
use super::peer::Peer;
use super::sessions::{SESSION_EXPIRY_MAX, Wanted};
use super::topics::Topics;
use crate::auth::{Admitted, Refusal, Shown};
use crate::routes::App;

/// Who has come, and where he sits.
pub(super) struct Guest {
    pub(super) admitted: Admitted,
    pub(super) topics: Topics,
    pub(super) client_id: String,
    /// Of enhanced authentication.
    pub(super) method: Option<String>,
    pub(super) wanted: Wanted,
    /// Session Expiry Interval as it was asked for, in seconds; `None`: without end.
    pub(super) asked_s: Option<u32>,
}

/// Looks at a CONNECT: who it is and the answer, or the answer alone.
pub(super) async fn admit(
    app: &App,
    peer: &Peer,
    shown: &Shown,
    connect: Connect,
) -> Result<(Guest, Welcome), Option<Wire>> {
    let version = peer.version();
    look_at(app, shown, version, connect)
        .await
        .map_err(|(code, why)| packets::unwelcome(version, code, &why).ok())
}

async fn look_at(
    app: &App,
    shown: &Shown,
    version: Version,
    connect: Connect,
) -> Result<(Guest, Welcome), (ConnectReasonCode, String)> {
    if connect.has_will {
        let why = "No wills: nobody else can see the topics of a device.";
        return Err((ConnectReasonCode::ImplementationSpecificError, why.to_owned()));
    }
    let assigned_id = match connect.client_id.is_empty() {
        true if version == Version::V5_0 => Some(uuid::Uuid::new_v4().to_string()),
        true | false => None,
    };
    let client_id = assigned_id.clone().unwrap_or(connect.client_id);
    let Some(topics) = Topics::of(&client_id) else {
        let why = "A client id is DEVICE or DEVICE:NAME, of 1 to 128 bytes, without / + # and control characters.";
        return Err((ConnectReasonCode::ClientIdentifierNotValid, why.to_owned()));
    };
    if connect.method.is_none() && connect.data.is_some() {
        let why = "Authentication Data comes with an Authentication Method.";
        return Err((ConnectReasonCode::ProtocolError, why.to_owned()));
    }
    let unknown = |method: &String| credential(Some(method), Some(b"?")).is_none();
    if connect.method.as_ref().is_some_and(unknown) {
        let why = "An Authentication Method is authorization or x-api-key.";
        return Err((ConnectReasonCode::BadAuthenticationMethod, why.to_owned()));
    }
    let given = credential(connect.method.as_deref(), connect.data.as_deref())
        .or_else(|| credential(connect.user.as_deref(), connect.password.as_deref()));
    let shown = given.as_ref().unwrap_or(shown);
    let refused = |refusal: Refusal| {
        let code = match refusal {
            Refusal::Unavailable => ConnectReasonCode::ServerUnavailable,
            Refusal::Missing => ConnectReasonCode::NotAuthorized,
            _ => ConnectReasonCode::BadUserNameOrPassword,
        };
        (code, refusal.to_string())
    };
    let admitted = app.gate.admit(shown, Timestamp::now()).await.map_err(refused)?;
    if app.rates.connect(&admitted.identity).is_err() {
        let why = "Too many connections of late; come again later.";
        return Err((ConnectReasonCode::ConnectionRateExceeded, why.to_owned()));
    }
    if app.api().is_none() {
        return Err((
            ConnectReasonCode::ServerUnavailable,
            "The server is starting.".to_owned(),
        ));
    }
    let most = u16::try_from(KEEP_ALIVE_MAX.as_secs()).unwrap_or(u16::MAX);
    let keep_alive_s = (connect.keep_alive_s == 0 || connect.keep_alive_s > most).then_some(most);
    let welcome = Welcome {
        assigned_id,
        keep_alive_s,
        method: connect.method.clone(),
        present: false,
        expiry_s: None,
    };
    let longest = u32::try_from(SESSION_EXPIRY_MAX.as_secs()).unwrap_or(u32::MAX);
    let guest = Guest {
        admitted,
        topics,
        client_id,
        method: connect.method,
        wanted: Wanted {
            clean: connect.clean,
            expiry_s: connect.expiry_s.unwrap_or(longest).min(longest),
        },
        asked_s: connect.expiry_s,
    };
    Ok((guest, welcome))
}

/// What is shown as a header would show it: `x-api-key` with a key, `authorization` with a token.
pub(super) fn credential(name: Option<&str>, value: Option<&[u8]>) -> Option<Shown> {
    let value = std::str::from_utf8(value?).ok()?;
    let object = serde_json::Map::from_iter([(name?.to_owned(), value.into())]);
    Some(Shown::object(&object)).filter(Shown::is_anything)
}
