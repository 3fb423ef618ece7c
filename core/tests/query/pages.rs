//! Page tokens: pages end where they should, and a token of another list is refused.

use serde_json::{Value as Json, json};
use tombolo_core::limits::{RECORD_BYTES_MAX, SORT_FIELDS_MAX, SYNC_OVERLAP_MS, SYNC_STARTED_LAG_MS};
use tombolo_core::query::Side;

use crate::support::{Db, local, refused, schema};

fn filled() -> Db {
    let db = Db::new(&schema());
    let authors: Vec<Json> = (0..3)
        .map(|i| json!({"id": format!("a{i}"), "name": "n", "active": true}))
        .collect();
    db.fill("Author", json!(authors));
    let posts: Vec<Json> = (0..20)
        .map(|i| {
            json!({
                "id": format!("p{i:02}"), "authorID": format!("a{}", i % 2), "rating": i / 4, "title": "t",
                "words": [], "seen": if i % 3 == 0 { json!(null) } else { json!(i) },
            })
        })
        .collect();
    db.fill("Post", json!(posts));
    db
}

/// The ids of all pages of `list` (with `LIMIT` and `TOKEN` for the arguments), and how many pages there were.
fn walk(db: &mut Db, list: &str, at: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut token) = (Vec::new(), 0, Json::Null);
    loop {
        let answer = db.ask(&format!("query ($t: String) {{ {list} }}"), json!({ "t": token }));
        assert!(answer.get("errors").is_none(), "{answer}");
        let connection = answer.pointer(at).unwrap();
        for item in connection["items"].as_array().unwrap() {
            ids.push(item["id"].as_str().unwrap().to_owned());
        }
        pages += 1;
        token = connection["nextToken"].clone();
        if token.is_null() {
            return (ids, pages);
        }
        assert!(pages < 100, "no end");
    }
}

#[test]
fn pages_together_are_the_whole_list_once() {
    let mut db = filled();
    let whole: Vec<String> = (0..20).map(|i| format!("p{i:02}")).collect();
    let list = |limit| format!("listPosts(limit: {limit}, nextToken: $t) {{ nextToken items {{ id }} }}");
    for (limit, pages) in [(7, 3), (10, 2), (20, 1), (1, 20), (1000, 1)] {
        assert_eq!(
            walk(&mut db, &list(limit), "/data/listPosts"),
            (whole.clone(), pages),
            "limit {limit}"
        );
    }
    // With relations the rows wait in buffers: the same pages.
    let nested = "listPosts(limit: 7, nextToken: $t) { items { id author { id } } nextToken }";
    assert_eq!(walk(&mut db, nested, "/data/listPosts"), (whole.clone(), 3));
    let sync = "syncPosts(limit: 6, nextToken: $t) { items { id } nextToken startedAt }";
    assert_eq!(walk(&mut db, sync, "/data/syncPosts"), (whole, 4));
}

#[test]
fn pages_follow_the_sort_key_in_both_directions() {
    let mut db = filled();
    let list = |direction| {
        format!(
            "postsByAuthor(authorID: \"a0\", rating: {{ge: 1}}, sortDirection: {direction}, limit: 3, nextToken: $t) \
             {{ items {{ id rating }} nextToken }}"
        )
    };
    let (up, _) = walk(&mut db, &list("ASC"), "/data/postsByAuthor");
    let (mut down, _) = walk(&mut db, &list("DESC"), "/data/postsByAuthor");
    assert_eq!(up, ["p04", "p06", "p08", "p10", "p12", "p14", "p16", "p18"]);
    down.reverse();
    assert_eq!(up, down);
}

#[test]
fn a_nested_list_goes_on_for_its_own_record() {
    let mut db = filled();
    let nested = "getAuthor(id: \"a1\") { posts(limit: 4, nextToken: $t) { items { id } nextToken } }";
    let (ids, pages) = walk(&mut db, nested, "/data/getAuthor/posts");
    assert_eq!((ids.len(), pages), (10, 3));
    // The token of one record's list in the list of another.
    let first = db.ask("{ getAuthor(id: \"a1\") { posts(limit: 4) { nextToken } } }", json!({}));
    let token = first.pointer("/data/getAuthor/posts/nextToken").unwrap().clone();
    let answer = db.ask(
        "query ($t: String) { listAuthors { items { id posts(limit: 4, nextToken: $t) { items { id } } } } }",
        json!({ "t": token }),
    );
    let items = answer.pointer("/data/listAuthors/items").unwrap();
    assert_eq!(items[0]["posts"], Json::Null);
    assert_eq!(items[1]["posts"]["items"].as_array().unwrap().len(), 4);
    assert_eq!(answer["errors"][0]["path"], json!(["listAuthors", "items", 0, "posts"]));
    assert_eq!(answer["errors"][0]["errorType"], "BadRequest");
}

#[test]
fn the_token_of_another_list_is_refused_and_a_broken_one_too() {
    let mut db = filled();
    let first = db.ask("{ listPosts(limit: 2) { nextToken } }", json!({}));
    let token = first["data"]["listPosts"]["nextToken"].clone();
    for (list, part) in [
        ("syncPosts(nextToken: $t) { nextToken }", "other arguments"),
        ("listAuthors(nextToken: $t) { nextToken }", "other arguments"),
        (
            "listPosts(nextToken: $t, filter: {rating: {gt: 1}}) { nextToken }",
            "other arguments",
        ),
    ] {
        let answer = db.ask(
            &format!("query ($t: String) {{ x: {list} ok: listAuthors {{ items {{ id }} }} }}"),
            json!({ "t": token }),
        );
        assert_eq!(answer["data"]["x"], Json::Null);
        assert_eq!(answer["data"]["ok"]["items"].as_array().unwrap().len(), 3);
        assert_eq!(answer["errors"][0]["path"], json!(["x"]));
        assert!(
            answer["errors"][0]["message"].as_str().unwrap().contains(part),
            "{answer}"
        );
    }
    for broken in ["", "x", "W10", "bm90IGpzb24", "%%%"] {
        let answer = db.ask(
            "query ($t: String) { listPosts(nextToken: $t) { nextToken } }",
            json!({ "t": broken }),
        );
        assert_eq!(answer["errors"][0]["errorType"], "BadRequest", "{broken}");
        assert!(
            answer["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("cannot be read"),
            "{answer}"
        );
    }
    // Another limit is the same list.
    let answer = db.ask(
        "query ($t: String) { listPosts(nextToken: $t, limit: 100) { items { id } } }",
        json!({ "t": token }),
    );
    assert_eq!(answer["data"]["listPosts"]["items"].as_array().unwrap().len(), 18);
}

#[test]
fn a_sync_keeps_the_moment_of_its_first_page() {
    let mut db = filled();
    let first = db.ask("{ syncPosts(limit: 5) { startedAt nextToken } }", json!({}));
    let page = &first["data"]["syncPosts"];
    // The newest change is of 1,020.
    assert_eq!(page["startedAt"], 0);
    db.fill(
        "Post",
        json!([{"id": "late", "rating": 0, "title": "t", "words": [], "_lastChangedAt": 205_000}]),
    );
    let next = db.ask(
        "query ($t: String) { syncPosts(limit: 500, nextToken: $t) { startedAt nextToken items { id _lastChangedAt } } }",
        json!({ "t": page["nextToken"] }),
    );
    assert_eq!(next["data"]["syncPosts"]["startedAt"], 0);
    let since = 10_000 + SYNC_OVERLAP_MS;
    let delta = db.ask(
        &format!("{{ syncPosts(lastSync: {since}) {{ items {{ id }} startedAt }} }}"),
        json!({}),
    );
    assert_eq!(
        delta["data"]["syncPosts"],
        json!({"items": [{"id": "late"}], "startedAt": 200_000})
    );
}

#[test]
fn one_statement_for_all_parents() {
    let mut db = filled();
    db.ask(
        "{ listAuthors { items { posts { items { id author { name } comments { items { id } } } } } } }",
        json!({}),
    );
    assert_eq!(db.statements.len(), 4, "{:#?}", db.statements);
}

#[test]
fn a_replica_hides_tombstones() {
    let mut db = filled();
    db.fill(
        "Author",
        json!([{"id": "gone", "name": "n", "active": true, "_deleted": true}]),
    );
    let access = local(&db.schema);
    let text = "{ listAuthors { items { id } } getAuthor(id: \"gone\") { id _deleted } }";
    let server = db.ask_as(text, json!({}), &access, Side::Server);
    assert_eq!(server["data"]["getAuthor"], json!({"id": "gone", "_deleted": true}));
    let replica = db.ask_as(text, json!({}), &access, Side::Replica);
    assert_eq!(replica["data"]["getAuthor"], Json::Null);
    assert_eq!(replica["data"]["listAuthors"]["items"].as_array().unwrap().len(), 3);
}

#[test]
fn a_delta_begins_a_little_before_the_last_sync() {
    let mut db = Db::new(&schema());
    let at = [100_000, 200_000, 300_000, 400_000];
    let post = |(i, at): (usize, &i64)| json!({"id": format!("p{i}"), "rating": 0, "title": "t", "words": [], "_lastChangedAt": at});
    db.fill("Post", at.iter().enumerate().map(post).collect());
    let mut delta = |since: i64| {
        let answer = db.ask(
            "query ($s: AWSTimestamp) { syncPosts(lastSync: $s) { items { id } nextToken startedAt } }",
            json!({ "s": since }),
        );
        assert_eq!(answer["data"]["syncPosts"]["nextToken"], Json::Null, "{answer}");
        assert_eq!(answer["data"]["syncPosts"]["startedAt"], 400_000);
        answer["data"]["syncPosts"]["items"].as_array().unwrap().len()
    };
    // Base: absent, null, 0, and what no clock has said.
    assert_eq!((delta(0), delta(-5)), (4, 4));
    assert_eq!(delta(400_000), 2);
    assert_eq!(delta(400_000 + SYNC_OVERLAP_MS), 1);
    // A moment of the server's beyond the newest change: an empty delta.
    assert_eq!(delta(410_000 + SYNC_OVERLAP_MS), 0);
    assert_eq!(delta(400_000 + 12 * 3_600_000), 0);
    // A device's clock: everything, however far it is ahead.
    assert_eq!((delta(400_001), delta(400_001 + SYNC_OVERLAP_MS)), (4, 4));
    assert_eq!(delta(400_001 + 12 * 3_600_000), 4);
    assert_eq!((delta(i64::MAX), delta(1)), (4, 4));
}

#[test]
fn the_moment_of_a_sync_is_the_newest_change_or_little_less_than_now() {
    let mut db = Db::new(&schema());
    let sync = "{ syncPosts(limit: 1) { startedAt nextToken } }";
    let started = |db: &mut Db, now: i64| db.ask_at(now, sync, json!({}))["data"]["syncPosts"]["startedAt"].clone();
    // Nothing yet: without a clock the beginning of time, with one little less than now.
    assert_eq!(db.ask(sync, json!({}))["data"]["syncPosts"]["startedAt"], 0);
    // No multiple of what moments are.
    let now = 2_000_000_007_000;
    let moment = |at: i64| at - at % 10_000;
    assert_eq!(started(&mut db, now), moment(now - SYNC_STARTED_LAG_MS));
    let post = |id: &str, at: i64| json!({"id": id, "rating": 0, "title": "t", "words": [], "_lastChangedAt": at});
    db.fill(
        "Post",
        json!([post("a", now - 40 * 86_400_000), post("b", now - 30 * 86_400_000)]),
    );
    assert_eq!(started(&mut db, now), moment(now - SYNC_STARTED_LAG_MS));
    assert_eq!(
        db.ask(sync, json!({}))["data"]["syncPosts"]["startedAt"],
        moment(now - 30 * 86_400_000)
    );
    // A clock that was set back by a year takes nothing back that a change has said.
    assert_eq!(started(&mut db, now - 365 * 86_400_000), moment(now - 30 * 86_400_000));
    assert_eq!(started(&mut db, 5), moment(now - 30 * 86_400_000));
    // All pages have the first one's, whatever the clock says later.
    let first = db.ask_at(now, sync, json!({}));
    let token = first["data"]["syncPosts"]["nextToken"].clone();
    let next = db.ask_at(
        now + 7_200_000,
        "query ($t: String) { syncPosts(limit: 1, nextToken: $t) { startedAt nextToken } }",
        json!({ "t": token }),
    );
    assert_eq!(
        next["data"]["syncPosts"],
        json!({ "startedAt": moment(now - SYNC_STARTED_LAG_MS), "nextToken": null })
    );
    // A change within the hour is the moment, in steps of ten seconds.
    db.fill("Post", json!([post("c", now - 25_000)]));
    assert_eq!(started(&mut db, now), moment(now - 25_000));
    // A plain list has no moment, told or not.
    let list = db.ask_at(now, "{ listPosts { startedAt } }", json!({}));
    assert_eq!(list["data"]["listPosts"]["startedAt"], Json::Null);
}

#[test]
fn a_list_is_sorted_by_any_fields_in_both_directions() {
    let mut db = filled();
    let list = |sort: &str, limit: usize| {
        format!("listPosts(sort: {sort}, limit: {limit}, nextToken: $t) {{ items {{ id }} nextToken }}")
    };
    let mut walked = |sort: &str, limit| walk(&mut db, &list(sort, limit), "/data/listPosts").0;
    let seen = |i: &usize| (!i.is_multiple_of(3)).then_some(*i);
    let expected = |order: &dyn Fn(&usize) -> (i64, i64)| {
        let mut all: Vec<usize> = (0..20).collect();
        all.sort_by_key(order);
        all.into_iter().map(|i| format!("p{i:02}")).collect::<Vec<_>>()
    };
    // Nulls first, and last where it descends; the key settles the rest, upwards.
    let up = expected(&|i| (seen(i).map_or(-1, |s| s as i64), *i as i64));
    let down = expected(&|i| (-seen(i).map_or(-1, |s| s as i64), *i as i64));
    let rated = expected(&|i| (-(*i as i64 / 4), -(*i as i64)));
    for limit in [100, 7, 1] {
        assert_eq!(walked("{field: seen}", limit), up, "{limit}");
        assert_eq!(walked("[{field: seen, direction: DESC}]", limit), down, "{limit}");
        assert_eq!(
            walked(
                "[{field: rating, direction: DESC}, {field: id, direction: DESC}]",
                limit
            ),
            rated,
            "{limit}"
        );
        assert_eq!(walked("[{field: _lastChangedAt}]", limit).len(), 20, "{limit}");
    }
    // Beside a direction of the sort key: what `sort` leaves open goes by it.
    let (index, _) = walk(
        &mut db,
        "postsByAuthor(authorID: \"a0\", sortDirection: DESC, sort: [{field: title}], limit: 3, nextToken: $t) \
         { items { id } nextToken }",
        "/data/postsByAuthor",
    );
    assert_eq!(index.first().map(String::as_str), Some("p18"));
    assert_eq!(index.len(), 10);
    let (nested, _) = walk(
        &mut db,
        "getAuthor(id: \"a1\") { posts(limit: 4, sort: [{field: id, direction: DESC}], nextToken: $t) \
         { items { id } nextToken } }",
        "/data/getAuthor/posts",
    );
    assert_eq!(nested.first().map(String::as_str), Some("p19"));
    assert_eq!(nested.len(), 10);
}

/// A required field may be null in a row from before it was required: such rows come last where the order descends.
#[test]
fn rows_without_a_required_value_are_on_some_page_in_both_directions() {
    let mut db = filled();
    db.connection
        .execute_batch("UPDATE \"Post\" SET \"createdAt\" = CASE WHEN \"id\" < 'p10' THEN '2030-01-01T00:00:00Z' END")
        .unwrap();
    for direction in ["ASC", "DESC"] {
        let list = format!(
            "listPosts(sort: [{{field: createdAt, direction: {direction}}}, {{field: id, direction: {direction}}}], limit: 3, \
             nextToken: $t) {{ items {{ id }} nextToken }}"
        );
        assert_eq!(walk(&mut db, &list, "/data/listPosts").0.len(), 20, "{direction}");
    }
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    let mut db = filled();
    let steps = |n: usize| vec![json!({"field": "title"}); n];
    let mut ask = |sort: Json| {
        db.ask(
            "query ($s: [ModelPostSortInput!]) { listPosts(sort: $s) { items { id } } }",
            json!({ "s": sort }),
        )
    };
    let twice = ask(json!(steps(2)));
    assert_eq!(twice["errors"][0]["errorType"], "BadRequest", "{twice}");
    assert!(
        twice["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("`title` twice")
    );
    let many = ask(json!(steps(SORT_FIELDS_MAX + 1)));
    assert_eq!(many["errors"][0]["errorType"], "LimitExceeded", "{many}");
    assert!(
        many["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("SORT_FIELDS_MAX")
    );
    assert_eq!(many["data"]["listPosts"], Json::Null);
    // A list, an embedded value and what is no field are no values of the enum.
    for field in ["words", "author", "nothing"] {
        let errors = refused(
            &format!("{{ listPosts(sort: [{{field: {field}}}]) {{ items {{ id }} }} }}"),
            json!({}),
        );
        assert!(errors[0].message.contains("ModelPostSortField"), "{errors:?}");
    }
    // Synced pages are in the order of changes.
    let errors = refused("{ syncPosts(sort: [{field: id}]) { items { id } } }", json!({}));
    assert!(errors[0].message.contains("sort"), "{errors:?}");
}

#[test]
fn the_token_of_another_order_is_refused() {
    let mut db = filled();
    let ask = "query ($t: String) { listPosts(limit: 2, nextToken: $t, sort: [{field: rating}]) { nextToken } }";
    let token = db.ask(ask, json!({}))["data"]["listPosts"]["nextToken"].clone();
    assert!(token.is_string());
    for sort in ["[{field: rating, direction: DESC}]", "[{field: title}]", "[]"] {
        let answer = db.ask(
            &format!("query ($t: String) {{ listPosts(nextToken: $t, sort: {sort}) {{ nextToken }} }}"),
            json!({ "t": token }),
        );
        assert_eq!(answer["data"]["listPosts"], Json::Null, "{sort}: {answer}");
        assert!(
            answer["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("other arguments")
        );
    }
}

#[test]
fn a_page_ends_within_the_longest_texts_and_says_so_where_none_can() {
    let db = &mut Db::new(&schema());
    let post = |id: usize, title: String| json!({"id": format!("p{id}"), "rating": 0, "title": title, "words": []});
    let fill = |db: &Db, letter: &str| {
        let titles = (0..3).map(|i| post(i, letter.repeat(RECORD_BYTES_MAX)));
        db.fill("Post", titles.collect());
    };
    let flat = "listPosts(limit: 1, nextToken: $t, sort: [{field: title}]) { items { id } nextToken }";
    let nested = "listPosts(limit: 1, nextToken: $t, sort: [{field: title}]) { items { id author { id } } nextToken }";
    fill(db, "a");
    for list in [flat, nested] {
        assert_eq!(
            walk(db, list, "/data/listPosts"),
            (vec!["p0".into(), "p1".into(), "p2".into()], 3)
        );
    }
    // Six bytes each in a token.
    fill(db, "\u{1}");
    for list in [flat, nested] {
        let answer = db.ask(&format!("query ($t: String) {{ {list} }}"), json!({}));
        assert_eq!(answer["data"]["listPosts"]["items"].as_array().unwrap().len(), 1);
        assert_eq!(answer["data"]["listPosts"]["nextToken"], Json::Null);
        assert_eq!(answer["errors"][0]["path"], json!(["listPosts", "nextToken"]), "{list}");
        assert!(
            answer["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("TOKEN_BYTES_MAX")
        );
        let last = list.replace("limit: 1", "limit: 3");
        let answer = db.ask(&format!("query ($t: String) {{ {last} }}"), json!({}));
        assert!(answer.get("errors").is_none());
    }
}

/// What a list's key is called comes first: `sort` is then what AppSync has it mean.
#[test]
fn a_key_field_called_sort_keeps_its_argument() {
    let sdl = "type Card @model { suit: ID! @primaryKey(sortKeyFields: [\"sort\"]) sort: Int! }
               type Drawer @model { sort: ID! @primaryKey note: String }";
    let schema = std::sync::Arc::new(tombolo_core::schema::Schema::parse(sdl, "s.graphql").unwrap());
    let mut db = Db::new(&schema);
    db.fill("Card", json!([{"suit": "a", "sort": 1}, {"suit": "a", "sort": 2}]));
    db.fill("Drawer", json!([{"sort": "x"}, {"sort": "y"}]));
    let answer = db.ask(
        "{ listCards(suit: \"a\", sort: {ge: 2}) { items { sort } } listDrawers(sort: \"y\") { items { sort } } }",
        json!({}),
    );
    assert_eq!(
        answer["data"],
        json!({"listCards": {"items": [{"sort": 2}]}, "listDrawers": {"items": [{"sort": "y"}]}})
    );
}
