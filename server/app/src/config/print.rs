//! The configuration as it is in force, for people.

use serde::Serialize;

use super::auth::{AuthForm, PrintedIam};
use super::{SchemaSource, Settings, Synchronous};
use crate::auth::authorizer::AuthorizerConfig;
use crate::auth::issuer::IssuerConfig;
use crate::guards::Guards;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::resolver::ResolverConfig;
use crate::telemetry::Log;
use crate::upkeep::RetentionDays;

impl Settings {
    /// The configuration as it is in force, as TOML, without secrets.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct Printed<'a> {
            listen: &'a str,
            schema: String,
            database: String,
            synchronous: Synchronous,
            api_keys: Vec<PrintedKey<'a>>,
            auth: AuthForm,
            issuers: &'a [IssuerConfig],
            iam: Vec<PrintedIam<'a>>,
            authorizer: &'a AuthorizerConfig,
            limits: &'a Limits,
            guards: &'a Guards,
            #[serde(skip_serializing_if = "Option::is_none")]
            tls: Option<PrintedTls>,
            mqtt: &'a MqttConfig,
            resolver: &'a ResolverConfig,
            retention: &'a RetentionDays,
            log: &'a Log,
        }
        #[derive(Serialize)]
        struct PrintedKey<'a> {
            name: &'a str,
            key: &'static str,
        }
        #[derive(Serialize)]
        struct PrintedTls {
            cert: String,
            key: String,
        }
        let printed = Printed {
            listen: &self.config.listen,
            schema: match &self.config.schema {
                SchemaSource::File(path) => path.display().to_string(),
                SchemaSource::Text { name, .. } => name.clone(),
            },
            database: self.config.database.to_string(),
            synchronous: self.config.synchronous,
            api_keys: self
                .config
                .api_keys
                .iter()
                .map(|k| PrintedKey {
                    name: &k.name,
                    key: "(redacted)",
                })
                .collect(),
            auth: AuthForm {
                default: Some(self.config.default_auth.name().to_owned()),
                iam_region: self.config.auth.iam_region.clone(),
            },
            issuers: &self.config.auth.issuers,
            iam: self.config.auth.iam.iter().map(PrintedIam::of).collect(),
            authorizer: &self.config.auth.authorizer,
            limits: &self.config.limits,
            guards: &self.config.guards,
            tls: self.config.tls.as_ref().map(|files| PrintedTls {
                cert: files.cert.display().to_string(),
                key: files.key.display().to_string(),
            }),
            mqtt: &self.config.mqtt,
            resolver: &self.config.resolver,
            retention: &self.config.retention,
            log: &self.log,
        };
        toml::to_string(&printed).unwrap_or_else(|e| format!("# cannot be printed: {e}\n"))
    }
}
