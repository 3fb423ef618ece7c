//! The file: its keys, and API keys as they are written in it.

use std::path::Path;

use serde::Deserialize;

use super::auth::{AuthForm, IamForm};
use super::{ConfigErrors, DATABASE_DEFAULT, Database, Draft, LISTEN_DEFAULT, Problems, Synchronous};
use crate::auth::authorizer::AuthorizerConfig;
use crate::auth::issuer::IssuerConfig;
use crate::auth::{ApiKey, AuthConfig, KEY_CHARS_MIN};
use crate::guards::Guards;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::resolver::ResolverConfig;
use crate::telemetry::Log;
use crate::upkeep::RetentionDays;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    listen: Option<String>,
    schema: Option<String>,
    database: Option<String>,
    #[serde(default)]
    synchronous: Synchronous,
    #[serde(default)]
    api_keys: Vec<toml::Spanned<KeyForm>>,
    #[serde(default)]
    auth: AuthForm,
    #[serde(default)]
    issuers: Vec<IssuerConfig>,
    #[serde(default)]
    iam: Vec<toml::Spanned<IamForm>>,
    #[serde(default)]
    authorizer: AuthorizerConfig,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    guards: Guards,
    #[serde(default)]
    tls: TlsForm,
    #[serde(default)]
    mqtt: MqttConfig,
    #[serde(default)]
    resolver: ResolverConfig,
    #[serde(default)]
    retention: RetentionDays,
    #[serde(default)]
    log: Log,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsForm {
    cert: Option<String>,
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    name: String,
    key: Option<String>,
    key_sha256: Option<String>,
    expires: Option<toml::value::Datetime>,
}

/// What the file called `name` says, whose paths begin at `base`.
pub(super) fn read(name: &str, text: &str, base: &Path, problems: &mut Problems) -> Result<Draft, ConfigErrors> {
    let form: FileForm = toml::from_str(text).map_err(|e| {
        let message = format!("{}; docs/config.md lists the keys", e.message().replace('\n', " "));
        ConfigErrors::one(place(name, text, e.span().map_or(0, |s| s.start)), message)
    })?;
    let mut api_keys: Vec<ApiKey> = Vec::new();
    for spanned in form.api_keys {
        let at = place(name, text, spanned.span().start);
        match read_key(spanned.into_inner()) {
            Ok(key) if api_keys.iter().any(|k| k.name == key.name) => problems.add(
                at,
                format!("two API keys are called {:?}; names tell them apart in logs", key.name),
            ),
            Ok(key) => api_keys.push(key),
            Err(message) => problems.add(at, message),
        }
    }
    let mut iam = Vec::new();
    for spanned in form.iam {
        iam.push((place(name, text, spanned.span().start), spanned.into_inner()));
    }
    Ok(Draft {
        listen: form.listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
        schema: form.schema.map(|s| base.join(s)),
        database: Database::parse(form.database.as_deref().unwrap_or(DATABASE_DEFAULT), base),
        synchronous: form.synchronous,
        api_keys,
        auth: AuthConfig {
            issuers: form.issuers,
            iam: Vec::new(),
            iam_region: form.auth.iam_region.clone(),
            authorizer: form.authorizer,
        },
        auth_form: form.auth,
        iam,
        limits: form.limits,
        guards: form.guards,
        tls_cert: form.tls.cert.map(|path| base.join(path)),
        tls_key: form.tls.key.map(|path| base.join(path)),
        mqtt: form.mqtt,
        resolver: form.resolver,
        retention: form.retention,
        log: form.log,
    })
}

fn read_key(form: KeyForm) -> Result<ApiKey, String> {
    // Those of users, signers and the authorizer's callers have one: `Identity::author`.
    if form.name.contains('#') {
        return Err(format!(
            "API key {:?}: its name has a `#`; choose one without",
            form.name
        ));
    }
    let key = match (form.key, form.key_sha256) {
        (Some(key), None) => clear_key(&form.name, &key)?,
        (None, Some(hash)) => ApiKey::from_sha256(&form.name, &hash).ok_or(format!(
            "key_sha256 of API key {:?} is not 64 hexadecimal digits; printf %s KEY | sha256sum gives them",
            form.name
        ))?,
        (Some(_), Some(_)) => return Err(format!("API key {:?} has both key and key_sha256; keep one", form.name)),
        (None, None) => {
            return Err(format!(
                "API key {:?} has neither key nor key_sha256; add one",
                form.name
            ));
        }
    };
    let Some(expires) = form.expires else { return Ok(key) };
    let text = expires.to_string();
    // A date alone means its first moment in UTC.
    let text = if expires.time.is_none() {
        format!("{text}T00:00:00Z")
    } else {
        text
    };
    let moment = text.parse().map_err(|_| {
        format!(
            "expires of API key {:?} has no time zone; write it as 2030-01-31T00:00:00Z",
            form.name
        )
    })?;
    Ok(key.until(moment))
}

/// A key in clear, from the file or the environment.
pub(super) fn clear_key(name: &str, key: &str) -> Result<ApiKey, String> {
    if key.chars().count() < KEY_CHARS_MIN {
        return Err(format!(
            "API key {name:?} has fewer than {KEY_CHARS_MIN} characters and could be guessed; openssl rand -hex 32 makes one"
        ));
    }
    Ok(ApiKey::from_clear(name, key))
}

fn place(name: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{name}:{line}:{column}")
}
