//! What generated Rust does: predicates, orders, builders and functions against a real replica in a file.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use tombolo::Client;
use tombolo_codegen_tests::{flights, large, nasty, small};

struct Replica {
    client: Client,
    _folder: tempfile::TempDir,
}

async fn open(builder: tombolo::Builder) -> Replica {
    let folder = tempfile::tempdir().unwrap();
    let client = builder.path(folder.path().join("replica.db")).open().await.unwrap();
    Replica {
        client,
        _folder: folder,
    }
}

async fn items(client: &Client) {
    small::CreateList::new("Today").id("l1").send(client).await.unwrap();
    for (id, text, due, priority) in [
        ("a", "tyres", Some("2026-03-01"), Some(small::Priority::High)),
        ("b", "oil", None, Some(small::Priority::Low)),
        ("c", "spare tyre", Some("2026-02-01"), None),
    ] {
        let create = small::CreateItem::new("l1", text)
            .id(id)
            .due(due.map(str::to_owned))
            .priority(priority);
        create.send(client).await.unwrap();
    }
}

fn ids(items: &[small::Item]) -> Vec<&str> {
    items.iter().map(|item| item.id.as_str()).collect()
}

#[tokio::test]
async fn predicates_are_the_apis() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let found = async |filter: fn(small::ItemFields) -> small::support::Filter<small::Item>| {
        let found = small::Items::filter(filter).sort(|s| s.id.asc()).fetch(&client).await;
        ids(&found.unwrap()).join(" ")
    };
    assert_eq!(found(|f| f.text.contains("tyre")).await, "a c");
    assert_eq!(
        found(|f| f.text.contains("tyre") & f.priority.eq(small::Priority::High)).await,
        "a"
    );
    assert_eq!(found(|f| f.due.is_null() | f.due.lt("2026-02-15")).await, "b c");
    assert_eq!(found(|f| !f.priority.is_null()).await, "a b");
    assert_eq!(found(|f| f.id.one_of(["a", "c", "z"])).await, "a c");
    assert_eq!(found(|f| f.due.between("2026-02-01", "2026-03-01")).await, "a c");
    assert_eq!(found(|f| f.done.eq(true)).await, "");
    assert_eq!(found(|_| small::support::Filter::any([])).await, "");
    client.close().await;
}

#[tokio::test]
async fn lists_come_in_the_order_asked_for_and_by_pages() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let all = small::Items::all().sort(|s| s.due.desc()).fetch(&client).await.unwrap();
    assert_eq!(
        ids(&all),
        ["a", "c", "b"],
        "null comes last where the greatest is first"
    );
    let first = small::Items::all()
        .sort(|s| s.due.desc())
        .limit(2)
        .page(&client)
        .await
        .unwrap();
    assert_eq!(ids(&first.items), ["a", "c"]);
    let rest = small::Items::all()
        .sort(|s| s.due.desc())
        .after(first.next_token.unwrap());
    let rest = rest.page(&client).await.unwrap();
    assert_eq!((ids(&rest.items), rest.next_token), (vec!["b"], None));
    client.close().await;
}

#[tokio::test]
async fn a_list_without_a_limit_is_whole() {
    let Replica { client, _folder } = open(small::client()).await;
    // A transaction takes a hundred at most.
    for range in [0..75, 75..150] {
        let create = |n| small::CreateItem::new("l1", format!("item {n}")).id(format!("{n}"));
        let made = client.transaction(|t| range.into_iter().try_for_each(|n| create(n).add_to(t)));
        made.await.unwrap();
    }
    assert_eq!(small::Items::all().fetch(&client).await.unwrap().len(), 150);
    client.close().await;
}

#[tokio::test]
async fn absent_null_and_a_value_are_three_things() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let update = small::UpdateItem::new("a").text("tires");
    let record = update.send(&client).await.unwrap().record.unwrap();
    assert_eq!(
        (record.text.as_str(), record.due.as_deref()),
        ("tires", Some("2026-03-01"))
    );
    let record = small::UpdateItem::new("a")
        .due(None)
        .send(&client)
        .await
        .unwrap()
        .record
        .unwrap();
    assert_eq!((record.text.as_str(), record.due), ("tires", None));
    client.close().await;
}

#[tokio::test]
async fn counters_and_sets_take_operations() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    small::UpdateItem::new("a").add_to_seen(2).send(&client).await.unwrap();
    let update = small::UpdateItem::new("a")
        .add_to_seen(-1)
        .change_tags(["x".to_owned(), "y".to_owned()], []);
    let record = update.send(&client).await.unwrap().record.unwrap();
    assert_eq!(
        (record.seen, record.tags),
        (Some(1), Some(vec!["x".to_owned(), "y".to_owned()]))
    );
    client.close().await;
}

#[tokio::test]
async fn embedded_values_come_back_as_they_went() {
    let Replica { client, _folder } = open(small::client()).await;
    let place = small::Place {
        lat: 0.1 + 0.2,
        lon: -0.0,
        label: None,
    };
    let create = small::CreateItem::new("l1", "there").id("p").place(place.clone());
    create.send(&client).await.unwrap();
    let item = small::Items::get(&client, "p").await.unwrap().unwrap();
    assert_eq!(item.place, Some(place));
    client.close().await;
}

#[tokio::test]
async fn every_scalar_comes_back_as_it_went() {
    let Replica { client, _folder } = open(large::client()).await;
    let point = large::Point {
        x: 1.5e300,
        y: f64::MIN_POSITIVE,
        z: Some(-0.1),
    };
    let leaf = large::Branch {
        value: Some(1),
        left: None,
        right: None,
        leaves: Some(Vec::new()),
    };
    let tree = large::Branch {
        value: None,
        left: Some(Box::new(leaf.clone())),
        right: None,
        leaves: Some(vec![leaf]),
    };
    let moment = "2013-01-01T12:00:00.120+02:00";
    let texts = vec!["a".to_owned(), String::new()];
    let create = large::CreateScalars::new(
        "\u{1f6ec} \"\n",
        i32::MIN,
        0.1 + 0.2,
        1_767_225_600_123_i64,
        large::Level::Low,
        point.clone(),
        texts.clone(),
        vec![large::Level::High],
    );
    let create = create
        .id("s")
        .int(i32::MAX)
        .date("2013-01-01")
        .date_time(moment)
        .timestamp(-1)
        .json("{\"a\": [1, 2.50]}");
    let create = create
        .tree(tree.clone())
        .floats(vec![Some(1.0), None])
        .points(vec![point.clone()])
        .ip("::1");
    let written = create.send(&client).await.unwrap().record.unwrap();
    let read = large::ScalarsCollection::get(&client, "s").await.unwrap().unwrap();
    assert_eq!(read, written);
    assert_eq!(
        (read.text_required.as_str(), read.int_required),
        ("\u{1f6ec} \"\n", i32::MIN)
    );
    assert_eq!(
        (read.float_required, read.timestamp_required),
        (0.1 + 0.2, 1_767_225_600_123)
    );
    assert_eq!((read.point_required, read.texts_required), (point.clone(), texts));
    assert_eq!((read.int, read.timestamp), (Some(i32::MAX), Some(-1)));
    assert_eq!(
        (read.date.as_deref(), read.date_time.as_deref()),
        (Some("2013-01-01"), Some(moment))
    );
    assert_eq!(read.json.as_deref(), Some("{\"a\": [1, 2.50]}"));
    assert_eq!((read.tree, read.points), (Some(tree), Some(vec![point])));
    assert_eq!(read.floats, Some(vec![Some(1.0), None]));
    assert_eq!(read.state, Some(large::Word::InProgress), "the default");
    client.close().await;
}

#[tokio::test]
async fn a_number_that_json_lacks_is_refused_and_not_taken_for_null() {
    let Replica { client, _folder } = open(small::client()).await;
    let place = small::Place {
        lat: f64::NAN,
        lon: 0.0,
        label: None,
    };
    let refused = small::CreateItem::new("l1", "nowhere")
        .place(place)
        .send(&client)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "request", "{refused}");
    client.close().await;
}

#[tokio::test]
async fn relations_are_followed_when_asked_for() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let item = small::Items::get(&client, "a").await.unwrap().unwrap();
    let list = item.list(&client).await.unwrap().unwrap();
    assert_eq!(list.title, "Today");
    let of_list = list.items().filter(|f| f.due.is_not_null()).sort(|s| s.due.asc());
    assert_eq!(ids(&of_list.fetch(&client).await.unwrap()), ["c", "a"]);
    let by_index = small::Items::items_by_list("l1").fetch(&client).await.unwrap();
    assert_eq!(by_index.len(), 3);
    client.close().await;
}

#[tokio::test]
async fn a_condition_goes_with_the_write() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let update = small::UpdateItem::new("a").done(true).only_if(|f| f.text.eq("tyres"));
    assert!(update.send(&client).await.unwrap().record.unwrap().done);
    small::DeleteItem::new("a")
        .only_if(|f| f.done.eq(true))
        .send(&client)
        .await
        .unwrap();
    assert_eq!(small::Items::get(&client, "a").await.unwrap(), None);
    client.close().await;
}

#[tokio::test]
async fn a_live_query_gives_records() {
    let Replica { client, _folder } = open(small::client()).await;
    let mut open_items = small::Items::filter(|f| f.done.eq(false))
        .sort(|s| s.id.asc())
        .watch(&client)
        .unwrap();
    assert!(open_items.next().await.unwrap().unwrap().is_empty());
    small::CreateItem::new("l1", "tyres")
        .id("a")
        .send(&client)
        .await
        .unwrap();
    assert_eq!(ids(&open_items.next().await.unwrap().unwrap()), ["a"]);
    let mut one = small::Items::watch(&client, "a").unwrap();
    assert_eq!(one.next().await.unwrap().unwrap().unwrap().text, "tyres");
    client.close().await;
    assert!(one.next().await.is_none());
}

#[tokio::test]
async fn operations_are_functions() {
    let Replica { client, _folder } = open(small::client()).await;
    items(&client).await;
    let variables = small::OpenItemsVariables::new("l1");
    let data = small::open_items(&client, &variables).await.unwrap();
    let found = data
        .items_by_list
        .unwrap()
        .items
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    assert_eq!(
        (found.len(), found[0].list.as_ref().unwrap().title.as_str()),
        (3, "Today")
    );
    let mut watch = small::watch_open_items(&client, &small::OpenItemsVariables::new("l1").limit(1)).unwrap();
    let page = watch.next().await.unwrap().unwrap().items_by_list.unwrap();
    assert_eq!((page.items.len(), page.next_token.is_some()), (1, true));
    let finished = small::finish(&client, &small::FinishVariables::new("a")).await.unwrap();
    assert_eq!(finished.numbers.len(), 1);
    // A selection that is one fragment is the fragment's type.
    let finished: small::ItemParts = finished.data.unwrap().update_item.unwrap();
    let one = small::one_item(&client, &small::OneItemVariables::new("a"))
        .await
        .unwrap();
    assert_eq!(one.get_item, Some(finished));
    client.close().await;
}

#[tokio::test]
async fn inputs_of_operations_tell_absent_from_null() {
    let Replica { client, _folder } = open(flights::client()).await;
    let mut input = flights::CreateNoteInput::new("f1", "wet runway", "kim");
    let added = flights::add_note(&client, &flights::AddNoteVariables::new(input.clone()))
        .await
        .unwrap();
    assert_eq!(
        added.data.unwrap().create_note.unwrap().severity,
        Some(flights::Severity::Info),
        "the default"
    );
    input.severity = flights::support::Patch::Null;
    let added = flights::add_note(&client, &flights::AddNoteVariables::new(input))
        .await
        .unwrap();
    assert_eq!(added.data.unwrap().create_note.unwrap().severity, None);
    client.close().await;
}

#[tokio::test]
async fn a_field_that_is_left_out_of_the_answer_is_none() {
    let Replica { client, _folder } = open(flights::client()).await;
    flights::CreateNote::new("f1", "wet runway", "kim")
        .send(&client)
        .await
        .unwrap();
    let data = flights::notes_of(&client, &flights::NotesOfVariables::new("f1"))
        .await
        .unwrap();
    let notes = data.notes_by_flight.unwrap().items;
    assert_eq!(notes[0].as_ref().unwrap().flight, None);
    client.close().await;
}

#[test]
fn a_value_of_a_newer_schema_survives() {
    let severity: flights::Severity = serde_json::from_value(json!("MAYDAY")).unwrap();
    assert_eq!(severity, flights::Severity::Unrecognized("MAYDAY".to_owned()));
    assert_eq!(serde_json::to_value(&severity).unwrap(), json!("MAYDAY"));
}

#[tokio::test]
async fn a_write_whose_answer_cannot_be_read_is_queued_and_no_failure() {
    // The rows have a schema in which a text may be missing that the generated code takes for granted.
    let sdl = small::SCHEMA.replace("text: String!", "text: String");
    assert_ne!(sdl, small::SCHEMA);
    let Replica { client, _folder } = open(Client::builder().schema(sdl)).await;
    client
        .mutate(
            "mutation { createItem(input: { id: \"a\", listId: \"l1\" }) { id } }",
            json!(null),
        )
        .await
        .unwrap();
    let written = small::UpdateItem::new("a").done(true).send(&client).await.unwrap();
    assert_eq!(written.record, None);
    assert!(matches!(written.problem, Some(tombolo::Error::Shape(_))));
    assert!(client.mutation(written.number).await.unwrap().is_some());
    let answered = small::finish(&client, &small::FinishVariables::new("a")).await.unwrap();
    assert_eq!((answered.data, answered.numbers.len()), (None, 1));
    assert!(matches!(answered.problem, Some(tombolo::Error::Shape(_))));
    client.close().await;
}

/// A tree of one branch, `levels` deep.
fn tree(levels: usize) -> nasty::Embed {
    let next = (levels > 1).then(|| Box::new(tree(levels - 1)));
    nasty::Embed {
        name: levels.to_string(),
        children: Vec::new(),
        next,
        class: None,
        self_: None,
        json_value: None,
        w: None,
    }
}

#[tokio::test]
async fn a_value_that_nests_deep_comes_back_whole_from_every_way() {
    let Replica { client, _folder } = open(nasty::client()).await;
    let deep = Some(tree(20));
    let create = nasty::CreateJSONValue::new("x").id("a").tree(tree(20));
    assert_eq!(create.send(&client).await.unwrap().record.unwrap().tree, deep);
    let mut read = nasty::JSONValues::get(&client, "a").await.unwrap().unwrap();
    assert_eq!(read.tree, deep);
    assert_eq!(nasty::JSONValues::all().fetch(&client).await.unwrap()[0].tree, deep);
    let mut live = nasty::JSONValues::watch(&client, "a").unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().unwrap().tree, deep);
    read.tree.as_mut().unwrap().name = "renamed".to_owned();
    let update = nasty::UpdateJSONValue::new("a").tree(read.tree.clone());
    assert_eq!(update.send(&client).await.unwrap().record.unwrap().tree, read.tree);
    let gone = nasty::DeleteJSONValue::new("a")
        .send(&client)
        .await
        .unwrap()
        .record
        .unwrap();
    assert_eq!(gone.tree, read.tree);
    client.close().await;
}

#[tokio::test]
async fn what_was_read_in_part_is_refused_when_it_is_written_back() {
    let Replica { client, _folder } = open(nasty::client()).await;
    let part = json!({ "name": "1", "children": [], "next": { "__typename": "Embed" } });
    let create = "mutation($tree: EmbedInput) { createJSONValue(input: { text: \"x\", tree: $tree }) { id } }";
    let refused = client.mutate(create, json!({ "tree": part })).await.unwrap_err();
    assert_eq!(refused.code(), "request", "{refused}");
    client.close().await;
}

#[tokio::test]
async fn a_fragment_that_is_left_out_leaves_its_fields_out() {
    let Replica { client, _folder } = open(nasty::client()).await;
    nasty::CreateJSONValue::new("x").id("a").send(&client).await.unwrap();
    for with in [false, true] {
        let data = nasty::merge(&client, &nasty::MergeVariables::new(with, "a"))
            .await
            .unwrap();
        let value = data.get_json_value.unwrap();
        assert_eq!((value.id.as_str(), value.text.is_some()), ("a", with));
    }
    client.close().await;
}

#[tokio::test]
async fn a_relation_goes_by_the_field_that_it_names() {
    let Replica { client, _folder } = open(nasty::client()).await;
    nasty::CreateTeam::new().id("t").send(&client).await.unwrap();
    let create = "mutation { createPerson(input: { id: \"p\", teamId: \"other\", team_id: \"t\" }) { id } }";
    client.mutate(create, json!(null)).await.unwrap();
    let person = nasty::People::get(&client, "p").await;
    let team = person.unwrap().unwrap().team(&client).await.unwrap().unwrap();
    assert_eq!(team.id, "t");
    assert_eq!(team.people().fetch(&client).await.unwrap().len(), 1);
    nasty::CreateKeyed::new("k").send(&client).await.unwrap();
    let held = nasty::CreateHeld::new()
        .client_("k".to_owned())
        .send(&client)
        .await
        .unwrap();
    assert!(held.record.unwrap().keyed(&client).await.unwrap().is_some());
    client.close().await;
}
