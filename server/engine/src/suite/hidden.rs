//! What is told without being said: by an answer that comes again, by which of two refusals comes, by whether a guess is taken.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::access::{AuthMode, IamCaller, IamRole, Identity, User};
use tombolo_core::schema::Schema;

use super::Place;
use super::rules::{CREATE, DELETE, FEED, Guarded, UPDATE, ann, bob, error, ids, user, zoe};
use super::sessions::request;
use crate::service::{Engine, EngineError, Settings};

const MAKE: &str = "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id } }";
const EDIT: &str = "mutation ($input: UpdateNoteInput!, $condition: ModelNoteConditionInput) { updateNote(input: $input, \
                    condition: $condition) { id _version } }";
const REMOVE: &str = "mutation ($input: DeleteNoteInput!) { deleteNote(input: $input) { id } }";

fn outcome(answer: &Json) -> Json {
    answer["extensions"]["tombolo"]["outcomes"][0].clone()
}

fn code(answer: &Json) -> Json {
    outcome(answer)["reason"]["code"].clone()
}

/// Law: an outcome that is told again does not show the record as it has become in other hands, under whatever number.
pub fn an_outcome_told_again_shows_nothing_new(place: &impl Place) {
    let server = Guarded::new(place);
    let envelope = |number: u64| json!({ "replica": "bobs", "number": number });
    let create = json!({ "input": { "id": "x", "text": "mine" } });
    let first = server.ask_with(&bob(), CREATE, create.clone(), envelope(1));
    assert_eq!(first["data"]["createNote"]["text"], json!("mine"));
    let edit = json!({ "input": { "id": "x", "text": "stale", "_version": 0 } });
    server.ask_with(&bob(), UPDATE, edit.clone(), envelope(2));
    server.ask(&bob(), UPDATE, json!({ "input": { "id": "x", "owner": "ann" } }));
    server.ask(
        &ann(),
        UPDATE,
        json!({ "input": { "id": "x", "text": "text of ann now" } }),
    );
    let mut moved = envelope(9);
    moved["movedFrom"] = json!([{ "replica": "bobs", "number": 1 }]);
    for (document, input, envelope) in [
        (CREATE, create.clone(), envelope(1)),
        (CREATE, create, moved),
        (UPDATE, edit, envelope(2)),
    ] {
        let again = server.ask_with(&bob(), document, input, envelope);
        assert!(!again.to_string().contains("text of ann now"), "{again}");
    }
}

/// Law: which numbers of a replica have landed is told to its user alone, from the store and live.
pub fn what_has_landed_is_told_to_its_own_user(place: &impl Place) {
    let server = Guarded::new(place);
    let edit = |text: &str| json!({ "input": { "id": "a", "text": text } });
    let listen = |who: &Identity| {
        let scope = json!({ "scopes": [{ "model": "Note", "filter": null, "cursor": null }] });
        let prepared = server
            .0
            .prepare(who, &request(FEED, scope, json!({ "replica": "anns" })))
            .unwrap();
        server.0.subscribe(&prepared).unwrap()
    };
    server.ask_with(&ann(), UPDATE, edit("one"), json!({ "replica": "anns", "number": 7 }));
    let (mut hers, mut his) = (listen(&ann()), listen(&bob()));
    let told = |answer: Option<Json>| answer.is_some_and(|answer| answer.to_string().contains("landed"));
    assert_eq!(
        (told(server.next(&mut hers)), told(server.next(&mut his))),
        (true, false)
    );
    server.ask_with(&ann(), UPDATE, edit("two"), json!({ "replica": "anns", "number": 8 }));
    assert_eq!(
        (told(server.next(&mut hers)), told(server.next(&mut his))),
        (true, false)
    );
}

/// Law: a taken id is said to be taken, and not whether what has it lives.
pub fn a_taken_id_is_said_to_be_taken_and_no_more(place: &impl Place) {
    let server = Guarded::new(place);
    let taken = || error(&server.ask(&bob(), CREATE, json!({ "input": { "id": "c", "text": "mine" } })));
    let alive = taken();
    server.ask(&ann(), DELETE, json!({ "input": { "id": "c" } }));
    assert_eq!(alive, taken());
}

const STAFF_FIELD: &str = r#"type Note @model @auth(rules: [{ allow: private }]) {
  id: ID! text: String secret: String @auth(rules: [{ allow: groups, groups: ["Staff"] }])
}"#;

/// Law: when a field comes into sight or goes out of it, for every row, the scope begins anew.
pub fn a_field_that_comes_into_sight_begins_the_scope_anew(place: &impl Place) {
    let server = Guarded::with(place, STAFF_FIELD);
    let (member, guest) = (user("zoe", &["Staff"]), user("zoe", &[]));
    server.ask(&member, MAKE, json!({ "input": { "id": "a", "secret": "s" } }));
    let (rows, _, _, cursor) = server.batch(&mut server.feed(&member, Json::Null, Json::Null));
    assert_eq!(rows, json!([["a", "s"]]));
    let left = server
        .next(&mut server.feed(&guest, Json::Null, json!(cursor)))
        .unwrap();
    let batch = &left["data"]["tomboloChanges"];
    assert_eq!(
        (
            &batch["reset"],
            batch["fields"].as_array().unwrap().contains(&json!("secret"))
        ),
        (&json!(true), false)
    );
    let mut joined = server.feed(&member, Json::Null, batch["cursor"].clone());
    assert_eq!(server.batch(&mut joined).0, json!([["a", "s"]]));
}

/// Law: a base sync hides what a row's reader may not see of it, as the ring does.
pub fn a_base_sync_hides_what_a_row_keeps_from_its_reader(place: &impl Place) {
    let sdl = r#"type Note @model @auth(rules: [{ allow: private }]) {
      id: ID! keeper: String secret: String @auth(rules: [{ allow: owner, ownerField: "keeper" }])
    }"#;
    let server = Guarded::with(place, sdl);
    server.ask(
        &ann(),
        MAKE,
        json!({ "input": { "id": "a", "secret": "s", "keeper": "ann" } }),
    );
    let (rows, ..) = server.batch(&mut server.feed(&bob(), Json::Null, Json::Null));
    assert_eq!(rows, json!([["a", null]]));
    let (rows, ..) = server.batch(&mut server.feed(&ann(), Json::Null, Json::Null));
    assert_eq!(rows, json!([["a", "s"]]));
}

/// Law: `owner:` of a subscription is a filter, too: where the field may not be read it takes one's own name alone.
pub fn an_owner_argument_tells_nothing_of_a_hidden_owner(place: &impl Place) {
    let sdl = r#"type Note @model
      @auth(rules: [{ allow: owner }, { allow: groups, groups: ["Staff"], operations: [read] }]) {
      id: ID! text: String owner: String @auth(rules: [{ allow: owner }])
    }"#;
    let server = Guarded::with(place, sdl);
    let document = "subscription { onCreateNote(owner: \"ann\") { id } }";
    let refused = server.subscribe(&zoe(), document, Json::Null).map(drop);
    assert!(matches!(refused, Err(EngineError::Request(_))));
    assert!(server.subscribe(&ann(), document, Json::Null).is_ok());
}

/// Law: of a field that he may write and not read nobody learns the value by guessing.
pub fn a_guess_at_a_field_that_may_only_be_written_tells_nothing(place: &impl Place) {
    let sdl = r#"type Note @model @auth(rules: [{ allow: private }]) {
      id: ID!
      secret: String @auth(rules: [{ allow: groups, groups: ["Staff"] }, { allow: private, operations: [create, update] }])
      n: Int @merge(rule: COUNTER)
        @auth(rules: [{ allow: groups, groups: ["Staff"] }, { allow: private, operations: [create, update] }])
    }"#;
    let server = Guarded::with(place, sdl);
    server.ask(
        &zoe(),
        MAKE,
        json!({ "input": { "id": "a", "secret": "s0", "n": 4711 } }),
    );
    server.ask(&zoe(), EDIT, json!({ "input": { "id": "a", "secret": "hunter2" } }));
    let guess = |number: u64, guess: &str| {
        let input = json!({ "input": { "id": "a", "secret": guess, "_version": 1 } });
        outcome(&server.ask_with(&bob(), EDIT, input, json!({ "replica": "bobs", "number": number })))["outcome"]
            .clone()
    };
    assert_eq!(guess(1, "hunter2"), guess(2, "wrong"));
    let add = |by: i32| {
        let input = json!({ "input": { "id": "a", "_operations": { "n": { "add": by } } } });
        error(&server.ask(&bob(), EDIT, input))
    };
    assert_eq!(add(i32::MAX - 4711), add(i32::MAX));
    assert_eq!(add(1).1, json!("Unauthorized on [n]"));
}

/// Law: nobody takes another's rows by choosing a name that looks like that one's.
pub fn a_name_that_looks_like_anothers_is_not_that_one(place: &impl Place) {
    let server = Guarded::new(place);
    let claims = json!({ "sub": "s-eve", "username": "s-ann::ann" });
    let eve = Identity::User(Arc::new(User {
        mode: AuthMode::UserPools,
        claims: claims.as_object().cloned().unwrap(),
    }));
    assert!(
        ids(
            &server.ask(&eve, "{ listNotes { items { id } } }", Json::Null),
            "listNotes"
        )
        .is_empty()
    );
}

const SPLIT: &str = r#"type Note @model @auth(rules: [
  { allow: owner, operations: [create, read] }
  { allow: owner, ownerField: "editor", operations: [update] }
  { allow: owner, ownerField: "remover", operations: [delete] }
]) { id: ID! owner: String editor: String remover: String text: String
  kept: String @auth(rules: [{ allow: groups, groups: ["Staff"] }, { allow: owner, operations: [read] }]) }"#;

/// Law: each operation asks its own rules: who may update may not delete for that, nor read, nor ask by a condition.
pub fn each_operation_asks_its_own_rules(place: &impl Place) {
    let server = Guarded::with(place, SPLIT);
    let input = json!({ "id": "a", "text": "t", "editor": "bob", "remover": "zoe" });
    assert_eq!(
        server.ask(&ann(), MAKE, json!({ "input": input }))["errors"],
        Json::Null
    );
    let refused = |answer: &Json| assert_eq!(error(answer).0, json!("Unauthorized"), "{answer}");
    // A creation with a field that its maker may not give.
    refused(&server.ask(&ann(), MAKE, json!({ "input": { "id": "k", "kept": "x" } })));
    refused(&server.ask(&ann(), EDIT, json!({ "input": { "id": "a", "text": "x" } })));
    refused(&server.ask(&zoe(), EDIT, json!({ "input": { "id": "a", "text": "x" } })));
    refused(&server.ask(&bob(), REMOVE, json!({ "input": { "id": "a" } })));
    refused(&server.ask(&ann(), REMOVE, json!({ "input": { "id": "a" } })));
    let probe = json!({ "input": { "id": "a", "text": "x" }, "condition": { "text": { "eq": "t" } } });
    refused(&server.ask(&bob(), EDIT, probe));
    let edited = server.ask(&bob(), EDIT, json!({ "input": { "id": "a", "text": "bob's" } }));
    assert_eq!(
        (&edited["errors"], &edited["data"]["updateNote"]),
        (&Json::Null, &Json::Null),
        "{edited}"
    );
    // In conflict he is not shown what he may not read, neither in the answer nor in what is kept of it.
    let input = json!({ "input": { "id": "a", "text": "stale", "_version": 1 } });
    let stale = server.ask_with(&bob(), EDIT, input, json!({ "replica": "bobs", "number": 1 }));
    assert_eq!(outcome(&stale)["outcome"], json!("merged"));
    assert_eq!(outcome(&stale)["conflict"]["fields"], json!([]), "{stale}");
    let removed = server.ask(&zoe(), REMOVE, json!({ "input": { "id": "a" } }));
    assert_eq!(removed["errors"], Json::Null, "{removed}");
    let seen = server.ask(&ann(), "{ getNote(id: \"a\") { text _deleted } }", Json::Null);
    assert_eq!(seen["data"]["getNote"], json!({ "text": "bob's", "_deleted": true }));
}

/// Law: an API key does not use the numbers of a user's replica.
pub fn a_key_does_not_speak_for_a_users_replica(place: &impl Place) {
    let sdl = "type Note @model @auth(rules: [{ allow: private }, { allow: public }]) { id: ID! text: String }";
    let server = Guarded::with(place, sdl);
    let key = Identity::ApiKey { name: "k".into() };
    let go = |who: &Identity, number: u64| {
        let input = json!({ "input": { "id": number.to_string() } });
        server.ask_with(who, MAKE, input, json!({ "replica": "phone", "number": number }))
    };
    assert_eq!(outcome(&go(&key, 1))["outcome"], json!("applied"));
    assert_eq!(
        outcome(&go(&bob(), 2))["outcome"],
        json!("applied"),
        "who signs in keeps what he had"
    );
    assert_eq!(code(&go(&key, 3)), json!("OutcomeForgotten"));
}

/// Law: across schemas it cannot be told whether a number was used for this mutation: it is not said to be carried out.
pub fn a_moved_mutation_that_cannot_be_compared_is_not_said_to_be_done(place: &impl Place) {
    let server = Guarded::new(place);
    let edit = |text: &str| json!({ "input": { "id": "a", "text": text } });
    server.ask_with(&ann(), UPDATE, edit("one"), json!({ "replica": "r", "number": 2 }));
    let moved =
        json!({ "replica": "r", "number": 7, "schema": "other", "movedFrom": [{ "replica": "r", "number": 2 }] });
    let answer = server.ask_with(&ann(), UPDATE, edit("two"), moved);
    assert_eq!(code(&answer), json!("OutcomeForgotten"), "{answer}");
}

/// Law: the list of what a caller may call counts for requests of an earlier schema, too.
pub fn a_policy_holds_under_an_earlier_schema(place: &impl Place) {
    let sdl = |more: &str| {
        let sdl = format!(
            "type Note @model @auth(rules: [{{ allow: private, provider: iam }}]) {{ id: ID! text: String {more} }}"
        );
        Arc::new(Schema::parse(&sdl, "policy.graphql").unwrap())
    };
    let (old, new) = (sdl(""), sdl("more: String"));
    let store = place.fresh(&old);
    let Some(store) = place.reopen(store, &new) else { return };
    let server = Guarded(Engine::new(Arc::clone(&new), store, Settings::default()));
    let caller = |allow: &str| {
        Identity::Iam(Arc::new(IamCaller {
            name: "i".into(),
            role: IamRole::Authenticated,
            allow: [allow.to_owned()].into(),
        }))
    };
    let make = |who: &Identity, schema: &Schema, number: u64| {
        let document = "mutation { createNote(input: { id: \"a\", text: \"x\" }) { id } }";
        let envelope = json!({ "replica": "r", "number": number, "schema": schema.hash });
        code(&server.ask_with(who, document, Json::Null, envelope))
    };
    let reader = caller("Query.getNote");
    assert_eq!(
        [make(&reader, &new, 1), make(&reader, &old, 2)],
        [json!("Unauthorized"), json!("Unauthorized")]
    );
    let scope = json!({ "scopes": [{ "model": "Note", "filter": null, "cursor": null }] });
    for schema in [&old, &new] {
        let asked = request(FEED, scope.clone(), json!({ "replica": "r", "schema": schema.hash }));
        let listens = server.0.prepare(&reader, &asked).map_err(EngineError::Request);
        assert!(
            listens.and_then(|prepared| server.0.subscribe(&prepared)).is_err(),
            "{}",
            schema.source
        );
    }
    assert_eq!(make(&caller("Mutation.*"), &old, 3), Json::Null);
}
