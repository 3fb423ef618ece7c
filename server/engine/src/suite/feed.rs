//! Pages of the change feed.

use serde_json::{Value as Json, json};
use tombolo_core::id::Epoch;

use super::{Place, World, block_on, ids, plain, rows, todo};
use crate::limits;
use crate::store::{PageRequest, Store};

fn in_list(list: &str) -> Json {
    json!({ "list": { "eq": list } })
}

fn fill(world: &World<impl Store>, count: usize) {
    let batch = (0..count).map(|i| {
        let list = if i % 3 == 0 { "x" } else { "y" };
        plain(world.create("Todo", json!({ "id": format!("t{i:04}"), "title": "t", "list": list })))
    });
    world.write(batch.collect());
}

/// Law: by position, meta columns last.
pub fn a_page_holds_rows_in_feed_order(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("b", "one")));
    world.plain(world.create("Todo", todo("a", "two")));
    let page = world.page("Todo", None, None, 10);
    let at = super::BEGIN_MS;
    assert_eq!(
        rows(&page.rows),
        json!([["b", "one", null, 1, null, at], ["a", "two", null, 1, null, at]])
    );
    assert_eq!((page.count, page.position.0, page.head.position.0), (2, 2, 2));
    let page = world.page("Todo", None, Some(2), 10);
    assert_eq!(
        (page.rows.as_slice(), page.left.as_slice(), page.position.0),
        (&b"[]"[..], &b"[]"[..], 2)
    );
}

/// Law: paging neither skips nor repeats, and ends at the head, wherever the edges fall.
pub fn pages_end_to_end_hold_everything_once(place: &impl Place) {
    let world = World::new(place);
    fill(&world, 30);
    world.plain(world.create("Line", json!({ "order": "o", "number": 1 })));
    for size in [1, 7, 29, 30, 31] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = world.page("Todo", None, after, size);
            assert!(page.count <= size);
            all.extend(ids(&page.rows));
            after = Some(page.position.0);
            if page.position >= page.head.position {
                break;
            }
        }
        let want: Vec<String> = (0..30).map(|i| format!("t{i:04}")).collect();
        assert_eq!(all, want, "pages of {size}");
        assert_eq!(after, Some(31), "the head counts every model's changes");
    }
}

/// Law: large rows end a page early; at least one row always goes.
pub fn a_page_stops_at_its_bytes(place: &impl Place) {
    let world = World::new(place);
    fill(&world, 5);
    let request = PageRequest {
        model: world.model("Todo"),
        filter: None,
        after: None,
        rows_max: 100,
        bytes_max: 10,
        fields: vec![world.definition("Todo").field("id").unwrap()],
        masks: Vec::new(),
        replica: None,
    };
    let page = block_on(world.store.changes(request)).unwrap();
    assert_eq!((page.count, page.position.0), (1, 1));
}

/// Law: each record once, at its newest.
pub fn a_changed_record_moves_to_the_end(place: &impl Place) {
    let world = World::new(place);
    fill(&world, 3);
    world.plain(world.update("Todo", todo("t0000", "new")));
    world.plain(world.update("Todo", todo("t0000", "newer")));
    assert_eq!(
        ids(&world.page("Todo", None, None, 10).rows),
        ["t0001", "t0002", "t0000"]
    );
    let news = world.page("Todo", None, Some(3), 10);
    assert_eq!(
        (ids(&news.rows), rows(&news.rows)[0][1].clone()),
        (vec!["t0000".to_owned()], json!("newer"))
    );
}

/// Law: pages of a scope are full, and its cursor passes what is not in it.
pub fn a_filter_is_applied_before_the_limit(place: &impl Place) {
    let world = World::new(place);
    fill(&world, 9);
    let page = world.page("Todo", Some(&in_list("x")), None, 2);
    assert_eq!(
        (ids(&page.rows), page.position.0),
        (vec!["t0000".to_owned(), "t0003".to_owned()], 4)
    );
    let page = world.page("Todo", Some(&in_list("x")), Some(4), 2);
    assert_eq!((ids(&page.rows), page.position.0), (vec!["t0006".to_owned()], 9));
}

/// Law: edited out of the filter: its key comes once, in the page that passes the change; a base sync names none.
pub fn a_record_that_leaves_the_scope_is_named(place: &impl Place) {
    let world = World::new(place);
    world.watch("Todo", &in_list("x"));
    fill(&world, 6);
    world.plain(world.update("Todo", json!({ "id": "t0000", "list": "y" })));
    world.plain(world.update("Todo", json!({ "id": "t0003", "title": "stays" })));
    world.plain(world.update("Todo", json!({ "id": "t0001", "list": "z" })));
    let page = world.page("Todo", Some(&in_list("x")), Some(6), 10);
    assert_eq!(
        (ids(&page.rows), rows(&page.left)),
        (vec!["t0003".to_owned()], json!([["t0000"]]))
    );
    assert_eq!(page.left_count, 1);
    assert_eq!(world.page("Todo", Some(&in_list("x")), Some(9), 10).left_count, 0);
    assert_eq!(world.page("Todo", Some(&in_list("x")), None, 10).left_count, 0);
    let page = world.page("Todo", Some(&in_list("y")), Some(6), 10);
    assert_eq!(
        (ids(&page.rows), rows(&page.left)),
        (vec!["t0000".to_owned()], json!([["t0001"]]))
    );
}

/// Law: a replica that was offline learns of it, also from a server that was restarted.
pub fn leaving_is_remembered_over_a_restart(place: &impl Place) {
    let world = World::new(place);
    world.watch("Todo", &in_list("x"));
    fill(&world, 1);
    let Some(world) = world.reopen(place) else { return };
    world.plain(world.update("Todo", json!({ "id": "t0000", "list": "y" })));
    let Some(world) = world.reopen(place) else { return };
    let page = world.page("Todo", Some(&in_list("x")), Some(1), 10);
    assert_eq!(rows(&page.left), json!([["t0000"]]));
}

/// Law: what is in the scope now has not left it.
pub fn a_record_that_left_and_came_back_is_a_row(place: &impl Place) {
    let world = World::new(place);
    world.watch("Todo", &in_list("x"));
    fill(&world, 1);
    world.plain(world.update("Todo", json!({ "id": "t0000", "list": "y" })));
    world.plain(world.update("Todo", json!({ "id": "t0000", "list": "x" })));
    let page = world.page("Todo", Some(&in_list("x")), Some(1), 10);
    assert_eq!((ids(&page.rows), page.left_count), (vec!["t0000".to_owned()], 0));
}

/// Law: a deletion is a row with `_deleted`.
pub fn a_tombstone_is_a_row(place: &impl Place) {
    let world = World::new(place);
    world.watch("Todo", &in_list("x"));
    fill(&world, 1);
    world.plain(world.delete("Todo", json!({ "id": "t0000" })));
    let page = world.page("Todo", Some(&in_list("x")), Some(1), 10);
    assert_eq!(rows(&page.rows), json!([["t0000", "t", "x", 2, true, super::BEGIN_MS]]));
    assert_eq!(page.left_count, 0);
}

/// Law: where the filter asks for the living, a deletion is a departure.
pub fn a_tombstone_leaves_a_scope_of_the_living(place: &impl Place) {
    let world = World::new(place);
    let living = json!({ "_deleted": { "ne": true } });
    world.watch("Todo", &living);
    fill(&world, 1);
    world.plain(world.delete("Todo", json!({ "id": "t0000" })));
    let page = world.page("Todo", Some(&living), Some(1), 10);
    assert_eq!((page.count, rows(&page.left)), (0, json!([["t0000"]])));
}

/// Law: departures are paged too, and none is lost at the edge.
pub fn many_departures_take_several_pages(place: &impl Place) {
    let world = World::new(place);
    world.watch("Todo", &in_list("x"));
    let count = limits::FEED_DEPARTURES_MAX + 3;
    let create = |i: usize| plain(world.create("Todo", json!({ "id": format!("t{i}"), "title": "t", "list": "x" })));
    let leave = |i: usize| plain(world.update("Todo", json!({ "id": format!("t{i}"), "list": "y" })));
    world.write((0..count).map(create).collect());
    world.write((0..count).map(leave).collect());
    let (mut left, mut pages, mut after) = (0, 0, i64::try_from(count).unwrap());
    while after < world.head() {
        let page = world.page("Todo", Some(&in_list("x")), Some(after), 10);
        assert!(page.position.0 > after);
        (left, pages, after) = (left + page.left_count, pages + 1, page.position.0);
    }
    assert_eq!((left, pages), (count, 2));
}

/// Law: a page speaks of its model alone.
pub fn departures_of_other_models_are_not_told(place: &impl Place) {
    let world = World::new(place);
    let scope = json!({ "text": { "eq": "t" } });
    world.watch("Line", &scope);
    world.watch("Todo", &in_list("x"));
    world.plain(world.create("Line", json!({ "order": "o", "number": 1, "text": "t" })));
    world.plain(world.update("Line", json!({ "order": "o", "number": 1, "text": "u" })));
    assert_eq!(world.page("Todo", Some(&in_list("x")), Some(1), 10).left_count, 0);
    assert_eq!(
        rows(&world.page("Line", Some(&scope), Some(1), 10).left),
        json!([["o", 1]])
    );
}

/// Law: an epoch names one history.
pub fn the_epoch_survives_a_restart_and_tells_stores_apart(place: &impl Place) {
    fn epoch(world: &World<impl Store>) -> Epoch {
        block_on(world.store.head()).unwrap().epoch
    }
    let (world, other) = (World::new(place), World::new(place));
    let first = epoch(&world);
    assert_ne!(first, epoch(&other));
    if let Some(world) = world.reopen(place) {
        assert_eq!(epoch(&world), first);
    }
}
