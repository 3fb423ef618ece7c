//! Who may call by other means than an API key, as it is written in the file: `[auth]`, `[[iam]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tombolo_core::access::{AuthMode, IamRole};
use tombolo_core::schema::is_name;

use super::Problems;
use crate::auth::sigv4::{IamUser, SECRET_CHARS_MIN};
use crate::auth::{ApiKey, AuthConfig};

/// `[auth]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iam_region: Option<String>,
}

/// `[[iam]]`. Not for printing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IamForm {
    name: String,
    access_key_id: String,
    secret_access_key: Option<String>,
    secret_access_key_file: Option<String>,
    secret_access_key_env: Option<String>,
    role: RoleForm,
    allow: Vec<String>,
}

/// An `[[iam]]` as it is printed.
#[derive(Serialize)]
pub(super) struct PrintedIam<'a> {
    name: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'static str,
    role: RoleForm,
    allow: &'a BTreeSet<String>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum RoleForm {
    Admin,
    Authenticated,
    Unauthenticated,
}

impl<'a> PrintedIam<'a> {
    pub(super) fn of(user: &'a IamUser) -> Self {
        Self {
            name: &user.caller.name,
            access_key_id: &user.access_key_id,
            secret_access_key: "(redacted)",
            role: match user.caller.role {
                IamRole::Admin => RoleForm::Admin,
                IamRole::Authenticated => RoleForm::Authenticated,
                IamRole::Unauthenticated => RoleForm::Unauthenticated,
            },
            allow: &user.caller.allow,
        }
    }
}

impl IamForm {
    /// The variable that holds its secret, if one does.
    pub(super) fn variable(&self) -> Option<&str> {
        self.secret_access_key_env.as_deref()
    }

    /// The user, with its secret from where it is kept; paths begin at `base`.
    pub(super) fn read(self, base: &Path, environment: &BTreeMap<String, String>) -> Result<IamUser, String> {
        let who = format!("IAM user {:?}", self.name);
        let secret = match (
            self.secret_access_key,
            self.secret_access_key_file,
            self.secret_access_key_env,
        ) {
            (Some(secret), None, None) => secret,
            (None, Some(file), None) => {
                let path = base.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("{who}: secret_access_key_file {}: {error}", path.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, None, Some(name)) => environment
                .get(&name)
                .ok_or_else(|| format!("{who}: the variable {name} of secret_access_key_env is not set"))?
                .clone(),
            (None, None, None) => {
                return Err(format!(
                    "{who} has no secret; add secret_access_key, secret_access_key_file or secret_access_key_env"
                ));
            }
            (Some(_), _, _) | (_, Some(_), _) => {
                return Err(format!("{who} has its secret in several places; keep one"));
            }
        };
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(format!(
                "{who}: the secret has fewer than {SECRET_CHARS_MIN} characters and could be guessed; openssl rand -base64 30 \
                 makes one"
            ));
        }
        let is_id = |id: &str| {
            !id.is_empty()
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/,=".contains(&byte))
        };
        if !is_id(&self.access_key_id) {
            return Err(format!(
                "{who}: access_key_id is letters and digits, as AKIAIOSFODNN7EXAMPLE"
            ));
        }
        if self.allow.is_empty() {
            return Err(format!(
                "{who} may call nothing; allow is a list such as [\"*\"] or [\"Query.*\", \"Mutation.createTodo\"]"
            ));
        }
        if let Some(wrong) = self.allow.iter().find(|entry| !is_root_field(entry)) {
            return Err(format!(
                "{who}: {wrong:?} in allow is neither \"*\" nor Query, Mutation or Subscription with a field, as \"Query.*\""
            ));
        }
        let role = match self.role {
            RoleForm::Admin => IamRole::Admin,
            RoleForm::Authenticated => IamRole::Authenticated,
            RoleForm::Unauthenticated => IamRole::Unauthenticated,
        };
        Ok(IamUser::new(self.name, self.access_key_id, secret, role, self.allow))
    }
}

fn is_root_field(text: &str) -> bool {
    match text.split_once('.') {
        Some((root, field)) => {
            matches!(root, "Query" | "Mutation" | "Subscription") && (field == "*" || is_name(field))
        }
        None => text == "*",
    }
}

/// The default mode: `given`, or the first that is open. `None` if that is no mode; `problems` says why.
pub(super) fn default_mode(
    name: &str,
    given: Option<&str>,
    keys: &[ApiKey],
    auth: &AuthConfig,
    problems: &mut Problems,
) -> Option<AuthMode> {
    // What is wrong with an issuer's mode is told where the issuers are checked.
    let mut modes = auth.modes().unwrap_or_else(|_| BTreeSet::from([AuthMode::Oidc]));
    if !keys.is_empty() {
        modes.insert(AuthMode::ApiKey);
    }
    if modes.is_empty() {
        problems.add(
            name,
            "no API key, no issuer, no IAM user and no authorizer, so every call would be refused; add [[api_keys]] with a name \
             and a key (openssl rand -hex 32) or set TOMBOLO_API_KEY, or add [[issuers]], [[iam]] or [authorizer]",
        );
        return None;
    }
    let Some(given) = given else {
        const ORDER: [AuthMode; 5] = [
            AuthMode::ApiKey,
            AuthMode::UserPools,
            AuthMode::Oidc,
            AuthMode::Iam,
            AuthMode::Function,
        ];
        return ORDER.into_iter().find(|mode| modes.contains(mode));
    };
    let names = |modes: &mut dyn Iterator<Item = AuthMode>| modes.map(AuthMode::name).collect::<Vec<_>>().join(", ");
    match AuthMode::named(given) {
        Some(mode) if modes.contains(&mode) => Some(mode),
        Some(_) => {
            let open = names(&mut modes.into_iter());
            problems.add(
                format!("{name}: auth.default"),
                format!("{given} is the default and nobody may call by it; there is {open}"),
            );
            None
        }
        None => {
            let all = names(&mut AuthMode::ALL.into_iter());
            problems.add(
                format!("{name}: auth.default"),
                format!("{given:?} is no mode; there are {all}"),
            );
            None
        }
    }
}
