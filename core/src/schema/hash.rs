//! The hash by which two sides tell each other under which schema something was made.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::model::{EmbeddedField, Model, MutationRoot, Roots};

/// SHA-256 (hex) over what a mutation's text and the rows of the feed depend on, in order: models, fields, types, whether
/// they have a default, which of them have operations (a replica that sends them must know that the server takes them),
/// keys, the values of enums, embedded types, the names of mutations. Rules, strategies, indexes and relations are not in
/// it: they change nothing in a row.
pub(super) fn hash(
    models: &[Model],
    enums: &BTreeMap<String, Vec<String>>,
    embedded: &BTreeMap<String, Vec<EmbeddedField>>,
    roots: &Roots,
) -> String {
    let mut hasher = Sha256::new();
    for model in models {
        hasher.update(format!("model {}\n", model.name));
        for field in &model.fields {
            hasher.update(format!("  {}: {}", field.name, field.ty));
            if field.default.is_some() {
                hasher.update(" =");
            }
            if let Some(rule) = field.merge.filter(|rule| rule.has_operation()) {
                hasher.update(format!(" {}", rule.name()));
            }
            hasher.update("\n");
        }
        let key: Vec<&str> = model.key.iter().map(|k| model.fields[k.0].name.as_str()).collect();
        hasher.update(format!("  key {}\n", key.join(" ")));
    }
    for (name, values) in enums {
        hasher.update(format!("enum {name} {}\n", values.join(" ")));
    }
    for (name, fields) in embedded {
        hasher.update(format!("embedded {name}\n"));
        for field in fields {
            hasher.update(format!("  {}: {}\n", field.name, field.ty));
        }
    }
    for (name, root) in &roots.mutation {
        if let MutationRoot::Model(model, kind) = root {
            hasher.update(format!("mutation {name} {} {kind:?}\n", model.0));
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
