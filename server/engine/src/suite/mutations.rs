//! What create, update and delete do.

use serde_json::json;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::graphql::ErrorType;

use super::{BEGIN_MS, Place, World, one, plain, rows, todo};
use crate::store::{MutationResult, Store, Submission};

fn value(world: &World<impl Store>, result: &MutationResult, field: &str) -> Value {
    let model = world.definition("Todo");
    result
        .record
        .as_ref()
        .unwrap()
        .value(model.field(field).unwrap())
        .clone()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn code(result: &MutationResult) -> Option<ErrorType> {
    assert_eq!(result.reason.is_some(), result.outcome == OutcomeKind::Rejected);
    if result.outcome == OutcomeKind::Rejected {
        assert_eq!((result.position, &result.change), (None, &None));
    }
    result.reason.as_ref().map(|reason| reason.code.clone())
}

fn version(result: &MutationResult) -> i64 {
    result.record.as_ref().unwrap().meta.version.0
}

/// Law: version 1, defaults for what was left out, times for what was not given.
pub fn a_created_record_has_version_1_defaults_and_times(place: &impl Place) {
    let world = World::new(place);
    let made = world.plain(world.create("Todo", todo("a", "one")));
    assert_eq!(
        (made.outcome, version(&made), made.position.unwrap().0),
        (OutcomeKind::Applied, 1, 1)
    );
    assert_eq!(value(&world, &made, "rank"), Value::Int(3));
    assert_eq!(value(&world, &made, "createdAt"), text("2013-01-01T00:00:00.000Z"));
    assert_eq!(value(&world, &made, "updatedAt"), text("2013-01-01T00:00:00.000Z"));
    let nulled = world.plain(world.create("Todo", json!({ "id": "b", "title": "two", "rank": null })));
    assert_eq!(
        value(&world, &nulled, "rank"),
        Value::Null,
        "an explicit null is not a default"
    );
}

/// Law: a second creation of an id fails, also after its deletion.
pub fn a_record_is_created_once(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    let again = world.plain(world.create("Todo", todo("a", "two")));
    assert_eq!(code(&again), Some(ErrorType::ConditionalCheckFailedException));
    world.plain(world.delete("Todo", json!({ "id": "a" })));
    let again = world.plain(world.create("Todo", todo("a", "three")));
    assert_eq!(code(&again), Some(ErrorType::ConditionalCheckFailedException));
    assert_eq!(world.head(), 2);
}

/// Law: a creation without an id takes the fresh one that came with it.
pub fn an_id_is_made_when_none_is_given(place: &impl Place) {
    let world = World::new(place);
    let made = world.plain(world.create("Todo", json!({ "title": "one" })));
    assert_eq!(value(&world, &made, "id"), text("fresh"));
}

/// Law: fields that are not named stay; version and position go up by one.
pub fn an_update_changes_what_it_names(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", json!({ "id": "a", "title": "one", "note": "n" })));
    world.set_now(BEGIN_MS + 1_500);
    let changed = world.plain(world.update("Todo", json!({ "id": "a", "title": "two", "_version": 1 })));
    assert_eq!(
        (changed.outcome, version(&changed), changed.position.unwrap().0),
        (OutcomeKind::Applied, 2, 2)
    );
    assert_eq!(value(&world, &changed, "title"), text("two"));
    assert_eq!(value(&world, &changed, "note"), text("n"));
    assert_eq!(value(&world, &changed, "createdAt"), text("2013-01-01T00:00:00.000Z"));
    assert_eq!(value(&world, &changed, "updatedAt"), text("2013-01-01T00:00:01.500Z"));
    let cleared = world.plain(world.update("Todo", json!({ "id": "a", "note": null })));
    assert_eq!(value(&world, &cleared, "note"), Value::Null);
    let change = cleared.change.unwrap();
    assert_eq!(change.before.as_ref().unwrap().meta.version.0, 2);
}

/// Law: a field conflicts only if it changed after the base version; the versions survive in the store.
pub fn a_stale_update_is_merged_by_field(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    world.plain(world.update("Todo", json!({ "id": "a", "title": "two", "_version": 1 })));
    let other = world.plain(world.update("Todo", json!({ "id": "a", "note": "mine", "_version": 1 })));
    assert_eq!(other.outcome, OutcomeKind::Applied, "another field is no conflict");
    let same = world.plain(world.update("Todo", json!({ "id": "a", "title": "mine", "rank": 7, "_version": 1 })));
    assert_eq!((same.outcome, version(&same)), (OutcomeKind::Merged, 4));
    assert_eq!(value(&world, &same, "title"), text("two"));
    assert_eq!(value(&world, &same, "note"), text("mine"));
    assert_eq!(value(&world, &same, "rank"), Value::Int(7));
    let later = world.plain(world.update("Todo", json!({ "id": "a", "title": "mine", "_version": 3 })));
    assert_eq!(
        later.outcome,
        OutcomeKind::Applied,
        "the title did not change after version 3"
    );
}

/// Law: `OPTIMISTIC_CONCURRENCY` refuses and shows the record.
pub fn a_stale_update_is_refused_where_the_model_says_so(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Strict", json!({ "id": "a", "text": "one" })));
    world.plain(world.update("Strict", json!({ "id": "a", "text": "two", "_version": 1 })));
    let stale = world.plain(world.update("Strict", json!({ "id": "a", "text": "mine", "_version": 1 })));
    assert_eq!(code(&stale), Some(ErrorType::ConflictUnhandled));
    assert_eq!(version(&stale), 2);
}

/// Law: a tombstone keeps its fields and takes no further change.
pub fn a_deleted_record_stays_as_a_tombstone(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    let gone = world.plain(world.delete("Todo", json!({ "id": "a", "_version": 1 })));
    let record = gone.record.as_ref().unwrap();
    assert_eq!(
        (gone.outcome, record.meta.version.0, record.meta.deleted),
        (OutcomeKind::Applied, 2, true)
    );
    assert_eq!(value(&world, &gone, "title"), text("one"));
    for kind in [MutationKind::Update, MutationKind::Delete] {
        let late = world.plain(world.mutation(kind, "Todo", json!({ "id": "a" })));
        assert_eq!(code(&late), Some(ErrorType::ConflictUnhandled), "{kind:?}");
        assert!(late.record.unwrap().meta.deleted);
    }
}

/// Law: nobody deletes what they have not seen.
pub fn a_stale_delete_is_refused(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    world.plain(world.update("Todo", json!({ "id": "a", "note": "new" })));
    let stale = world.plain(world.delete("Todo", json!({ "id": "a", "_version": 1 })));
    assert_eq!(code(&stale), Some(ErrorType::ConflictUnhandled));
    let blind = world.plain(world.delete("Todo", json!({ "id": "a" })));
    assert_eq!(blind.outcome, OutcomeKind::Applied, "no version means the newest");
}

/// Law: update and delete do not create.
pub fn what_does_not_exist_is_not_changed(place: &impl Place) {
    let world = World::new(place);
    for kind in [MutationKind::Update, MutationKind::Delete] {
        let missing = world.plain(world.mutation(kind, "Todo", json!({ "id": "a" })));
        assert_eq!(code(&missing), Some(ErrorType::ConditionalCheckFailedException));
    }
    assert_eq!(world.head(), 0);
}

/// Law: a false condition refuses; it sees the record as stored, absent fields for one that does not exist.
pub fn a_condition_is_asked_of_the_stored_record(place: &impl Place) {
    let world = World::new(place);
    let mut create = world.create("Todo", todo("a", "one"));
    create.condition = Some(world.filter("Todo", &json!({ "title": { "attributeExists": true } })));
    assert_eq!(
        code(&world.plain(create)),
        Some(ErrorType::ConditionalCheckFailedException)
    );
    world.plain(world.create("Todo", todo("a", "one")));
    let mut update = world.update("Todo", json!({ "id": "a", "title": "two" }));
    update.condition = Some(world.filter("Todo", &json!({ "title": { "eq": "two" } })));
    assert_eq!(
        code(&world.plain(update.clone())),
        Some(ErrorType::ConditionalCheckFailedException)
    );
    update.condition = Some(world.filter("Todo", &json!({ "title": { "eq": "one" } })));
    assert_eq!(world.plain(update).outcome, OutcomeKind::Applied);
}

/// Law: null in a required field is refused before it is stored.
pub fn a_required_field_is_never_emptied(place: &impl Place) {
    let world = World::new(place);
    let bare = world.plain(world.create("Todo", json!({ "id": "a" })));
    assert_eq!(code(&bare), Some(ErrorType::BadRequest));
    world.plain(world.create("Todo", todo("a", "one")));
    let emptied = world.plain(world.update("Todo", json!({ "id": "a", "title": null })));
    assert_eq!(code(&emptied), Some(ErrorType::BadRequest));
}

/// Law: each kind of value survives the store, in the answer and in the feed.
pub fn values_come_back_as_they_were_sent(place: &impl Place) {
    let world = World::new(place);
    let sent = json!({
        "id": "a\"\\\u{1f6a2}", "title": "", "note": "two\nlines", "tags": ["x", "x", ""], "spot": { "y": 2, "x": null },
        "colour": "GREEN", "rank": -2_147_483_648, "done": false, "price": 0.1, "list": "l"
    });
    world.plain(world.create("Todo", sent.clone()));
    let model = world.definition("Todo");
    let fields: Vec<_> = sent
        .as_object()
        .unwrap()
        .keys()
        .map(|name| model.field(name).unwrap())
        .collect();
    let page = super::block_on(world.store.changes(crate::PageRequest {
        model: world.model("Todo"),
        filter: None,
        after: None,
        rows_max: 10,
        bytes_max: 1 << 20,
        fields,
        masks: Vec::new(),
        replica: None,
    }));
    let rows = rows(&page.unwrap().rows);
    for (place, (name, value)) in sent.as_object().unwrap().iter().enumerate() {
        assert_eq!(&rows[0][place], value, "{name}");
    }
    let same = world.plain(world.update("Todo", json!({ "id": "a\"\\\u{1f6a2}", "rank": 1 })));
    assert_eq!(value(&world, &same, "tags"), Value::Json(r#"["x","x",""]"#.into()));
    assert_eq!(value(&world, &same, "done"), Value::Bool(false));
    assert_eq!(value(&world, &same, "price"), Value::Float(0.1));
}

/// Law: records are told apart by the whole key.
pub fn a_key_of_two_fields(place: &impl Place) {
    let world = World::new(place);
    for number in [1, 2] {
        let made = world.plain(world.create("Line", json!({ "order": "o", "number": number, "text": "t" })));
        assert_eq!(made.outcome, OutcomeKind::Applied);
    }
    world.plain(world.delete("Line", json!({ "order": "o", "number": 2 })));
    let kept = world.plain(world.update("Line", json!({ "order": "o", "number": 1, "text": "u" })));
    assert_eq!(kept.outcome, OutcomeKind::Applied);
    let page = world.page("Line", None, None, 10);
    assert_eq!(rows(&page.rows)[0][1], json!(2));
    assert_eq!(rows(&page.rows)[1][1], json!(1));
}

/// Law: +1 for each accepted mutation, none for a refused one, in the order of the batch.
pub fn positions_are_gap_free_and_in_order(place: &impl Place) {
    let world = World::new(place);
    let batch = vec![
        plain(world.create("Todo", todo("a", "one"))),
        plain(world.create("Todo", todo("a", "again"))),
        plain(world.update("Todo", json!({ "id": "a", "title": "two" }))),
        plain(world.create("Line", json!({ "order": "o", "number": 1 }))),
        plain(world.delete("Todo", json!({ "id": "a" }))),
    ];
    let positions: Vec<_> = world
        .write(batch)
        .iter()
        .map(|v| v.results[0].position.map(|p| p.0))
        .collect();
    assert_eq!(positions, [Some(1), None, Some(2), Some(3), Some(4)]);
    assert_eq!(world.head(), 4);
    assert_eq!(world.plain(world.create("Todo", todo("b", "x"))).position.unwrap().0, 5);
}

/// Law: `_lastChangedAt` never decreases in commit order, whatever the clock does.
pub fn time_never_goes_back(place: &impl Place) {
    let world = World::new(place);
    let at = |result: MutationResult| result.record.unwrap().meta.last_changed_at;
    assert_eq!(at(world.plain(world.create("Todo", todo("a", "one")))), BEGIN_MS);
    world.set_now(5);
    assert_eq!(at(world.plain(world.create("Todo", todo("b", "two")))), BEGIN_MS);
    if let Some(world) = world.reopen(place) {
        assert_eq!(at(world.plain(world.create("Todo", todo("c", "three")))), BEGIN_MS);
    }
}

/// Law: without an envelope each root field stands for itself.
pub fn a_request_without_envelope_may_hold_several(place: &impl Place) {
    let world = World::new(place);
    let mutations = vec![
        world.create("Todo", todo("a", "one")),
        world.create("Todo", todo("a", "again")),
        world.create("Todo", todo("b", "two")),
    ];
    let submission = Submission {
        envelope: None,
        mutations,
        atomic: false,
        fresh_ids: vec![],
        refusal: None,
        ..Submission::default()
    };
    let verdict = world.write(vec![submission]).remove(0);
    let outcomes: Vec<_> = verdict.results.iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [OutcomeKind::Applied, OutcomeKind::Rejected, OutcomeKind::Applied]
    );
    assert_eq!(
        one(world.write(vec![plain(world.update("Todo", todo("b", "x")))])).outcome,
        OutcomeKind::Applied
    );
}
