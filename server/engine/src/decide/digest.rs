//! What tells two mutations apart that came under one number.

use tombolo_core::query::MutationInput;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::wire::envelope::MutationEnvelope;
use tombolo_core::wire::graphql::Request;

/// A stable hash of what a mutation does, kept with its outcome: a number that comes again with another digest was used
/// twice, by a file that was copied or restored from a backup.
///
/// Of a request that cannot be read, or must not be carried out, only its text is known, so that has a hash too; it counts
/// where one of two requests was refused.
///
/// Names and types of fields go into it, so it says nothing across schemas: an upgrade between two sends of one mutation
/// must not make it look like another one. [`Digest::under`] tells which digests can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Hash of the server's schema and of the one that the request was rendered under.
    pub under: u64,
    /// Hash of the mutation; `None` of a request that was refused before it came to mutations.
    pub of: Option<u64>,
    /// Hash of the request's text and variables; `None` if they are not known.
    pub request: Option<u64>,
}

impl Digest {
    /// That of `mutation`, sent with `envelope` in a request whose hash is `request`.
    #[must_use]
    pub fn new(
        schema: &Schema,
        envelope: &MutationEnvelope,
        mutation: Option<&MutationInput>,
        request: Option<u64>,
    ) -> Self {
        let mut under = Fnv::default();
        under.text(&schema.hash);
        under.text(&envelope.schema);
        Self {
            under: under.0,
            of: mutation.map(|mutation| Self::of(schema, mutation)),
            request,
        }
    }

    /// The hash of a request's text and variables.
    #[must_use]
    pub fn of_request(request: &Request) -> u64 {
        let mut of = Fnv::default();
        of.text(&request.query);
        of.text(request.operation_name.as_deref().unwrap_or_default());
        for (name, value) in request.variables.iter().flatten() {
            of.text(name);
            of.text(&value.to_string());
        }
        of.0
    }

    fn of(schema: &Schema, mutation: &MutationInput) -> u64 {
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
        of.0
    }

    /// Whether it can be told at all whether both are of one mutation.
    #[must_use]
    pub fn compares(self, other: Self) -> bool {
        let known = self.of.zip(other.of).is_some() || self.request.zip(other.request).is_some();
        self.under == other.under && known
    }

    /// Whether both are known to be of different mutations.
    #[must_use]
    pub fn differs(self, other: Self) -> bool {
        let differ = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a != b);
        // One mutation may be written in two ways, so its text counts only where one of them could not be read.
        let known = differ(self.of, other.of).or_else(|| differ(self.request, other.request));
        self.under == other.under && known.unwrap_or(false)
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
        let digest = |mutation: &MutationInput| Digest::new(&schema, &envelope("r", 1), Some(mutation), None);
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
        let digest = Digest::new(&schema, &envelope("r", 1), Some(&mutation(&schema)), None);
        assert_eq!(
            digest.of,
            Some(7_744_887_863_878_172_445),
            "stored outcomes hold this number"
        );
    }

    #[test]
    fn digests_of_different_schemas_are_not_compared() {
        let schema = schema();
        let first = Digest::new(&schema, &envelope("r", 1), Some(&mutation(&schema)), Some(1));
        let mut later = envelope("r", 1);
        later.schema = "another".to_owned();
        let mut other = mutation(&schema);
        other.base_version = None;
        assert!(!first.differs(Digest::new(&schema, &later, Some(&other), Some(2))));
    }

    #[test]
    fn the_text_counts_only_where_one_of_two_was_not_read() {
        let digest = |of, request| Digest { under: 1, of, request };
        let rows = [
            (digest(Some(1), Some(1)), digest(Some(1), Some(2)), false),
            (digest(Some(1), Some(1)), digest(Some(2), Some(1)), true),
            (digest(None, Some(1)), digest(None, Some(2)), true),
            (digest(None, Some(1)), digest(None, Some(1)), false),
            (digest(Some(1), Some(1)), digest(None, Some(2)), true),
            (digest(Some(1), Some(1)), digest(None, Some(1)), false),
            // Of an older release, whose outcomes do not have it.
            (digest(Some(1), None), digest(None, Some(2)), false),
        ];
        for (a, b, want) in rows {
            assert_eq!((a.differs(b), b.differs(a)), (want, want), "{a:?} {b:?}");
        }
    }
}
