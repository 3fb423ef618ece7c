//! What the conflict simulator promises of itself.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use tombolo_testing::{ConflictSimulator, Failure, Script};

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
