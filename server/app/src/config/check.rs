//! What must hold of the whole, whoever said it.

use super::auth::default_mode;
use super::{Config, ConfigErrors, Draft, Problems, SchemaSource};
use crate::mqtt::broker::BrokerConfig;
use crate::telemetry::{self, Log};
use crate::tls::TlsFiles;

/// The configuration, if nothing is wrong with it. `name` is what messages call the file.
pub(super) fn finish(name: &str, draft: Draft, mut problems: Problems) -> Result<(Config, Log), ConfigErrors> {
    for (key, problem) in draft.limits.problems() {
        problems.add(format!("{name}: limits.{key}"), problem);
    }
    for (key, problem) in draft.guards.problems() {
        problems.add(format!("{name}: guards.{key}"), problem);
    }
    let tls = match (draft.tls_cert, draft.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            problems.add(format!("{name}: tls.key"), "is missing; a certificate needs its key");
            None
        }
        (None, Some(_)) => {
            problems.add(format!("{name}: tls.cert"), "is missing; a key needs its certificate");
            None
        }
    };
    if draft.mqtt.tls_listen.is_some() && tls.is_none() {
        problems.add(
            format!("{name}: mqtt.tls_listen"),
            "needs a certificate; add [tls] with cert and key",
        );
    }
    for (key, problem) in draft.mqtt.broker.iter().flat_map(BrokerConfig::problems) {
        problems.add(format!("{name}: mqtt.broker.{key}"), problem);
    }
    let days = draft.retention;
    for (key, value) in [
        ("tombstones_days", days.tombstones_days),
        ("replica_silence_days", days.replica_silence_days),
        ("traces_days", days.traces_days),
    ] {
        if value == 0 {
            problems.add(format!("{name}: retention.{key}"), "is 0; leave it out for the default");
        }
    }
    if let Err(error) = telemetry::check(&draft.log.filter) {
        problems.add(name, error.to_string());
    }
    for error in draft.auth.problems() {
        problems.add(name, error.to_string());
    }
    let given = draft.auth_form.default.as_deref();
    let default_auth = default_mode(name, given, &draft.api_keys, &draft.auth, &mut problems);
    if draft.schema.is_none() {
        problems.add(name, "no schema; add schema = \"schema.graphql\" or set TOMBOLO_SCHEMA");
    }
    match (draft.schema, default_auth) {
        (Some(schema), Some(default_auth)) if problems.0.is_empty() => {
            let config = Config {
                listen: draft.listen,
                schema: SchemaSource::File(schema),
                database: draft.database,
                synchronous: draft.synchronous,
                api_keys: draft.api_keys,
                auth: draft.auth,
                default_auth,
                limits: draft.limits,
                guards: draft.guards,
                tls,
                mqtt: draft.mqtt,
                resolver: draft.resolver,
                retention: draft.retention,
                allow_breaking: Vec::new(),
            };
            Ok((config, draft.log))
        }
        (Some(_) | None, _) => Err(ConfigErrors(problems.0)),
    }
}
