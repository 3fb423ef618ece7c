//! The attack table: for each way out of the server, somebody who must not see, and does not.
//!
//! `ann` and `bob` own their notes; `zoe` is of the staff and reads all of them; a field of each note has a keeper of its own.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::access::{AuthMode, Identity, User};
use tombolo_core::query::OperationKind;
use tombolo_core::schema::Schema;

use super::sessions::request;
use super::{BEGIN_MS, Place, block_on};
use crate::service::{Engine, EngineError, Settings};
use crate::store::Store;
use crate::subscribe::Subscriber;

const SDL: &str = r#"
type Team @model @auth(rules: [{ allow: private }]) {
  id: ID!
  notes: [Note] @hasMany(indexName: "byTeam", fields: ["id"])
}
type Note @model(conflict: OPTIMISTIC_CONCURRENCY)
  @auth(rules: [{ allow: owner }, { allow: groups, groups: ["Staff"], operations: [read] }]) {
  id: ID!
  teamID: ID @index(name: "byTeam", queryField: "notesByTeam")
  text: String
  owner: String
  secret: String @auth(rules: [{ allow: owner, ownerField: "keeper" }])
  keeper: String
}
"#;

pub(super) const CREATE: &str =
    "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id text owner secret _version } }";
pub(super) const UPDATE: &str = "mutation ($input: UpdateNoteInput!, $condition: ModelNoteConditionInput) { updateNote(input: $input, \
                      condition: $condition) { id text owner secret _version } }";
pub(super) const DELETE: &str =
    "mutation ($input: DeleteNoteInput!) { deleteNote(input: $input) { id text owner secret } }";
pub(super) const FEED: &str = "subscription ($scopes: [TomboloScopeInput!]!) { tomboloChanges(scopes: $scopes) \
                    { model cursor upToDate reset fields rows left } }";

pub(super) fn user(name: &str, groups: &[&str]) -> Identity {
    let claims = json!({ "sub": format!("s-{name}"), "username": name, "cognito:groups": groups });
    Identity::User(Arc::new(User {
        mode: AuthMode::UserPools,
        claims: claims.as_object().cloned().unwrap_or_default(),
    }))
}

pub(super) fn ann() -> Identity {
    user("ann", &[])
}

pub(super) fn bob() -> Identity {
    user("bob", &[])
}

pub(super) fn zoe() -> Identity {
    user("zoe", &["Staff"])
}

pub(super) struct Guarded<S>(pub(super) Engine<S>);

impl<S: Store> Guarded<S> {
    /// An empty one.
    pub(super) fn with(place: &impl Place<Store = S>, sdl: &str) -> Self {
        let schema = Arc::new(Schema::parse(sdl, "guarded.graphql").unwrap());
        Self(Engine::new(
            Arc::clone(&schema),
            place.fresh(&schema),
            Settings::default(),
        ))
    }

    /// Ann's notes a and c, bob's note b, all of one team; ann keeps the secrets of a and b.
    pub(super) fn new(place: &impl Place<Store = S>) -> Self {
        let guarded = Self::with(place, SDL);
        for (who, id, keeper) in [(ann(), "a", "ann"), (bob(), "b", "ann"), (ann(), "c", "bob")] {
            let input = json!({ "id": id, "teamID": "t", "text": format!("text of {id}"), "keeper": keeper });
            let answer = guarded.ask(&who, CREATE, json!({ "input": input }));
            assert_eq!(answer["errors"], Json::Null, "{answer}");
        }
        // Nobody may write it but its keeper.
        let input = json!({ "input": { "id": "a", "secret": "secret of a" } });
        guarded.ask(&ann(), UPDATE, input);
        guarded
    }

    pub(super) fn ask(&self, who: &Identity, document: &str, variables: Json) -> Json {
        self.ask_with(who, document, variables, Json::Null)
    }

    pub(super) fn ask_with(&self, who: &Identity, document: &str, variables: Json, envelope: Json) -> Json {
        let Self(engine) = self;
        let prepared = match engine.prepare(who, &request(document, variables, envelope)) {
            Ok(prepared) => prepared,
            Err(errors) => return json!({ "data": null, "errors": errors }),
        };
        let bytes = block_on(async {
            match prepared.kind() {
                OperationKind::Query => engine.query(&prepared).await.unwrap().into_bytes(None),
                OperationKind::Mutation | OperationKind::Subscription => {
                    let submission = engine.submission(&prepared, vec!["fresh".into()]);
                    let verdicts = engine.commit(vec![submission], BEGIN_MS).await.unwrap();
                    engine.respond(&prepared, &verdicts[0]).await.unwrap()
                }
            }
        });
        serde_json::from_slice(&bytes).unwrap()
    }

    pub(super) fn subscribe(&self, who: &Identity, document: &str, variables: Json) -> Result<Subscriber, EngineError> {
        let prepared = self.0.prepare(who, &request(document, variables, Json::Null));
        let prepared = prepared.map_err(EngineError::Request)?;
        self.0.subscribe(&prepared)
    }

    pub(super) fn feed(&self, who: &Identity, filter: Json, cursor: Json) -> Subscriber {
        let scope = json!({ "model": "Note", "filter": filter, "cursor": cursor });
        self.subscribe(who, FEED, json!({ "scopes": [scope] })).unwrap()
    }

    pub(super) fn next(&self, subscriber: &mut Subscriber) -> Option<Json> {
        let bytes = block_on(self.0.next(subscriber)).unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// The next batch: id and secret of each row, what left, whether all is to be dropped, the cursor.
    pub(super) fn batch(&self, subscriber: &mut Subscriber) -> (Json, Json, bool, String) {
        let answer = self.next(subscriber).unwrap();
        let batch = &answer["data"]["tomboloChanges"];
        let place = |name: &str| {
            let fields = batch["fields"].as_array().unwrap();
            fields.iter().position(|field| *field == json!(name)).unwrap()
        };
        let rows = batch["rows"].as_array().unwrap().iter();
        let rows = rows
            .map(|row| json!([row[place("id")], row[place("secret")]]))
            .collect();
        let cursor = batch["cursor"].as_str().unwrap().to_owned();
        (rows, batch["left"].clone(), batch["reset"] == json!(true), cursor)
    }
}

pub(super) fn ids(answer: &Json, root: &str) -> Vec<String> {
    let items = answer["data"][root]["items"].as_array();
    let items = items.unwrap_or_else(|| panic!("{answer}"));
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn error(answer: &Json) -> (Json, Json) {
    let first = &answer["errors"][0];
    (first["errorType"].clone(), first["message"].clone())
}

/// Nothing of what is ann's alone stands anywhere in it.
fn tells_nothing(answer: &Json) {
    let text = answer.to_string();
    for told in ["text of a", "secret of", "s-ann", "\"ann\""] {
        assert!(!text.contains(told), "{told:?} is in {text}");
    }
}

/// Law: no query gives a row of somebody else, whatever it filters by, sorts by, or comes from; nor a page token of somebody else's.
pub fn queries_give_what_is_ones_own(place: &impl Place) {
    let server = Guarded::new(place);
    for (document, root) in [
        ("{ listNotes { items { id text owner } } }", "listNotes"),
        ("{ syncNotes { items { id text owner } } }", "syncNotes"),
        ("{ syncNotes(lastSync: 1) { items { id text owner } } }", "syncNotes"),
        (
            "{ notesByTeam(teamID: \"t\", sortDirection: DESC) { items { id text owner } } }",
            "notesByTeam",
        ),
        (
            "{ listNotes(filter: { or: [{ id: { eq: \"a\" } }, { id: { eq: \"b\" } }] }) { items { id } } }",
            "listNotes",
        ),
        (
            "{ listNotes(filter: { not: { owner: { eq: \"bob\" } } }) { items { id } } }",
            "listNotes",
        ),
    ] {
        let answer = server.ask(&bob(), document, Json::Null);
        assert_eq!(ids(&answer, root), ["b"], "{document}");
        tells_nothing(&answer);
    }
    let answer = server.ask(&bob(), "{ getNote(id: \"a\") { id text } }", Json::Null);
    assert_eq!(
        answer,
        json!({ "data": { "getNote": null } }),
        "as if it were not there"
    );
    server.ask(
        &zoe(),
        "mutation { createTeam(input: { id: \"t\" }) { id } }",
        Json::Null,
    );
    let nested = server.ask(
        &bob(),
        "{ getTeam(id: \"t\") { notes { items { id text } } } }",
        Json::Null,
    );
    assert_eq!(
        nested["data"]["getTeam"]["notes"]["items"],
        json!([{ "id": "b", "text": "text of b" }])
    );
    // A page token of zoe's list, who reads all of them.
    let page = server.ask(&zoe(), "{ listNotes(limit: 1) { items { id } nextToken } }", Json::Null);
    let next = "query ($token: String) { listNotes(limit: 1, nextToken: $token) { items { id } } }";
    let token = json!({ "token": page["data"]["listNotes"]["nextToken"] });
    assert_eq!(ids(&server.ask(&zoe(), next, token.clone()), "listNotes"), ["b"]);
    assert_eq!(ids(&server.ask(&bob(), next, token), "listNotes"), ["b"]);
    // Neither is a stranger's mode one of theirs.
    let key = Identity::ApiKey { name: "k".into() };
    let answer = server.ask(&key, "{ listNotes { items { id } } }", Json::Null);
    assert_eq!(
        (error(&answer).0, &answer["data"]["listNotes"]),
        (json!("Unauthorized"), &Json::Null)
    );
}

/// Law: a field with rules of its own is null for whoever they do not mean, and cannot be filtered by.
pub fn a_field_is_shown_to_its_keeper_alone(place: &impl Place) {
    let server = Guarded::new(place);
    let list = "{ listNotes { items { id secret } } }";
    let secrets = |who: &Identity| server.ask(who, list, Json::Null)["data"]["listNotes"]["items"].clone();
    assert_eq!(secrets(&bob()), json!([{ "id": "b", "secret": null }]));
    assert_eq!(
        secrets(&ann()),
        json!([{ "id": "a", "secret": "secret of a" }, { "id": "c", "secret": null }])
    );
    assert_eq!(
        server
            .ask(&zoe(), list, Json::Null)
            .to_string()
            .matches("secret of")
            .count(),
        0
    );
    let filter = "{ listNotes(filter: { secret: { beginsWith: \"s\" } }) { items { id } } }";
    assert_eq!(error(&server.ask(&bob(), filter, Json::Null)).0, json!("Unauthorized"));
    let condition = json!({ "input": { "id": "b", "text": "x" }, "condition": { "secret": { "beginsWith": "s" } } });
    assert_eq!(error(&server.ask(&bob(), UPDATE, condition)).0, json!("Unauthorized"));
    // The answer to a mutation is silent about it: DataStore takes an error there for a mutation that failed.
    let own = server.ask(&bob(), UPDATE, json!({ "input": { "id": "b", "text": "new" } }));
    assert_eq!(
        (&own["errors"], &own["data"]["updateNote"]["secret"]),
        (&Json::Null, &Json::Null)
    );
    assert_eq!(own["data"]["updateNote"]["owner"], json!("bob"), "the name alone");
    let refused = server.ask(&bob(), UPDATE, json!({ "input": { "id": "b", "secret": "mine" } }));
    assert_eq!(
        error(&refused),
        (json!("Unauthorized"), json!("Unauthorized on [secret]"))
    );
    let kept = server.ask(&ann(), "{ getNote(id: \"a\") { secret } }", Json::Null);
    assert_eq!(kept["data"]["getNote"]["secret"], json!("secret of a"));
}

/// Law: a mutation of somebody else's row is refused in the words of one that is not there, and its answer tells nothing of
/// it: not after a conflict, not under a condition, not when it comes again.
pub fn mutations_of_others_are_refused_and_tell_nothing(place: &impl Place) {
    let server = Guarded::new(place);
    let words = |what: &str| {
        (
            json!("Unauthorized"),
            json!(format!("Not Authorized to access {what}Note on type Mutation")),
        )
    };
    for id in ["a", "none"] {
        for (document, variables, what) in [
            (UPDATE, json!({ "input": { "id": id, "text": "mine" } }), "update"),
            (
                UPDATE,
                json!({ "input": { "id": id, "text": "mine", "_version": 99 } }),
                "update",
            ),
            (UPDATE, json!({ "input": { "id": id, "owner": "bob" } }), "update"),
            (
                UPDATE,
                json!({ "input": { "id": id }, "condition": { "text": { "contains": "text" } } }),
                "update",
            ),
            (DELETE, json!({ "input": { "id": id } }), "delete"),
        ] {
            let answer = server.ask(&bob(), document, variables.clone());
            assert_eq!(error(&answer), words(what), "{variables}");
            assert_eq!(answer["errors"][0]["data"], Json::Null, "{answer}");
            tells_nothing(&answer);
        }
    }
    // Staff reads and no more.
    let answer = server.ask(&zoe(), DELETE, json!({ "input": { "id": "a" } }));
    assert_eq!(error(&answer), words("delete"));
    // A creation under an id that is taken, also by a deletion.
    let taken = server.ask(&bob(), CREATE, json!({ "input": { "id": "a", "text": "mine" } }));
    assert_eq!(error(&taken).0, json!("ConditionalCheckFailedException"));
    tells_nothing(&taken);
    server.ask(&ann(), DELETE, json!({ "input": { "id": "c" } }));
    let anew = json!({ "input": { "id": "c", "text": "mine", "_version": 2 } });
    assert_eq!(
        error(&server.ask(&bob(), CREATE, anew.clone())).0,
        json!("ConditionalCheckFailedException")
    );
    assert_eq!(
        server.ask(&ann(), CREATE, anew)["errors"],
        Json::Null,
        "whose it was may"
    );
    // A creation in somebody else's name.
    let named = server.ask(&bob(), CREATE, json!({ "input": { "id": "n", "owner": "ann" } }));
    assert_eq!(error(&named), words("create"));
    // A replica's, and again: the outcome is kept, and says as little.
    for _ in 0..2 {
        let input = json!({ "input": { "id": "a", "text": "mine" } });
        let answer = server.ask_with(&bob(), UPDATE, input, json!({ "replica": "r", "number": 1 }));
        let outcome = &answer["extensions"]["tombolo"]["outcomes"][0];
        assert_eq!(
            (&outcome["outcome"], &outcome["reason"]["code"]),
            (&json!("rejected"), &json!("Unauthorized"))
        );
        assert!(!answer.to_string().contains("text of a"), "{answer}");
    }
    let unharmed = server.ask(&ann(), "{ getNote(id: \"a\") { text owner } }", Json::Null);
    assert_eq!(
        unharmed["data"]["getNote"],
        json!({ "text": "text of a", "owner": "ann" })
    );
    // Her own, in conflict, is shown to her.
    let stale = server.ask(
        &ann(),
        UPDATE,
        json!({ "input": { "id": "a", "text": "x", "_version": 1 } }),
    );
    assert_eq!(stale["errors"][0]["data"]["text"], json!("text of a"), "{stale}");
}

/// Law: a record goes where its owner gives it: the answer to who gave it away shows it no more.
pub fn a_record_can_be_given_away(place: &impl Place) {
    let server = Guarded::new(place);
    let given = server.ask(&ann(), UPDATE, json!({ "input": { "id": "a", "owner": "bob" } }));
    assert_eq!(
        (&given["data"]["updateNote"], &given["errors"]),
        (&Json::Null, &Json::Null),
        "{given}"
    );
    assert_eq!(
        ids(
            &server.ask(&ann(), "{ listNotes { items { id } } }", Json::Null),
            "listNotes"
        ),
        ["c"]
    );
    assert_eq!(
        ids(
            &server.ask(&bob(), "{ listNotes { items { id } } }", Json::Null),
            "listNotes"
        ),
        ["a", "b"]
    );
}

/// Law: a creation that may have been sent before changes nothing of a record that its sender may not change, whoever made it.
pub fn a_creation_sent_again_changes_no_record_that_is_not_his_to_change(place: &impl Place) {
    let sdl = "type Note @model @auth(rules: [{ allow: private, operations: [create, read] }, { allow: owner }]) {
                 id: ID! text: String owner: String }";
    let server = Guarded::with(place, sdl);
    let create = "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id owner _version } }";
    let input = json!({ "input": { "id": "a", "text": "t", "owner": "ann" } });
    server.ask(&ann(), create, input.clone());
    let sent = |who: &Identity, number: u64| {
        let envelope = json!({ "replica": format!("of {number}"), "number": number, "resent": true });
        let answer = server.ask_with(who, create, input.clone(), envelope);
        (
            answer["extensions"]["tombolo"]["outcomes"][0]["outcome"].clone(),
            answer["data"]["createNote"]["_version"].clone(),
        )
    };
    for number in 1..4 {
        assert_eq!(sent(&bob(), number), (json!("applied"), json!(1)));
    }
    assert_eq!(sent(&ann(), 4), (json!("applied"), json!(2)));
}

/// Law: a subscription brings what its listener may see, whatever it asks for, and none in somebody else's name.
pub fn subscriptions_bring_what_is_ones_own(place: &impl Place) {
    let server = Guarded::new(place);
    let document = "subscription { onUpdateNote { id text owner secret } }";
    let filtered = "subscription { onUpdateNote(filter: { id: { eq: \"a\" } }) { id text } }";
    let named = "subscription ($owner: String) { onUpdateNote(owner: $owner) { id owner } }";
    let mut all = server.subscribe(&bob(), document, Json::Null).unwrap();
    let mut one = server.subscribe(&bob(), filtered, Json::Null).unwrap();
    let mut own = server.subscribe(&bob(), named, json!({ "owner": "bob" })).unwrap();
    let mut staff = server.subscribe(&zoe(), named, json!({ "owner": "ann" })).unwrap();
    for other in ["ann", "s-ann", "s-ann::ann", ""] {
        let refused = server.subscribe(&bob(), named, json!({ "owner": other })).map(drop);
        assert!(matches!(refused, Err(EngineError::Request(_))), "{other}");
    }
    server.ask(&ann(), UPDATE, json!({ "input": { "id": "a", "text": "changed" } }));
    for subscriber in [&mut all, &mut one, &mut own] {
        assert_eq!(server.next(subscriber), None);
    }
    let event = server.next(&mut staff).unwrap();
    assert_eq!(event["data"]["onUpdateNote"], json!({ "id": "a", "owner": "ann" }));
    server.ask(&bob(), UPDATE, json!({ "input": { "id": "b", "text": "changed" } }));
    let event = server.next(&mut all).unwrap();
    assert_eq!(
        event,
        json!({ "data": { "onUpdateNote": { "id": "b", "text": "changed", "owner": "bob", "secret": null } } })
    );
    assert_eq!(server.next(&mut own).unwrap()["data"]["onUpdateNote"]["id"], json!("b"));
    assert_eq!((server.next(&mut one), server.next(&mut staff)), (None, None));
}

/// Law: the change feed brings what the identity may read, from the store and live; what it may no longer read leaves.
pub fn the_feed_brings_what_is_ones_own_and_takes_it_away(place: &impl Place) {
    let server = Guarded::new(place);
    let mut feed = server.feed(&bob(), Json::Null, Json::Null);
    let (rows, left, _, _) = server.batch(&mut feed);
    assert_eq!((rows, left), (json!([["b", null]]), json!([])));
    let mut keeper = server.feed(&ann(), Json::Null, Json::Null);
    assert_eq!(server.batch(&mut keeper).0, json!([["c", null], ["a", "secret of a"]]));
    // Live: what is given to him comes, and what is taken from her leaves.
    server.ask(&ann(), UPDATE, json!({ "input": { "id": "a", "owner": "bob" } }));
    assert_eq!(server.batch(&mut feed).0, json!([["a", null]]));
    let (rows, left, _, cursor) = server.batch(&mut keeper);
    assert_eq!((rows, left), (json!([]), json!([["a"]])));
    // The same for one who was away.
    server.ask(&ann(), UPDATE, json!({ "input": { "id": "c", "owner": "bob" } }));
    let mut back = server.feed(&ann(), Json::Null, json!(cursor));
    let (rows, left, reset, _) = server.batch(&mut back);
    assert_eq!((rows, left, reset), (json!([]), json!([["c"]]), false));
    let scope = json!({ "scope": { "model": "Note" } });
    let page = "query ($scope: TomboloScopeInput!) { tomboloChanges(scope: $scope) { rows left } }";
    let answer = server.ask(&ann(), page, scope.clone());
    assert_eq!(answer["data"]["tomboloChanges"], json!({ "rows": [], "left": [] }));
    let stranger = Identity::ApiKey { name: "k".into() };
    assert_eq!(error(&server.ask(&stranger, page, scope)).0, json!("Unauthorized"));
}

/// Law: a cursor is good for the rules under which it was given. In other hands, and in the same hands with other groups, it
/// begins anew: nothing is passed over, and what may no longer be seen is swept.
pub fn a_cursor_under_other_rules_begins_anew(place: &impl Place) {
    let server = Guarded::new(place);
    let cursor = server.batch(&mut server.feed(&ann(), Json::Null, Json::Null)).3;
    let mut stolen = server.feed(&bob(), Json::Null, json!(cursor));
    let (rows, _, reset, _) = server.batch(&mut stolen);
    assert_eq!((rows, reset), (json!([["b", null]]), true));
    // Ann joins the staff: bob's older note comes into sight.
    let staff = user("ann", &["Staff"]);
    let mut joined = server.feed(&staff, Json::Null, json!(cursor));
    let (rows, _, reset, wider) = server.batch(&mut joined);
    assert_eq!((rows.as_array().unwrap().len(), reset), (3, true));
    // And leaves it.
    let mut left = server.feed(&ann(), Json::Null, json!(wider));
    let (rows, _, reset, _) = server.batch(&mut left);
    assert_eq!((rows.as_array().unwrap().len(), reset), (2, true));
    // The same rules go on.
    let mut same = server.feed(&ann(), Json::Null, json!(cursor));
    let (rows, _, reset, _) = server.batch(&mut same);
    assert_eq!((rows, reset), (json!([]), false));
}

/// Law: what others' merges and refusals left is not told to who may read some of the rows only.
pub fn traces_are_for_those_who_read_everything(place: &impl Place) {
    let server = Guarded::new(place);
    server.ask(
        &ann(),
        UPDATE,
        json!({ "input": { "id": "a", "text": "stale", "_version": 1 } }),
    );
    let document = "{ tomboloConflicts { items { model key } } }";
    let count = |who: &Identity| {
        let answer = server.ask(who, document, Json::Null);
        answer["data"]["tomboloConflicts"]["items"].as_array().unwrap().len()
    };
    assert_eq!((count(&ann()), count(&bob()), count(&zoe())), (1, 0, 1));
}

/// Law: a replica is whose user it was first seen with. Who knows its name can neither use up its numbers, nor learn what became
/// of them, nor say what is settled.
pub fn a_replica_and_its_numbers_are_its_users(place: &impl Place) {
    let server = Guarded::new(place);
    let envelope = |number: u64| json!({ "replica": "anns", "number": number });
    let edit = |text: &str| json!({ "input": { "id": "a", "text": text } });
    let outcome = |answer: &Json| answer["extensions"]["tombolo"]["outcomes"][0].clone();
    let first = outcome(&server.ask_with(&ann(), UPDATE, edit("one"), envelope(1)));
    assert_eq!(first["outcome"], json!("applied"));
    for (number, more) in [
        (1, json!({})),
        (2, json!({})),
        (50, json!({ "settledThrough": 49 })),
        (1, json!({ "void": true })),
    ] {
        let mut theirs = envelope(number);
        theirs
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let input = json!({ "input": { "id": "b", "text": "x" } });
        let answer = server.ask_with(&bob(), UPDATE, input, theirs);
        assert_eq!(
            outcome(&answer)["reason"]["code"],
            json!("OutcomeForgotten"),
            "{answer}"
        );
        tells_nothing(&answer);
    }
    let named = json!({ "replica": "bobs", "number": 1, "movedFrom": [{ "replica": "anns", "number": 2 }] });
    let answer = server.ask_with(&bob(), UPDATE, json!({ "input": { "id": "b", "text": "x" } }), named);
    assert_eq!(outcome(&answer)["reason"]["code"], json!("OutcomeForgotten"));
    // Hers are as if nothing had been.
    assert_eq!(
        outcome(&server.ask_with(&ann(), UPDATE, edit("one"), envelope(1))),
        first
    );
    assert_eq!(
        outcome(&server.ask_with(&ann(), UPDATE, edit("two"), envelope(2)))["outcome"],
        json!("applied")
    );
    let untouched = server.ask(&bob(), "{ getNote(id: \"b\") { text } }", Json::Null);
    assert_eq!(untouched["data"]["getNote"]["text"], json!("text of b"));
}
