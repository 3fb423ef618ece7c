//! What each mutation does to each state of a row, as a table.

use tombolo_core::id::{FieldId, ModelId, Position, Version};
use tombolo_core::merge::{MergeKind, Seen};
use tombolo_core::query::MutationInput;
use tombolo_core::record::{FieldVersions, Key, Meta, Record, StoredRecord};
use tombolo_core::schema::{ConflictStrategy, MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;

use super::row::{Decision, RowFacts, decide_row};
use super::{field_versions_from_text, field_versions_to_text};

const SDL: &str = "type Todo @model(timestamps: null) { id: ID! title: String note: String }
                   type Line @model { order: ID! @primaryKey(sortKeyFields: [\"n\", \"x\"]) n: Int! x: Float! }";

fn schema() -> Schema {
    Schema::parse(SDL, "schema.graphql").unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Version 3; the title changed at 3, the note at 2.
fn stored(deleted: bool) -> StoredRecord {
    StoredRecord {
        record: Record {
            values: vec![text("a"), text("server"), text("note")],
            meta: Meta {
                version: Version(3),
                deleted,
                last_changed_at: 5,
            },
        },
        position: Position(7),
        field_versions: FieldVersions(vec![(FieldId(1), Version(3)), (FieldId(2), Version(2))]),
    }
}

/// Kind, row (`None` absent, else whether deleted), base, seen, strategy, outcome.
type Case = (
    MutationKind,
    Option<bool>,
    Option<i64>,
    &'static [i64],
    ConflictStrategy,
    &'static str,
);

#[test]
fn each_kind_on_each_state() {
    use ConflictStrategy::{Automerge, Custom, LastWriterWins, OptimisticConcurrency};
    use MutationKind::{Create, Delete, Update};
    const ABSENT: Option<bool> = None;
    const LIVE: Option<bool> = Some(false);
    const DELETED: Option<bool> = Some(true);
    let cases: &[Case] = &[
        (Create, ABSENT, None, &[], Automerge, "applied"),
        (Create, LIVE, None, &[], Automerge, "ConditionalCheckFailedException"),
        (Create, DELETED, None, &[], Automerge, "ConditionalCheckFailedException"),
        (
            Create,
            DELETED,
            Some(2),
            &[],
            Automerge,
            "ConditionalCheckFailedException",
        ),
        (Create, DELETED, Some(3), &[], Automerge, "applied"),
        (Create, DELETED, Some(3), &[], OptimisticConcurrency, "applied"),
        (Create, DELETED, Some(1), &[2, 3], Automerge, "applied"),
        (
            Create,
            DELETED,
            None,
            &[],
            LastWriterWins,
            "ConditionalCheckFailedException",
        ),
        (Create, LIVE, Some(3), &[], Automerge, "ConditionalCheckFailedException"),
        (Update, DELETED, Some(3), &[], LastWriterWins, "ConflictUnhandled"),
        (Update, DELETED, None, &[], Custom, "ConflictUnhandled"),
        (Update, LIVE, Some(2), &[], Custom, "asked"),
        (Update, LIVE, Some(3), &[], Custom, "applied"),
        (Delete, LIVE, Some(2), &[], Custom, "asked"),
        (
            Update,
            ABSENT,
            Some(1),
            &[],
            Automerge,
            "ConditionalCheckFailedException",
        ),
        (Update, DELETED, Some(3), &[], Automerge, "ConflictUnhandled"),
        (Update, LIVE, None, &[], Automerge, "applied"),
        (Update, LIVE, Some(3), &[], Automerge, "applied"),
        (Update, LIVE, Some(2), &[], Automerge, "merged"),
        (Update, LIVE, Some(2), &[3], Automerge, "applied"),
        (Update, LIVE, Some(2), &[], LastWriterWins, "merged"),
        (Update, LIVE, Some(2), &[], OptimisticConcurrency, "ConflictUnhandled"),
        (Update, LIVE, Some(2), &[3], OptimisticConcurrency, "applied"),
        (Update, LIVE, Some(4), &[], OptimisticConcurrency, "ConflictUnhandled"),
        (Delete, ABSENT, None, &[], Automerge, "ConditionalCheckFailedException"),
        (Delete, DELETED, Some(3), &[], Automerge, "ConflictUnhandled"),
        (Delete, LIVE, None, &[], Automerge, "applied"),
        (Delete, LIVE, Some(3), &[], Automerge, "applied"),
        (Delete, LIVE, Some(2), &[], Automerge, "ConflictUnhandled"),
        (Delete, LIVE, Some(1), &[2, 3], Automerge, "applied"),
        (Delete, LIVE, Some(1), &[3], Automerge, "ConflictUnhandled"),
        (Delete, LIVE, Some(2), &[], LastWriterWins, "merged"),
    ];
    for (kind, row, base, seen, strategy, want) in cases {
        let mut model = schema().models.into_iter().next().unwrap();
        model.conflict = *strategy;
        let row = row.map(stored);
        let facts = RowFacts {
            model: &model,
            key: &Key(vec![text("a")]),
            stored: row.as_ref(),
            forgotten: false,
            plain: false,
            resent: false,
            hidden: false,
            blind: &[],
            owners: &[],
            seen: &seen
                .iter()
                .map(|version| Seen {
                    version: Version(*version),
                    kind: MergeKind::Applied,
                })
                .collect::<Vec<_>>(),
            position: Position(8),
            now_ms: 9,
        };
        let mutation = MutationInput {
            model: ModelId(0),
            kind: *kind,
            values: vec![(FieldId(0), text("a")), (FieldId(1), text("mine"))],
            operations: Vec::new(),
            base_version: base.map(Version),
            condition: None,
            condition_json: None,
        };
        let name = format!("{kind:?} on {row:?} with base {base:?}, seen {seen:?}, {strategy:?}");
        match decide_row(&facts, &mutation) {
            Decision::Reject { reason, .. } => assert_eq!(reason.code.to_string(), *want, "{name}"),
            Decision::Ask { .. } => assert_eq!("asked", *want, "{name}"),
            Decision::Write { outcome, next, .. } => {
                let word = if outcome == OutcomeKind::Merged {
                    "merged"
                } else {
                    "applied"
                };
                assert_eq!(word, *want, "{name}");
                let version = row.as_ref().map_or(1, |row| row.record.meta.version.0 + 1);
                let meta = Meta {
                    version: Version(version),
                    deleted: *kind == Delete,
                    last_changed_at: 9,
                };
                assert_eq!((next.position, next.record.meta), (Position(8), meta), "{name}");
            }
        }
    }
}

/// Law: what may have been carried out before under no number is applied if the record shows that it was, and is otherwise
/// decided as any other; what was changed since stays.
#[test]
fn what_another_client_may_have_sent_is_not_done_twice_and_not_refused() {
    use MutationKind::{Create, Delete, Update};
    // The title changed at 3, the note at 2: neither is as the creation made it.
    type Resent = (MutationKind, bool, i64, &'static str, &'static str, &'static str);
    let cases: &[Resent] = &[
        (Create, false, 3, "server", "note", "Applied server note 4 4"),
        (Create, false, 3, "mine", "note", "Merged server note 3 4"),
        (Create, true, 3, "server", "note", "ConditionalCheckFailedException"),
        (Create, false, 1, "mine", "note", "ConditionalCheckFailedException"),
        (Create, false, 1, "server", "note", "Applied server note 4 4"),
        (Update, false, 3, "server", "note", "Applied server note 4 4"),
        // Not carried out: a conflict, as ever.
        (Update, false, 3, "mine", "note", "Merged server note 3 2"),
        (Update, true, 3, "server", "note", "ConflictUnhandled"),
        (Delete, true, 3, "", "", "Applied server note 3 2"),
        (Delete, false, 3, "", "", "ConflictUnhandled"),
    ];
    let schema = schema();
    let (title, note) = (FieldId(1), FieldId(2));
    for (kind, deleted, changed_at, given_title, given_note, want) in cases {
        let mut row = stored(*deleted);
        if *changed_at == 1 {
            row.field_versions = FieldVersions::default();
        }
        let facts = RowFacts {
            model: &schema.models[0],
            key: &Key(vec![text("a")]),
            stored: Some(&row),
            seen: &[],
            forgotten: false,
            plain: false,
            resent: true,
            hidden: false,
            blind: &[],
            owners: &[],
            position: Position(8),
            now_ms: 9,
        };
        let mut values = vec![(FieldId(0), text("a"))];
        if *kind != Delete {
            values.extend([(title, text(given_title)), (note, text(given_note))]);
        }
        let mutation = MutationInput {
            model: ModelId(0),
            kind: *kind,
            values,
            operations: Vec::new(),
            base_version: Some(Version(1)),
            condition: None,
            condition_json: None,
        };
        let got = match decide_row(&facts, &mutation) {
            Decision::Reject { reason, .. } => reason.code.to_string(),
            Decision::Ask { .. } => "asked".to_owned(),
            Decision::Write { outcome, next, .. } => {
                assert_eq!(next.record.meta.version, Version(4));
                let shown = |field| next.record.value(field).to_json().as_str().unwrap().to_owned();
                let (at, then) = (next.field_versions.of(title).0, next.field_versions.of(note).0);
                format!("{outcome:?} {} {} {at} {then}", shown(title), shown(note))
            }
        };
        assert_eq!(got, *want, "{kind:?} of {given_title} on a record deleted: {deleted}");
    }
}

/// A moment that the other client writes differently than it sent it is the same moment: nothing is refused, nothing rewritten.
#[test]
fn what_another_client_may_have_sent_is_found_by_its_moment() {
    let sdl = "type Slot @model(timestamps: null) { id: ID! at: AWSDateTime word: String }";
    let schema = Schema::parse(sdl, "schema.graphql").unwrap();
    let at = "2023-11-14T23:13:20.120+01:00";
    for (given_at, given_word, stands) in [
        (at, "10:00:00", true),
        ("2023-11-14T22:13:20.12Z", "10:00:00", true),
        ("2023-11-14T22:13:20.121Z", "10:00:00", false),
        (at, "10:00:00.0", false),
    ] {
        let row = StoredRecord {
            record: Record {
                values: vec![text("a"), text(at), text("10:00:00")],
                meta: Meta {
                    version: Version(1),
                    ..Meta::default()
                },
            },
            position: Position(7),
            field_versions: FieldVersions::default(),
        };
        let facts = RowFacts {
            model: &schema.models[0],
            key: &Key(vec![text("a")]),
            stored: Some(&row),
            seen: &[],
            forgotten: false,
            plain: false,
            resent: true,
            hidden: false,
            blind: &[],
            owners: &[],
            position: Position(8),
            now_ms: 9,
        };
        let mutation = MutationInput {
            model: ModelId(0),
            kind: MutationKind::Create,
            values: vec![
                (FieldId(0), text("a")),
                (FieldId(1), text(given_at)),
                (FieldId(2), text(given_word)),
            ],
            operations: Vec::new(),
            base_version: None,
            condition: None,
            condition_json: None,
        };
        match decide_row(&facts, &mutation) {
            Decision::Write { next, .. } => {
                assert!(stands, "{given_at} {given_word}");
                assert_eq!(next.record.values, row.record.values);
            }
            Decision::Reject { .. } | Decision::Ask { .. } => assert!(!stands, "{given_at} {given_word}"),
        }
    }
}

/// A record of which nothing is left as it was made: its key may show whose creation it was.
#[test]
fn what_another_client_may_have_sent_is_not_found_by_a_key_that_two_may_give() {
    let schema = Schema::parse(
        "type Car @model(timestamps: null) { id: ID! word: String }",
        "schema.graphql",
    )
    .unwrap();
    let (uuid, plate) = ("1b4e28ba-2fa1-41d2-883f-0016d3cca427", "B-TK 42");
    for (key, there, stands) in [
        (uuid, "changed", true),
        (plate, "changed", false),
        (plate, "given", true),
    ] {
        let mut versions = FieldVersions::default();
        versions.set(FieldId(1), Version(5));
        let row = StoredRecord {
            record: Record {
                values: vec![text(key), text(there)],
                meta: Meta {
                    version: Version(5),
                    ..Meta::default()
                },
            },
            position: Position(7),
            field_versions: versions,
        };
        let facts = RowFacts {
            model: &schema.models[0],
            key: &Key(vec![text(key)]),
            stored: Some(&row),
            seen: &[],
            forgotten: false,
            plain: false,
            resent: true,
            hidden: false,
            blind: &[],
            owners: &[],
            position: Position(8),
            now_ms: 9,
        };
        let mutation = MutationInput {
            model: ModelId(0),
            kind: MutationKind::Create,
            values: vec![(FieldId(0), text(key)), (FieldId(1), text("given"))],
            operations: Vec::new(),
            base_version: None,
            condition: None,
            condition_json: None,
        };
        let written = matches!(decide_row(&facts, &mutation), Decision::Write { .. });
        assert_eq!(written, stands, "{key} {there}");
    }
}

#[test]
fn keys_and_field_versions_survive_their_text() {
    let schema = schema();
    let line = &schema[ModelId(1)];
    let key = Key(vec![text("o\"1"), Value::Int(-3), Value::Float(2.0)]);
    assert_eq!(Key::from_text(line, &key.to_text()), Some(key));
    for nonsense in ["", "[]", "[1]", "{}", "[\"o\",1,null]", "[\"o\",1.5,2.0]"] {
        assert_eq!(Key::from_text(line, nonsense), None, "{nonsense}");
    }
    let todo = &schema[ModelId(0)];
    assert_eq!(field_versions_to_text(todo, &FieldVersions::default()), None);
    let versions = stored(false).field_versions;
    let words = field_versions_to_text(todo, &versions).unwrap();
    assert_eq!(words, r#"{"title":3,"note":2}"#);
    assert_eq!(field_versions_from_text(todo, &words), versions);
    assert_eq!(
        field_versions_from_text(todo, r#"{"gone":4,"note":2}"#).0,
        [(FieldId(2), Version(2))]
    );
}
