//! What callers may do, worked out once for each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_core::access::{Access, AuthMode, Identity};
use tombolo_core::schema::Schema;

use crate::limits::ACCESSES_MAX;

/// The newest callers' accesses.
#[derive(Default)]
pub(crate) struct Accesses(Mutex<BTreeMap<String, Arc<Access>>>);

impl Accesses {
    /// What `identity` may do.
    pub(crate) fn of(&self, schema: &Schema, identity: &Identity, default: AuthMode) -> Arc<Access> {
        let name = name(identity);
        // Nothing that runs under the lock can panic halfway, so a poisoned map is whole.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = known().get(&name) {
            return Arc::clone(access);
        }
        let access = Arc::new(Access::on(schema, identity, default));
        let mut all = known();
        if all.len() >= ACCESSES_MAX {
            // Rarely, and cheap to make anew: no order is kept among them.
            all.clear();
        }
        all.insert(name, Arc::clone(&access));
        access
    }
}

/// Everything of an identity that rules look at. API keys differ in their names alone, which no rule knows.
fn name(identity: &Identity) -> String {
    match identity {
        Identity::ApiKey { .. } => "key".to_owned(),
        Identity::Local => "local".to_owned(),
        Identity::User(user) => {
            // What changes with every token says nothing about who it is.
            let mut claims = user.claims.clone();
            for passing in ["exp", "iat", "nbf", "jti", "auth_time", "origin_jti", "event_id"] {
                claims.remove(passing);
            }
            format!("{} {}", user.mode.name(), serde_json::Value::Object(claims))
        }
        Identity::Iam(caller) => format!("iam {} {:?} {:?}", caller.name, caller.role, caller.allow),
        Identity::Function(caller) => format!("function {:?}", caller.denied_fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_core::access::User;

    #[test]
    fn a_caller_is_worked_out_once_and_no_more_are_kept_than_the_limit() {
        let schema = Schema::parse("type A @model { id: ID! }", "a.graphql");
        let Ok(schema) = schema else {
            unreachable!("the schema is good")
        };
        let accesses = Accesses::default();
        let user = |sub: usize, exp: i64| {
            let claims = serde_json::json!({ "sub": sub.to_string(), "exp": exp });
            let claims = claims.as_object().cloned().unwrap_or_default();
            Identity::User(Arc::new(User {
                mode: AuthMode::Oidc,
                claims,
            }))
        };
        let of = |identity: &Identity| accesses.of(&schema, identity, AuthMode::ApiKey);
        assert!(Arc::ptr_eq(&of(&user(1, 5)), &of(&user(1, 6))));
        assert!(!Arc::ptr_eq(&of(&user(1, 5)), &of(&user(2, 5))));
        for sub in 0..2 * ACCESSES_MAX {
            of(&user(sub, 0));
        }
        assert!(accesses.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= ACCESSES_MAX);
    }
}
