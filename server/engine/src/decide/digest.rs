//! What tells two mutations apart that came under one number.

use tombolo_core::query::MutationInput;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::wire::envelope::MutationEnvelope;

/// A stable hash of what a mutation does, kept with its outcome: a number that comes again with another digest was used
/// twice, by a file that was copied or restored from a backup.
///
/// Names and types of fields go into it, so it says nothing across schemas: an upgrade between two sends of one mutation
/// must not make it look like another one. [`Digest::under`] tells which digests can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Hash of the server's schema and of the one that the request was rendered under.
    pub under: u64,
    /// Hash of the mutation.
    pub of: u64,
}

impl Digest {
    /// That of `mutation`, sent with `envelope`.
    #[must_use]
    pub fn new(schema: &Schema, envelope: &MutationEnvelope, mutation: &MutationInput) -> Self {
        let mut under = Fnv::default();
        under.text(&schema.hash);
        under.text(&envelope.schema);
        // Taken apart without a rest: a further member that changes what the mutation does belongs here too.
        let MutationInput {
            model,
            kind,
            values,
            operations,
            base_version,
            condition: _,
            condition_json,
        } = mutation;
        let model = &schema[*model];
        let mut of = Fnv::default();
        of.text(&model.name);
        of.byte(match kind {
            MutationKind::Create => 0,
            MutationKind::Update => 1,
            MutationKind::Delete => 2,
        });
        for (field, value) in values {
            of.text(&model.field_at(*field).name);
            of.text(&value.to_json().to_string());
        }
        for (field, operation) in operations {
            of.text(&model.field_at(*field).name);
            of.text(&operation.to_json().to_string());
        }
        of.text(&base_version.map_or_else(String::new, |version| version.0.to_string()));
        of.text(&condition_json.as_ref().map_or_else(String::new, ToString::to_string));
        Self {
            under: under.0,
            of: of.0,
        }
    }

    /// Whether both are known to be of different mutations.
    #[must_use]
    pub fn differs(self, other: Self) -> bool {
        self.under == other.under && self.of != other.of
    }
}

/// FNV-1a with 64 bits: short, without a seed, the same in every release. Nobody gains by forging a collision: the number
/// belongs to the forger's own replica.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The text and its end.
    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
        // No byte of UTF-8.
        self.byte(0xff);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tombolo_core::id::{FieldId, Version};
    use tombolo_core::merge::Operation;
    use tombolo_core::value::Value;

    const SDL: &str = "type Todo @model { id: ID! title: String! note: String }";

    fn schema() -> Schema {
        Schema::parse(SDL, "digest.graphql").unwrap()
    }

    fn envelope(replica: &str, number: u64) -> MutationEnvelope {
        let json = serde_json::json!({ "replica": replica, "number": number });
        serde_json::from_value(json).unwrap()
    }

    fn mutation(schema: &Schema) -> MutationInput {
        let model = schema.model_named("Todo").unwrap();
        MutationInput {
            model,
            kind: MutationKind::Update,
            values: vec![
                (FieldId(0), Value::Text("a".into())),
                (FieldId(1), Value::Text("bc".into())),
            ],
            operations: Vec::new(),
            base_version: Some(Version(3)),
            condition: None,
            condition_json: None,
        }
    }

    #[test]
    fn every_part_of_a_mutation_counts_and_nothing_runs_into_its_neighbour() {
        let schema = schema();
        let digest = |mutation: &MutationInput| Digest::new(&schema, &envelope("r", 1), mutation);
        let first = mutation(&schema);
        assert!(!digest(&first).differs(digest(&first.clone())));
        let changes: [fn(&mut MutationInput); 7] = [
            |m| m.kind = MutationKind::Delete,
            |m| m.values[1].1 = Value::Text("bd".into()),
            |m| m.values[1].0 = FieldId(2),
            |m| {
                m.values = vec![
                    (FieldId(0), Value::Text("ab".into())),
                    (FieldId(1), Value::Text("c".into())),
                ]
            },
            |m| m.operations = vec![(FieldId(2), Operation::Add(Value::Int(2)))],
            |m| m.base_version = None,
            |m| m.condition_json = Some(serde_json::json!({ "title": { "eq": "x" } })),
        ];
        for change in changes {
            let mut other = first.clone();
            change(&mut other);
            assert!(digest(&first).differs(digest(&other)), "{other:?}");
        }
    }

    #[test]
    fn the_digest_is_the_same_in_every_release() {
        let schema = schema();
        let digest = Digest::new(&schema, &envelope("r", 1), &mutation(&schema));
        assert_eq!(digest.of, 7_744_887_863_878_172_445, "stored outcomes hold this number");
    }

    #[test]
    fn digests_of_different_schemas_are_not_compared() {
        let schema = schema();
        let first = Digest::new(&schema, &envelope("r", 1), &mutation(&schema));
        let mut later = envelope("r", 1);
        later.schema = "another".to_owned();
        let mut other = mutation(&schema);
        other.base_version = None;
        assert!(!first.differs(Digest::new(&schema, &later, &other)));
    }
}
