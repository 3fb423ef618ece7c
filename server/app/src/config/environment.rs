//! The environment, laid over the file: `TOMBOLO_…`.

use std::path::{Path, PathBuf};

use super::file::clear_key;
use super::{Database, Draft, ENV_PREFIX, Problems, Synchronous};
use crate::limits::Limits;
use crate::mqtt::broker::BrokerConfig;
use crate::outbound::Secret;
use crate::telemetry::LogFormat;

/// Lays the variables that are ours over `draft`; gives those that begin like ours and are not.
pub(super) fn lay_over(
    draft: &mut Draft,
    environment: impl Iterator<Item = (String, String)>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut variables: Vec<_> = environment.collect();
    variables.sort();
    let broker = variables
        .iter()
        .find(|(variable, _)| *variable == format!("{ENV_PREFIX}MQTT_BROKER_URL"));
    if let Some((_, url)) = broker {
        match &mut draft.mqtt.broker {
            Some(broker) => broker.url.clone_from(url),
            None => draft.mqtt.broker = Some(BrokerConfig::at(url.as_str())),
        }
    }
    for (variable, value) in variables {
        let Some(key) = variable.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        match key.to_ascii_lowercase().as_str() {
            "listen" => draft.listen = value,
            "schema" => draft.schema = Some(PathBuf::from(value)),
            "database" => draft.database = Database::parse(&value, Path::new("")),
            "api_key" => match clear_key("environment", &value) {
                Ok(key) => draft.api_keys.push(key),
                Err(message) => problems.add(variable, message),
            },
            "synchronous" => match value.as_str() {
                "full" => draft.synchronous = Synchronous::Full,
                "normal" => draft.synchronous = Synchronous::Normal,
                other => problems.add(variable, format!("{other:?} is no level; write full or normal")),
            },
            "log_format" => match value.as_str() {
                "text" => draft.log.format = LogFormat::Text,
                "json" => draft.log.format = LogFormat::Json,
                other => problems.add(variable, format!("{other:?} is no log format; write text or json")),
            },
            "log_filter" => draft.log.filter = value,
            "auth_default" => draft.auth_form.default = Some(value),
            "authorizer_url" => draft.auth.authorizer.url = Some(value),
            "authorizer_header" => draft.auth.authorizer.header = Some(Secret(value)),
            "mqtt_listen" => draft.mqtt.listen = Some(value),
            "mqtt_tls_listen" => draft.mqtt.tls_listen = Some(value),
            // Laid first: the others are of it.
            "mqtt_broker_url" => {}
            of_broker @ ("mqtt_broker_client_id"
            | "mqtt_broker_username"
            | "mqtt_broker_password"
            | "mqtt_broker_group") => match (&mut draft.mqtt.broker, of_broker) {
                (Some(broker), "mqtt_broker_client_id") => broker.client_id = value,
                (Some(broker), "mqtt_broker_username") => broker.username = Some(value),
                (Some(broker), "mqtt_broker_password") => broker.password = Some(Secret(value)),
                (Some(broker), _) => broker.group = value,
                (None, _) => problems.add(
                    variable,
                    "is of no broker; set mqtt.broker.url or TOMBOLO_MQTT_BROKER_URL",
                ),
            },
            "tls_cert" => draft.tls_cert = Some(PathBuf::from(value)),
            "tls_key" => draft.tls_key = Some(PathBuf::from(value)),
            "resolver_url" => draft.resolver.url = Some(value),
            "resolver_header" => draft.resolver.header = Some(Secret(value)),
            "resolver_timeout_ms" => match value.parse() {
                Ok(ms) => draft.resolver.timeout_ms = Some(ms),
                Err(_) => problems.add(variable, format!("{value:?} is no number of milliseconds")),
            },
            other => match other.strip_prefix("limits_") {
                Some(limit) => {
                    if let Err(message) = set_limit(&mut draft.limits, limit, &value) {
                        problems.add(variable, message);
                    }
                }
                None => unknown.push(variable),
            },
        }
    }
    unknown
}

fn set_limit(limits: &mut Limits, name: &str, value: &str) -> Result<(), String> {
    let number: i64 = value.parse().map_err(|_| format!("{value:?} is not a whole number"))?;
    let mut table = toml::Table::try_from(&*limits).map_err(|e| e.to_string())?;
    match table.get_mut(name) {
        Some(place) => *place = toml::Value::Integer(number),
        None => {
            let names: Vec<_> = table.keys().map(String::as_str).collect();
            return Err(format!("there is no limit {name:?}; there are {}", names.join(", ")));
        }
    }
    *limits = table.try_into().map_err(|_| format!("{value:?} is out of range"))?;
    Ok(())
}
