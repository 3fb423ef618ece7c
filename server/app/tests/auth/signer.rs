//! Requests signed by `aws-sigv4`, and changed on their way.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use tombolo_core::access::{IamRole, Identity};
use tombolo_server::auth::sigv4::IamUser;
use tombolo_server::auth::{Gate, Refusal, Shown, Target};

use crate::tokens::now;

pub(crate) const ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub(crate) fn user() -> IamUser {
    IamUser::new("backend", ID, SECRET, IamRole::Admin, ["Query.*"])
}

/// A request on its way: what it was signed for, and what the server sees of it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) secret: &'static str,
    pub(crate) id: &'static str,
    pub(crate) session: Option<&'static str>,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    pub(crate) time: Timestamp,
    pub(crate) method: &'static str,
    /// What the signer takes the URL to be.
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) double: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            secret: SECRET,
            id: ID,
            session: None,
            region: "eu-west-1",
            service: "appsync",
            time: now(),
            method: "POST",
            url: "http://127.0.0.1:20002/graphql".to_owned(),
            headers: vec![("content-type".into(), "application/json; charset=UTF-8".into())],
            body: json!({ "query": "{ listTodos { items { id } } }" }).to_string(),
            double: false,
        }
    }
}

impl Sent {
    /// Signed by the library, with its headers as the server gets them.
    pub(crate) fn sign(&self) -> Arrived {
        let identity = Credentials::new(self.id, self.secret, self.session.map(str::to_owned), None, "test").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = match self.double {
            true => PercentEncodingMode::Double,
            false => PercentEncodingMode::Single,
        };
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let since = Duration::try_from(self.time.duration_since(Timestamp::UNIX_EPOCH)).unwrap();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + since)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(self.body.as_bytes());
        let request = SignableRequest::new(self.method, &self.url, given, body).unwrap();
        let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
        let (_, rest) = self.url.split_once("://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut headers: Vec<(String, String)> = vec![("host".to_owned(), host.to_owned())];
        headers.extend(self.headers.iter().filter(|(name, _)| name != "host").cloned());
        headers.extend(
            instructions
                .headers()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Arrived {
            headers,
            target: Some(Target {
                method: self.method.to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                body: self.body.clone().into_bytes(),
            }),
        }
    }
}

/// A request as the server sees it.
#[derive(Clone)]
pub(crate) struct Arrived {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) target: Option<Target>,
}

impl Arrived {
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(of, _)| of != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        &self.headers.iter().find(|(of, _)| of == name).unwrap().1
    }

    /// With a part of its `authorization` replaced.
    pub(crate) fn edit(self, from: &str, to: &str) -> Self {
        let text = self.get("authorization").to_owned();
        assert!(text.contains(from), "{text} has no {from}");
        self.set("authorization", &text.replace(from, to))
    }

    pub(crate) fn aim(mut self, change: impl FnOnce(&mut Target)) -> Self {
        change(self.target.as_mut().unwrap());
        self
    }

    pub(crate) async fn ask(&self, gate: &Gate, at: Timestamp) -> Result<Identity, Refusal> {
        let object: Map<String, Json> = self.headers.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        let shown = Shown::object(&object);
        let shown = match &self.target {
            Some(target) => shown.of(target.clone()),
            None => shown,
        };
        gate.admit(&shown, at).await.map(|admitted| admitted.identity)
    }
}
