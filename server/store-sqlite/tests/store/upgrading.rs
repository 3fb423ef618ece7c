//! A database under another schema: what is carried over by itself, what asks to be allowed by name, what is remembered.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::suite::block_on;
use tombolo_engine::{Engine, Settings, Store};
use tombolo_store_sqlite::{OpenError, Options, SqliteStore};

const FIRST: &str = "
    enum Mood { GOOD BAD SO_SO }
    type Note @model {
      id: ID!  body: String  n: Int  mood: Mood  moods: [Mood]  day: AWSDate  tag: String
    }
    type Old @model { id: ID! }";

/// A database of the first schema: two notes, the second of them nearly empty, and one record of `Old`.
fn first() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    drop(open(&path, FIRST, &[]).unwrap());
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        r#"INSERT INTO Note (id, body, n, mood, moods, day, tag, _version, _deleted, _lastChangedAt, _position, _fieldVersions)
           VALUES ('a', 'text', 7, 'BAD', '["BAD","GOOD"]', '2024-01-01', 't', 3, 0, 9, 2, '{"body":3,"n":2}'),
                  ('b', NULL, NULL, NULL, NULL, NULL, NULL, 1, 0, 9, 3, NULL);
           INSERT INTO Old (id, _version, _deleted, _lastChangedAt, _position) VALUES ('o', 1, 0, 9, 4);
           INSERT INTO _departures (position, model, key, before) VALUES (2, 'Note', '["a"]', '{"id":"a","body":"1","n":6}');
           INSERT INTO _scope_fields (model, field, since) VALUES ('Note', 'body', 0);
           INSERT INTO _outcomes (replica, number, kind, model, key, position, version) VALUES ('r', 1, 0, 'Note', '["a"]', 2, 3);
           UPDATE _meta SET value = 4 WHERE key = 'position'"#,
    )
    .unwrap();
    (folder, path)
}

fn open(path: &Path, sdl: &str, allow: &[&str]) -> Result<SqliteStore, OpenError> {
    let options = Options {
        allow_breaking: allow.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        ..super::options()
    };
    let schema = Schema::parse(sdl, "schema.graphql").unwrap();
    SqliteStore::open(path, Arc::new(schema), &options)
}

/// The rows that a statement gives, as text.
fn rows(path: &Path, sql: &str) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let value = |i| match row.get::<_, Value>(i).unwrap() {
            Value::Null => "-".to_owned(),
            Value::Integer(int) => int.to_string(),
            Value::Real(real) => format!("{real:?}"),
            Value::Text(text) => text,
            Value::Blob(_) => "blob".to_owned(),
        };
        Ok((0..columns).map(value).collect::<Vec<_>>().join(" "))
    };
    statement.query_map((), row).unwrap().map(Result::unwrap).collect()
}

/// Opens with what is allowed one by one, and gives the names that are still asked for.
fn asked(path: &Path, sdl: &str, allow: &[&str]) -> Vec<String> {
    match open(path, sdl, allow) {
        Ok(_) => Vec::new(),
        Err(OpenError::Schema { misfits }) => misfits.into_iter().map(|misfit| misfit.allow).collect(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_was_renamed_keeps_its_records_and_what_is_known_of_them() {
    let (_folder, path) = first();
    let second = FIRST
        .replace("type Note @model {", "type Memo @model @renamed(from: [\"Note\"]) {")
        .replace("body: String", "text: String @renamed(from: [\"body\"])");
    drop(open(&path, &second, &[]).unwrap());
    assert_eq!(
        rows(&path, "SELECT id, text, _version, _position, _fieldVersions FROM Memo"),
        [r#"a text 3 2 {"n":2,"text":3}"#, "b - 1 3 -"]
    );
    assert_eq!(
        rows(&path, "SELECT model, before FROM _departures"),
        [r#"Memo {"id":"a","n":6,"text":"1"}"#]
    );
    assert_eq!(rows(&path, "SELECT model, field FROM _scope_fields"), ["Memo text"]);
    assert_eq!(rows(&path, "SELECT model FROM _outcomes"), ["Memo"]);
    assert_eq!(
        rows(&path, "SELECT count(*) FROM sqlite_schema WHERE tbl_name = 'Note'"),
        ["0"]
    );
    // Letters' case alone is a new name too.
    let third = second.replace(
        "text: String @renamed(from: [\"body\"])",
        "Text: String @renamed(from: [\"body\", \"text\"])",
    );
    drop(open(&path, &third, &[]).unwrap());
    assert_eq!(rows(&path, "SELECT Text FROM Memo WHERE id = 'a'"), ["text"]);
}

#[test]
fn what_became_wider_takes_the_old_values_and_a_default_fills_what_became_required() {
    let (_folder, path) = first();
    let second = FIRST
        .replace("n: Int", "n: Float")
        .replace("day: AWSDate", "day: String")
        .replace("mood: Mood ", "mood: String ")
        .replace(
            "tag: String",
            "tag: String! @default(value: \"none\") more: Int! @default(value: \"5\")",
        );
    drop(open(&path, &second, &[]).unwrap());
    assert_eq!(
        rows(&path, "SELECT n, day, mood, tag, more, _version, _position FROM Note"),
        ["7.0 2024-01-01 BAD t 5 3 2", "- - - none 5 1 3"],
        "neither is a change: each replica does the same"
    );
}

#[test]
fn what_loses_data_is_refused_by_name_and_allowed_by_name() {
    let cases: [(&str, &str, &str, &str, &str); 7] = [
        (
            "body: String",
            "",
            "Note.body",
            "SELECT count(*) FROM pragma_table_info('Note') WHERE name = 'body'",
            "0",
        ),
        (
            "type Old @model { id: ID! }",
            "",
            "Old",
            "SELECT count(*) FROM sqlite_schema WHERE name = 'Old'",
            "0",
        ),
        (
            "n: Int",
            "n: Boolean",
            "Note.n",
            "SELECT n, _version, _position FROM Note WHERE id = 'a'",
            "- 4 5",
        ),
        (
            "tag: String",
            "tag: String!",
            "Note.tag",
            "SELECT count(*) FROM Note WHERE tag IS NULL",
            "1",
        ),
        (
            "tag: String",
            "tag: String more: Int!",
            "Note.more",
            "SELECT count(*) FROM Note WHERE more IS NULL",
            "2",
        ),
        (
            "BAD ",
            "",
            "Mood.BAD",
            "SELECT mood, moods, _version, _position, _fieldVersions FROM Note WHERE id = 'a'",
            r#"- ["GOOD"] 5 6 {"body":3,"n":2,"mood":4,"moods":5}"#,
        ),
        (
            "id: ID!  body: String",
            "id: ID!  body: ID @primaryKey",
            "Note:key",
            "SELECT body, id FROM Note",
            "text a",
        ),
    ];
    for (was, is, name, sql, want) in cases {
        let (_folder, path) = first();
        let is = if name == "Note:key" {
            "id: ID!  body: ID! @primaryKey"
        } else {
            is
        };
        let second = FIRST.replacen(was, is, 1);
        let mut names = vec![name];
        if name == "Note:key" {
            // The field has become required, and one record lacks it.
            names.push("Note.body");
        }
        if name == "Mood.BAD" {
            names = vec!["Mood.BAD", "Mood.BAD"];
        }
        let before = rows(&path, "SELECT * FROM Note");
        assert_eq!(asked(&path, &second, &[]), names, "{name}");
        assert_eq!(
            asked(&path, &second, &["Note", "Note.other", "Mood.GOOD"]),
            names,
            "{name}: others allow nothing"
        );
        assert_eq!(rows(&path, "SELECT * FROM Note"), before, "{name}: nothing was changed");
        assert_eq!(asked(&path, &second, &names), [""; 0], "{name}");
        assert_eq!(rows(&path, sql), [want], "{name}");
        assert_eq!(
            asked(&path, &second, &[]),
            [""; 0],
            "{name}: once allowed it is not asked for again"
        );
    }
}

#[test]
fn every_schema_that_was_served_is_remembered_up_to_a_bound() {
    let (_folder, path) = first();
    let served = |store: &SqliteStore| store.served().len();
    assert_eq!(served(&open(&path, FIRST, &[]).unwrap()), 1);
    for n in 0..tombolo_engine::limits::SCHEMAS_KEPT {
        drop(open(&path, &format!("{FIRST} type M{n} @model {{ id: ID! }}"), &[]).unwrap());
    }
    let last = open(&path, FIRST, &[]).unwrap();
    assert_eq!(served(&last), tombolo_engine::limits::SCHEMAS_KEPT);
    assert!(
        last.served().iter().any(|schema| schema.sdl == FIRST),
        "the present one is never forgotten"
    );
}

/// Carries out a mutation with an envelope, written under the schema with that hash; the answer's `extensions.tombolo` or
/// its first error.
fn mutate(engine: &Engine<SqliteStore>, number: u64, schema: &str, query: &str, input: Json) -> Json {
    let object = |json: Json| json.as_object().cloned();
    let request = Request {
        query: query.to_owned(),
        variables: object(json!({ "i": input })),
        extensions: object(json!({ "tombolo": { "replica": "app", "number": number, "schema": schema } })),
        ..Request::default()
    };
    let identity = Identity::ApiKey { name: "test".into() };
    let prepared = engine.prepare(&identity, &request).unwrap();
    let submission = engine.submission(&prepared, Vec::new());
    let verdict = block_on(engine.commit(vec![submission], 1)).unwrap().remove(0);
    let answer = block_on(engine.respond(&prepared, &verdict)).unwrap();
    let answer: Json = serde_json::from_slice(&answer).unwrap();
    match &answer["extensions"]["tombolo"]["outcomes"][0] {
        Json::Null => answer["errors"][0].clone(),
        outcome => json!({ "data": answer["data"], "outcome": outcome }),
    }
}

#[test]
fn what_an_older_app_sends_is_read_under_its_own_schema() {
    let (_folder, path) = first();
    let old = Schema::parse(FIRST, "schema.graphql").unwrap().hash;
    let second = FIRST
        .replace("body: String", "text: String @renamed(from: [\"body\"])")
        .replace("tag: String", "");
    let store = open(&path, &second, &["Note.tag"]).unwrap();
    let engine = Engine::new(Arc::clone(store.schema()), store, Settings::default());
    let create = "mutation($i: CreateNoteInput!) { createNote(input: $i) { id body tag _version } }";

    let kept = mutate(
        &engine,
        1,
        &old,
        create,
        json!({ "id": "x", "body": "b", "tag": "lost" }),
    );
    assert_eq!(
        kept["data"],
        json!({ "createNote": { "id": "x", "body": "b", "tag": null, "_version": 1 } }),
        "{kept}"
    );
    assert_eq!(kept["outcome"]["outcome"], "applied");
    let field = &kept["outcome"]["conflict"]["fields"][0];
    assert_eq!(
        (&field["field"], &field["rule"], &field["incoming"]),
        (&json!("tag"), &json!("FIELD_REMOVED"), &json!("lost"))
    );
    assert_eq!(rows(&path, "SELECT text FROM Note WHERE id = 'x'"), ["b"]);

    // The same again, by the app that was updated meanwhile: one mutation, one effect.
    let renamed = "mutation($i: CreateNoteInput!) { createNote(input: $i) { id text } }";
    let again = mutate(&engine, 1, "", renamed, json!({ "id": "x", "text": "b" }));
    assert_eq!(again["outcome"]["outcome"], "applied");

    let newer = "mutation($i: CreateFreshInput!) { createFresh(input: $i) { id } }";
    let held = mutate(&engine, 2, "of tomorrow", newer, json!({ "id": "f" }));
    assert_eq!(
        (&held["errorType"], &held["errorInfo"]["retry"]),
        (&json!("UnknownSchema"), &json!(true)),
        "{held}"
    );
    let plain = mutate(&engine, 3, "of tomorrow", renamed, json!({ "id": "y", "text": "t" }));
    assert_eq!(
        plain["outcome"]["outcome"], "applied",
        "what fits is applied, whoever wrote it"
    );
    let wrong = mutate(&engine, 4, &old, newer, json!({ "id": "f" }));
    assert_eq!(wrong["outcome"]["reason"]["code"], "BadRequest", "{wrong}");

    let mood = "mutation($i: UpdateNoteInput!) { updateNote(input: $i) { id } }";
    drop(engine);
    let third = second.replace("BAD ", "");
    let store = open(&path, &third, &["Mood.BAD"]).unwrap();
    let engine = Engine::new(Arc::clone(store.schema()), store, Settings::default());
    let refused = mutate(&engine, 5, &old, mood, json!({ "id": "x", "mood": "BAD" }));
    let reason = &refused["outcome"]["reason"];
    assert_eq!(reason["code"], "SchemaChanged", "{refused}");
    assert!(reason["message"].as_str().unwrap().contains("Mood.BAD"), "{reason}");
}

#[test]
fn filling_what_scopes_look_at_sends_their_replicas_into_a_base_sync_once() {
    let first = "type Note @model { id: ID! tag: String }";
    let second = "type Note @model { id: ID! tag: String! @default(value: \"none\") }";
    let feed = "query ($s: TomboloScopeInput!) { tomboloChanges(scope: $s) { cursor reset upToDate rows } }";
    // A scope of another field is none of those.
    for (filter, watched) in [
        (json!({ "tag": { "eq": "none" } }), true),
        (json!({ "id": { "eq": "a" } }), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite");
        let engine = |sdl: &str| {
            let store = open(&path, sdl, &[]).unwrap();
            Engine::new(Arc::clone(store.schema()), store, Settings::default())
        };
        let page = |engine: &Engine<SqliteStore>, cursor: &Json| {
            let scope = json!({ "model": "Note", "filter": filter, "cursor": cursor });
            let request = Request {
                query: feed.to_owned(),
                variables: json!({ "s": scope }).as_object().cloned(),
                ..Request::default()
            };
            let identity = Identity::ApiKey { name: "test".into() };
            let prepared = engine.prepare(&identity, &request).unwrap();
            let answer = block_on(engine.query(&prepared)).unwrap().into_bytes(None);
            let answer: Json = serde_json::from_slice(&answer).unwrap();
            answer["data"]["tomboloChanges"].clone()
        };
        let before = engine(first);
        mutate(
            &before,
            1,
            "",
            "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }",
            json!({ "id": "a" }),
        );
        let held = page(&before, &Json::Null);
        assert_eq!(held["upToDate"], true, "{held}");
        drop(before);
        let after = engine(second);
        let next = page(&after, &held["cursor"]);
        assert_eq!(next["reset"], watched, "{next}");
        assert_eq!(next["rows"].as_array().unwrap().len(), usize::from(watched), "{next}");
        let last = page(&after, &next["cursor"]);
        assert_eq!(
            (&last["reset"], &last["upToDate"]),
            (&json!(false), &json!(true)),
            "{last}"
        );
    }
}
