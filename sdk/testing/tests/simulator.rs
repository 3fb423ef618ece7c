//! What the conflict simulator promises of itself.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use tombolo_testing::{Conflict, ConflictSimulator, Failure, Resolution, Script};

const SHOP: &str = "type Item @model { id: ID! stock: Int! note: String }";

/// A shop that writes the stock it computed from what the phone showed: sales made apart are lost.
fn shop() -> ConflictSimulator {
    ConflictSimulator::new(SHOP)
        .given(
            "mutation { createItem(input: { id: \"1\", stock: 100 }) { id } }",
            json!(null),
        )
        .action("sell", |hand| {
            let item = hand.query("{ getItem(id: \"1\") { stock } }", json!(null))?;
            let stock = item["getItem"]["stock"].as_i64().unwrap() - 1;
            let sell = "mutation($stock: Int!) { updateItem(input: { id: \"1\", stock: $stock }) { id } }";
            hand.mutate(sell, json!({ "stock": stock }))
        })
        .action("remark", |hand| {
            let note = format!("remark {}", hand.draw(0..100));
            let remark = "mutation($note: String!) { updateItem(input: { id: \"1\", note: $note }) { id } }";
            hand.mutate(remark, json!({ "note": note }))
        })
        .invariant("stock is what was not sold", |view| {
            let item = view.query("{ getItem(id: \"1\") { stock } }", json!(null))?;
            let (stock, sold) = (item["getItem"]["stock"].as_u64().unwrap(), view.accepted("sell") as u64);
            (stock + sold == 100)
                .then_some(())
                .ok_or_else(|| format!("{sold} of 100 were sold, {stock} are left"))
        })
}

#[test]
fn a_lost_sale_is_found_and_shrunk_to_what_is_needed() {
    let Failure::Found(found) = shop().run(0..100).unwrap_err() else {
        panic!("not found")
    };
    assert_eq!(found.invariant, "stock is what was not sold");
    // Two sales on two phones that have not heard of each other; a remark has no part in it.
    let text = found.to_string();
    assert_eq!(found.script.0.len(), 2, "{text}");
    assert!(text.contains("does sell") && !text.contains("does remark"), "{text}");
    assert!(text.contains("in the end: applied as sent"), "{text}");

    // The script alone finds it again, and the same seed finds the same.
    let again = shop().replay(&found.script.to_string()).unwrap_err();
    assert!(matches!(again, Failure::Found(again) if again.says == found.says));
    let Failure::Found(twice) = shop().run(0..100).unwrap_err() else {
        panic!("not found")
    };
    assert_eq!(twice.to_string(), text);
}

#[test]
fn what_holds_passes_and_says_how_much_was_tried() {
    let passed = ConflictSimulator::new(SHOP)
        .given(
            "mutation { createItem(input: { id: \"1\", stock: 1 }) { id } }",
            json!(null),
        )
        .action("remark", |hand| {
            let note = format!("remark {}", hand.draw(0..100));
            let remark = "mutation($note: String!) { updateItem(input: { id: \"1\", note: $note }) { id } }";
            hand.mutate(remark, json!({ "note": note }))
        })
        .invariant("all phones show the server's remark", |view| {
            let item = view.query("{ getItem(id: \"1\") { note stock } }", json!(null))?;
            (item["getItem"]["stock"] == 1)
                .then_some(())
                .ok_or_else(|| item.to_string())
        })
        .check(0..30);
    assert_eq!(passed.seeds, 30);
    assert!(passed.mutations > 100 && passed.merged > 0, "{passed:?}");
}

#[test]
fn mistakes_of_the_test_are_told_by_their_place() {
    let wrong = ConflictSimulator::new("type Item @model { id: ID! stock: Nonsense }").run(0..1);
    assert!(wrong.unwrap_err().to_string().contains("schema.graphql:1:"));
    let wrong = ConflictSimulator::new(SHOP)
        .given("mutation { nonsense }", json!(null))
        .run(0..1);
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .starts_with("given: mutation { nonsense }")
    );
    let wrong = shop().replay("phone-a does nothing draw=1").unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "there is no action `nothing`; give it with `action` before `replay`"
    );
    let wrong = shop().replay("phone-a dances").unwrap_err();
    assert!(wrong.to_string().starts_with("line 1: `phone-a dances` is no step"));
    assert_eq!("all sync\n".parse::<Script>().unwrap().to_string(), "all sync\n");
}

#[test]
fn the_story_tells_which_rule_decided_on_each_field_and_what_was_dropped() {
    // Both remark, and the second one's remark is not taken.
    let script = "phone-a does remark draw=1\nphone-b does remark draw=2\nall sync\n";
    let strict = shop().invariant("no remark is lost", |view| match view.accepted("remark") {
        2 => Err("two were accepted, one is there".to_owned()),
        _ => Ok(()),
    });
    let story = strict.replay(script).unwrap_err().to_string();
    assert!(
        story.contains("in the end: merged with a change that it had not seen, by AUTOMERGE\n"),
        "{story}"
    );
    assert!(story.contains("note by AUTOMERGE_SCALAR: server "), "{story}");
    assert!(story.contains("(dropped what was sent)"), "{story}");
}

/// A model whose every conflict goes to the resolver.
fn asked(resolve: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static) -> ConflictSimulator {
    ConflictSimulator::new("type Item @model(conflict: CUSTOM) { id: ID! note: String }")
        .resolver(resolve)
        .given(
            "mutation { createItem(input: { id: \"1\", note: \"\" }) { id } }",
            json!(null),
        )
        .action("append", |hand| {
            let item = hand.query("{ getItem(id: \"1\") { note } }", json!(null))?;
            let note = format!(
                "{}{}",
                item["getItem"]["note"].as_str().unwrap_or_default(),
                hand.phone()
            );
            let append = "mutation($note: String) { updateItem(input: { id: \"1\", note: $note }) { id } }";
            hand.mutate(append, json!({ "note": note }))
        })
        .invariant("what was accepted is in the note", |view| {
            let item = view.query("{ getItem(id: \"1\") { note } }", json!(null))?;
            let note = item["getItem"]["note"].as_str().unwrap_or_default().to_owned();
            if note.len() == view.accepted("append") {
                Ok(())
            } else {
                Err(format!("{} were accepted: {note}", view.accepted("append")))
            }
        })
}

#[test]
fn a_resolver_that_merges_keeps_what_one_that_takes_sides_loses() {
    let both = asked(|conflict| {
        let text = |of: &serde_json::Value| of.as_str().unwrap_or_default().to_owned();
        let base = text(&conflict.base.as_ref().unwrap()["note"]);
        let (server, incoming) = (text(&conflict.server["note"]), text(&conflict.incoming["note"]));
        Resolution::Resolve(json!({ "note": format!("{server}{}", incoming.strip_prefix(&base).unwrap()) }))
    });
    let passed = both.check(0..40);
    assert!(passed.merged > 20, "{passed:?}");
    assert_eq!(both.run(0..40).unwrap(), passed, "one seed, one result");

    let one = asked(|conflict| Resolution::Resolve(json!({ "note": conflict.incoming["note"] })));
    let story = one.run(0..40).unwrap_err().to_string();
    assert!(story.contains("note by CUSTOM: was \"\", server "), "{story}");
    assert!(story.contains("(dropped the server's)"), "{story}");
    let refused = asked(|_| Resolution::Reject("no".into())).check(0..40);
    assert!(refused.rejected > 0 && refused.merged == 0, "{refused:?}");
}

#[test]
fn a_schema_that_asks_for_a_resolver_is_not_played_without_one() {
    let wrong = ConflictSimulator::new("type Item @model { id: ID! note: String @merge(rule: CUSTOM) }").run(0..1);
    let words = wrong.unwrap_err().to_string();
    assert!(
        words.starts_with("Item.note asks for a conflict resolver (CUSTOM)"),
        "{words}"
    );
}
