//! Who is asking, as the server's listeners have found out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::schema::AuthProvider;

/// Who is asking. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Someone who presented a valid API key; `name` is the key's name in the configuration, never the key.
    ApiKey {
        /// The key's name.
        name: String,
    },
    /// A user whose token an issuer has signed.
    User(Arc<User>),
    /// A caller who signs each request (SigV4).
    Iam(Arc<IamCaller>),
    /// A caller whom the authorizer function has let in.
    Function(Arc<FunctionCaller>),
    /// The device's own user, on the device: local answers are not checked again (the server never sent what its
    /// rules refuse).
    Local,
}

/// A way of showing who one is: AppSync's authorization modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthMode {
    /// `API_KEY`.
    ApiKey,
    /// `AWS_IAM`.
    Iam,
    /// `OPENID_CONNECT`.
    Oidc,
    /// `AMAZON_COGNITO_USER_POOLS`.
    UserPools,
    /// `AWS_LAMBDA`.
    Function,
}

impl AuthMode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::ApiKey, Self::Iam, Self::Oidc, Self::UserPools, Self::Function];

    /// AppSync's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "API_KEY",
            Self::Iam => "AWS_IAM",
            Self::Oidc => "OPENID_CONNECT",
            Self::UserPools => "AMAZON_COGNITO_USER_POOLS",
            Self::Function => "AWS_LAMBDA",
        }
    }

    /// The mode called `name` by AppSync.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The mode that a rule's provider means.
    #[must_use]
    pub fn of(provider: AuthProvider) -> Self {
        match provider {
            AuthProvider::ApiKey => Self::ApiKey,
            AuthProvider::Iam | AuthProvider::IdentityPool => Self::Iam,
            AuthProvider::UserPools => Self::UserPools,
            AuthProvider::Oidc => Self::Oidc,
            AuthProvider::Function => Self::Function,
        }
    }
}

/// A user whose token was signed by an issuer that the server trusts, and has been verified.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// [`AuthMode::UserPools`] or [`AuthMode::Oidc`].
    pub mode: AuthMode,
    /// The token's claims.
    pub claims: Map<String, Json>,
}

/// A caller who signs each request with a secret that the server's configuration knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamCaller {
    /// The name in the configuration.
    pub name: String,
    /// What kind of caller it is.
    pub role: IamRole,
    /// The root fields that it may call, `Query.getTodo` or `Mutation.*`; `*` is everything.
    pub allow: BTreeSet<String>,
}

/// What kind of caller signs: AppSync's IAM roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IamRole {
    /// The operator's own: no `@auth` rule keeps it from anything, its policy alone does.
    Admin,
    /// Of a signed-in user of an identity pool: `{ allow: private, provider: iam }`.
    Authenticated,
    /// Of anybody: `{ allow: public, provider: iam }`.
    Unauthenticated,
}

/// A caller whom the authorizer function has let in.
#[derive(Clone, PartialEq, Eq)]
pub struct FunctionCaller {
    /// What tells this caller from others: `sub` of the context, else a digest of the token.
    pub subject: String,
    /// Fields that the function denies, as `Type.field`.
    pub denied_fields: BTreeSet<String>,
    /// `resolverContext`.
    pub context: Map<String, Json>,
}

impl Identity {
    /// How it has shown who it is; `None` on the device.
    #[must_use]
    pub fn mode(&self) -> Option<AuthMode> {
        match self {
            Self::ApiKey { .. } => Some(AuthMode::ApiKey),
            Self::User(user) => Some(user.mode),
            Self::Iam(_) => Some(AuthMode::Iam),
            Self::Function(_) => Some(AuthMode::Function),
            Self::Local => None,
        }
    }

    /// Whose replicas its replicas are, if its credential names somebody: who shares an API key shares the replicas that came
    /// with it, and a token for an authorizer function says nothing that lasts.
    #[must_use]
    pub fn principal(&self) -> Option<String> {
        match self {
            // Without a subject a token tells nobody from anybody.
            Self::User(user) if user.sub().is_empty() => None,
            Self::User(_) | Self::Iam(_) => self.author(),
            Self::ApiKey { .. } | Self::Function(_) | Self::Local => None,
        }
    }

    /// Whether a fresh credential gives the rights that this one gave: it differs at most in when and for how long it was given
    /// (the registered claims of RFC 7519 for that, and Cognito's names of one sign-in).
    #[must_use]
    pub fn has_rights_of(&self, other: &Self) -> bool {
        const OF_ONE_TOKEN: [&str; 7] = ["exp", "iat", "nbf", "jti", "auth_time", "event_id", "origin_jti"];
        let lasting = |user: &User| -> Map<String, Json> {
            let claims = user
                .claims
                .iter()
                .filter(|(name, _)| !OF_ONE_TOKEN.contains(&name.as_str()));
            claims.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        match (self, other) {
            (Self::User(a), Self::User(b)) => a.mode == b.mode && lasting(a) == lasting(b),
            _ => self == other,
        }
    }

    /// The name under which its work is kept; `None` on the device.
    #[must_use]
    pub fn author(&self) -> Option<String> {
        match self {
            Self::ApiKey { name } => Some(name.clone()),
            Self::User(user) => Some(format!("{}#{}", user.claim("iss").unwrap_or_default(), user.sub())),
            Self::Iam(caller) => Some(format!("iam#{}", caller.name)),
            Self::Function(caller) => Some(format!("function#{}", caller.subject)),
            Self::Local => None,
        }
    }
}

impl User {
    /// A claim that is a text.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Json::as_str)
    }

    /// `sub`.
    #[must_use]
    pub fn sub(&self) -> &str {
        self.claim("sub").unwrap_or_default()
    }

    /// The user's name: `username` of an access token, `cognito:username` of an id token; `sub` where an issuer knows neither.
    #[must_use]
    pub fn username(&self) -> &str {
        let name = self.claim("username").or_else(|| self.claim("cognito:username"));
        name.unwrap_or_else(|| self.sub())
    }

    /// The texts of a claim that is one or a list of them: groups.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.claims.get(name) {
            Some(Json::String(text)) => vec![text],
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) | None => Vec::new(),
        }
    }
}

/// Claims are personal data.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("mode", &self.mode)
            .field("sub", &self.sub())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FunctionCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FunctionCaller")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
