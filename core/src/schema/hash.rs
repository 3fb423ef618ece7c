//! The hash of what a schema stores.

use sha2::{Digest, Sha256};

use super::model::Model;

/// SHA-256 (hex) over models, fields, types, keys, and which fields have operations (a replica that sends them must know
/// that the server takes them), in order. Rules, defaults and names of operations are not in it: they change nothing in
/// a row.
pub(super) fn hash<'a>(models: impl Iterator<Item = &'a Model>) -> String {
    let mut hasher = Sha256::new();
    for model in models {
        hasher.update(format!("model {}\n", model.name));
        for field in &model.fields {
            hasher.update(format!("  {}: {}", field.name, field.ty));
            if let Some(rule) = field.merge.filter(|rule| rule.has_operation()) {
                hasher.update(format!(" {}", rule.name()));
            }
            hasher.update("\n");
        }
        let key: Vec<&str> = model.key.iter().map(|k| model.fields[k.0].name.as_str()).collect();
        hasher.update(format!("  key {}\n", key.join(" ")));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
