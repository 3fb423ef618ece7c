//! Cursors that no longer say what they said: pruned over, of another history, ahead of a restored backup.

use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use super::sessions::Server;
use super::{BEGIN_MS, DAY_MS, Place, block_on};
use crate::retention::Retention;
use crate::service::Settings;
use crate::store::Store;

impl<S: Store> Server<S> {
    fn delete(&self, id: &str) {
        let document = "mutation ($input: DeleteTodoInput!) { deleteTodo(input: $input) { id } }";
        let answer = self.ask(document, json!({ "input": { "id": id } }), Json::Null);
        assert_eq!(answer, json!({ "data": { "deleteTodo": { "id": id } } }));
    }

    /// Prunes to the end on each of these days after everything was written.
    fn prune(&self, mut days: RangeInclusive<i64>) -> i64 {
        loop {
            let now_ms = BEGIN_MS + days.start() * DAY_MS;
            let pruned = block_on(self.0.prune(now_ms, &Retention::default())).unwrap();
            match (pruned.more, days.start() < days.end()) {
                (true, _) => {}
                (false, true) => days = days.start() + 1..=*days.end(),
                (false, false) => return pruned.low_watermark.0,
            }
        }
    }

    fn epoch(&self) -> String {
        block_on(self.0.store().head()).unwrap().epoch.0
    }

    fn at(&self, position: i64) -> Json {
        json!(format!("{}.{position}", self.epoch()))
    }
}

fn small() -> Settings {
    Settings {
        feed_rows_live: 1,
        feed_rows_http: 1,
        ..Settings::default()
    }
}

/// Law: a cursor at or above the watermark goes on; one below it begins again, in a session and page by page.
pub fn a_cursor_below_the_watermark_begins_again(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("gone", "x");
    server.delete("gone");
    server.create("lives", "x");
    let watermark = server.prune(0..=31);
    assert_eq!(watermark, 2);
    for (position, resets) in [(0, true), (1, true), (2, false), (3, false)] {
        let mut session = server.feed(Json::Null, server.at(position), None);
        let (rows, _, up_to_date, reset, cursor) = server.batch(&mut session).unwrap();
        assert_eq!((reset, up_to_date), (resets, true), "{position}");
        assert_eq!(rows.len(), usize::from(position < 3), "{position}");
        assert_eq!(json!(cursor), server.at(3));
    }
}

/// Law: what is pruned while a base sync is under way does not make it begin again, since nothing that was there when it
/// began concerns it, in one session or over several; and what was deleted after it began does reach it.
pub fn pruning_leaves_a_base_sync_alone(place: &impl Place) {
    let server = Server::new(place, small());
    for id in ["a", "b", "gone", "c"] {
        server.create(id, "x");
    }
    server.delete("gone");
    let mut session = server.feed(Json::Null, Json::Null, Some("r"));
    let (rows, _, up_to_date, reset, cursor) = server.batch(&mut session).unwrap();
    assert_eq!((rows, up_to_date, reset), (vec!["a".to_owned()], false, false));
    assert_eq!(json!(cursor), json!(format!("{}.1/5", server.epoch())));
    server.delete("a");
    assert_eq!(
        server.prune(0..=31),
        5,
        "the base sync that began at 5 holds back what came after it, and nothing before"
    );
    for mut session in [session, server.feed(Json::Null, json!(cursor), Some("r"))] {
        let mut seen = Vec::new();
        let last = loop {
            let (rows, _, up_to_date, reset, cursor) = server.batch(&mut session).unwrap();
            assert!(!reset);
            seen.extend(rows);
            if up_to_date {
                break cursor;
            }
        };
        assert_eq!(
            (seen, json!(last)),
            (vec!["b".into(), "c".into(), "a".into()], server.at(6))
        );
    }
    // Away for so long that even that went: then it must begin again. (What was shown counts from the next prune on.)
    assert_eq!(server.prune(31..=32), 5);
    assert_eq!(server.prune(32..=200), 6);
    let mut late = server.feed(Json::Null, json!(cursor), None);
    assert!(server.batch(&mut late).unwrap().3);
}

/// Law: what a replica that is away has not passed is kept for it, because it showed its cursor once.
pub fn a_cursor_that_was_shown_holds_back_the_pruning(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("a", "x");
    let mut session = server.feed(Json::Null, server.at(1), Some("r"));
    server.batch(&mut session).unwrap();
    drop(session);
    server.delete("a");
    assert_eq!(server.prune(0..=31), 0);
    let mut back = server.feed(Json::Null, server.at(1), Some("r"));
    let (rows, _, _, reset, _) = server.batch(&mut back).unwrap();
    assert_eq!((rows, reset), (vec!["a".to_owned()], false));
    // What it was sent it has not shown to hold.
    assert_eq!(server.prune(31..=32), 0);
    let mut again = server.feed(Json::Null, server.at(2), Some("r"));
    server.batch(&mut again).unwrap();
    assert_eq!(server.prune(32..=33), 2);
}

/// Law: a scope whose filter was registered after a record had left it in the past is complete all the same.
pub fn a_scope_that_is_new_after_a_prune_is_complete(place: &impl Place) {
    let server = Server::new(place, small());
    server.create("a", "x");
    server.create("b", "x");
    server.move_to("a", "y");
    server.delete("b");
    server.prune(0..=31);
    let mut session = server.feed(json!({ "list": { "eq": "y" } }), Json::Null, Some("r"));
    let (rows, left, up_to_date, ..) = server.batch(&mut session).unwrap();
    assert_eq!((rows, left, up_to_date), (vec!["a".to_owned()], json!([]), true));
    server.move_to("a", "z");
    let (rows, left, ..) = server.batch(&mut session).unwrap();
    assert_eq!((rows, left), (vec![], json!([["a"]])));
}

/// Law: a cursor beyond the head says that the database was restored from a backup. The history gets a new identity, for
/// all: also sessions that are open begin again.
pub fn a_cursor_beyond_the_head_renews_the_history(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("a", "x");
    let old = server.epoch();
    let mut open = server.feed(Json::Null, server.at(1), Some("open"));
    server.batch(&mut open).unwrap();
    assert_eq!(server.batch(&mut open), None);
    let mut ahead = server.feed(Json::Null, json!(format!("{old}.9")), Some("ahead"));
    let (rows, _, up_to_date, reset, cursor) = server.batch(&mut ahead).unwrap();
    assert_eq!((rows, up_to_date, reset), (vec!["a".to_owned()], true, true));
    assert_ne!(server.epoch(), old);
    assert_eq!(json!(cursor), server.at(1));
    let (rows, _, up_to_date, reset, cursor) = server.batch(&mut open).unwrap();
    assert_eq!((rows, up_to_date, reset), (vec!["a".to_owned()], true, true));
    assert_eq!(json!(cursor), server.at(1));
    // Acknowledgements speak of the new one too.
    let document = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
    let input = json!({ "input": { "id": "b", "title": "t" } });
    let answer = server.ask(document, input, json!({ "replica": "r", "number": 1 }));
    assert_eq!(answer["extensions"]["tombolo"]["outcomes"][0]["cursor"], server.at(2));
    // Whoever comes with the old one, at whatever place, begins again.
    let mut late = server.feed(Json::Null, json!(format!("{old}.1")), Some("late"));
    assert!(server.batch(&mut late).unwrap().3);
}

/// Law: that is believed once, since a database goes back only while it is closed: cursors that somebody makes up do not
/// send every replica into a base sync again and again.
pub fn made_up_cursors_renew_the_history_once(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("a", "x");
    for _ in 0..2 {
        let mut made_up = server.feed(Json::Null, server.at(99), None);
        assert!(server.batch(&mut made_up).unwrap().3);
    }
    let once = server.epoch();
    let mut again = server.feed(Json::Null, server.at(99), None);
    let (rows, _, _, reset, _) = server.batch(&mut again).unwrap();
    assert_eq!((rows, reset), (vec!["a".to_owned()], true));
    assert_eq!(server.epoch(), once);
}
