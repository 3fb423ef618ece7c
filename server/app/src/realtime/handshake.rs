//! Where a client carries its credential on the upgrade: in a second subprotocol, in the query, or in real headers.

use axum::http::request::Parts;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};

use super::subprotocols;
use crate::auth::{Shown, Target};
use crate::routes::GRAPHQL_PATH;

/// What the subprotocol that carries a credential begins with.
const HEADER_SUBPROTOCOL: &str = "header-";

/// The member of the query that carries a credential.
const HEADER_PARAMETER: &str = "header";

/// Either alphabet once it is the URL-safe one, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A credential is carried in a way that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The authorization of the handshake is not a JSON object in base64.")]
pub(super) struct Unreadable;

/// What the upgrade shows; a signature would be of a `POST` of `{}` to the API's path and `/connect`.
pub(super) fn shown(parts: &Parts) -> Result<Shown, Unreadable> {
    let carried = match subprotocols(&parts.headers).find_map(|name| name.strip_prefix(HEADER_SUBPROTOCOL)) {
        Some(text) => Some(object(text)?),
        None => match parameter(parts.uri.query().unwrap_or_default()) {
            Some(text) => Some(object(&text)?),
            None => None,
        },
    };
    let carried = carried.as_ref().map(Shown::object).filter(Shown::is_anything);
    let shown = carried.unwrap_or_else(|| Shown::headers(&parts.headers));
    Ok(shown.of(target(format!("{GRAPHQL_PATH}/connect"), b"{}".to_vec())))
}

/// What a `start` shows; a signature would be of a `POST` of its very `data` to the API's path.
pub(super) fn shown_for(authorization: &Map<String, Json>, data: &str) -> Shown {
    Shown::object(authorization).of(target(GRAPHQL_PATH.to_owned(), data.as_bytes().to_vec()))
}

fn target(path: String, body: Vec<u8>) -> Target {
    Target {
        method: "POST".to_owned(),
        path,
        query: String::new(),
        body,
    }
}

/// The parameter, if it is there and not empty. Most clients put their base64 there as it is, some encode it for a URL, and
/// what comes through a form's encoding has blanks for its plus signs.
fn parameter(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == HEADER_PARAMETER && !value.is_empty())?;
    // What is no escape or no text is no base64 either, and is refused as such.
    let text = percent_decode_str(value).decode_utf8_lossy();
    Some(text.replace(' ', "+"))
}

fn object(text: &str) -> Result<Map<String, Json>, Unreadable> {
    let text = text.replace('+', "-").replace('/', "_");
    let json = BASE64.decode(text).map_err(|_| Unreadable)?;
    serde_json::from_slice(&json).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    /// Encodes to both characters in which the alphabets differ, and to padding.
    const KEY: &str = "ÿ>?ÿÿ~~~";

    fn read(uri: &str, headers: &[(&str, &str)]) -> Result<Option<String>, Unreadable> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let shown = shown(&parts)?;
        let target = shown.target.as_ref().unwrap();
        assert_eq!(
            (target.method.as_str(), target.path.as_str(), &*target.body),
            ("POST", "/graphql/connect", &b"{}"[..])
        );
        Ok(shown.header("x-api-key").map(str::to_owned))
    }

    #[test]
    fn every_way_of_carrying_a_credential_is_read() {
        let json = serde_json::json!({"host": "h", "X-Api-Key": KEY}).to_string();
        let (standard, url_safe) = (BASE64_STANDARD.encode(&json), BASE64_URL_SAFE_NO_PAD.encode(&json));
        assert!(standard.contains('+') && standard.contains('/'), "{standard}");
        let escaped = standard.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        let subprotocol = format!("graphql-ws, header-{url_safe}");
        let uris = [
            format!("/graphql/realtime?header={standard}&payload=e30="),
            format!("/graphql/realtime?payload=e30=&header={escaped}"),
            format!("/graphql/realtime?header={url_safe}"),
            format!("/graphql/realtime?header={}", standard.replace('+', "%20")),
        ];
        for uri in &uris {
            assert_eq!(
                read(uri, &[("sec-websocket-protocol", "graphql-ws")]),
                Ok(Some(KEY.to_owned())),
                "{uri}"
            );
        }
        let path = "/graphql/realtime";
        assert_eq!(
            read(path, &[("sec-websocket-protocol", &subprotocol)]),
            Ok(Some(KEY.to_owned()))
        );
        let both = [
            ("sec-websocket-protocol", "graphql-ws"),
            ("sec-websocket-protocol", &subprotocol),
        ];
        assert_eq!(read(path, &both), Ok(Some(KEY.to_owned())));
        assert_eq!(read(path, &[("x-api-key", "plain")]), Ok(Some("plain".to_owned())));
        assert_eq!(
            read("/graphql/realtime?header=e30=", &[("x-api-key", "plain")]),
            Ok(Some("plain".to_owned()))
        );
        assert_eq!(read(path, &[]), Ok(None));
    }

    #[test]
    fn what_is_no_object_in_base64_is_refused() {
        for text in ["header-!!!", "header-", "header-bm9wZQ", "header-W10", "header-e30%"] {
            let offered = format!("graphql-ws, {text}");
            assert_eq!(
                read("/graphql", &[("sec-websocket-protocol", &offered)]),
                Err(Unreadable),
                "{text}"
            );
        }
        for query in ["header=%", "header=%zz", "header=bm9wZQ==", "header=%C3%A9"] {
            assert_eq!(read(&format!("/graphql?{query}"), &[]), Err(Unreadable), "{query}");
        }
    }
}
