//! The conflict simulator on a sample app: a market stall whose sellers have no network under the roof.
//!
//! The app keeps the stock of its goods and a record of each sale, in one transaction. The first version of its schema
//! loses sales when two sellers are apart; the simulator finds that and prints the shortest story of it. The second version
//! differs by one directive.
//!
//! Run with `cargo run -p tombolo --example conflicts`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program to run: its output is what it is for.

use std::process::ExitCode;

use serde_json::{Value, json};
use tombolo::testing::{ConflictSimulator, Failure, Hand, Trouble, View};

/// As the app was first written.
const FIRST: &str = r#"
    type Item @model { id: ID!  name: String!  stock: Int!  shelf: String }
    type Sale @model { id: ID!  itemID: ID!  pieces: Int! }
"#;

/// As it should be: the stock is changed by each sale, not replaced.
const MENDED: &str = r#"
    type Item @model { id: ID!  name: String!  stock: Int! @merge(rule: COUNTER)  shelf: String }
    type Sale @model { id: ID!  itemID: ID!  pieces: Int! }
"#;

const DELIVERED: i64 = 100;

/// What a seller's tap on "sell" does: the app's own code, which never thought of a second seller.
fn sell(hand: &mut Hand<'_>) -> Result<(), Trouble> {
    let item = hand.query("{ getItem(id: \"cups\") { stock } }", Value::Null)?;
    let stock = item["getItem"]["stock"].as_i64().ok_or(Trouble::NotNow)?;
    let pieces = i64::try_from(hand.draw(1..4)).unwrap_or(1);
    hand.transaction(&[
        (
            "mutation($stock: Int!) { updateItem(input: { id: \"cups\", stock: $stock }) { stock } }",
            json!({ "stock": stock - pieces }),
        ),
        (
            "mutation($pieces: Int!) { createSale(input: { itemID: \"cups\", pieces: $pieces }) { id } }",
            json!({ "pieces": pieces }),
        ),
    ])
}

/// What a seller does between sales: of no harm, and not in the way of the story.
fn move_shelf(hand: &mut Hand<'_>) -> Result<(), Trouble> {
    let shelf = hand.pick(&["left", "right", "under the table"]).copied();
    hand.mutate(
        "mutation($shelf: String) { updateItem(input: { id: \"cups\", shelf: $shelf }) { shelf } }",
        json!({ "shelf": shelf }),
    )
}

/// The books: what was delivered is either here or sold.
fn books_balance(view: &mut View<'_>) -> Result<(), String> {
    let data = view.query(
        "{ getItem(id: \"cups\") { stock } listSales(limit: 1000) { items { pieces } } }",
        Value::Null,
    )?;
    let stock = data["getItem"]["stock"].as_i64().ok_or("there are no cups")?;
    let sales = data["listSales"]["items"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let sold: i64 = sales.iter().filter_map(|sale| sale["pieces"].as_i64()).sum();
    if stock + sold == DELIVERED {
        Ok(())
    } else {
        Err(format!(
            "{DELIVERED} were delivered, {sold} sold, and {stock} are in stock"
        ))
    }
}

fn stall(schema: &str) -> ConflictSimulator {
    ConflictSimulator::new(schema)
        .phones(3)
        .given(
            "mutation($stock: Int!) { createItem(input: { id: \"cups\", name: \"Cup\", stock: $stock }) { id } }",
            json!({ "stock": DELIVERED }),
        )
        .action("sell", sell)
        .action("move-shelf", move_shelf)
        .invariant("the books balance", books_balance)
}

fn main() -> ExitCode {
    match stall(FIRST).run(0..1_000) {
        Err(Failure::Found(found)) => println!("The first version:\n\n{found}"),
        Ok(_) => {
            eprintln!("the simulator did not find the lost sale");
            return ExitCode::FAILURE;
        }
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    }
    match stall(MENDED).run(0..200) {
        Ok(passed) => {
            println!(
                "The mended version: {} seeds, {} steps, {} mutations of which {} were merged; the books balance.",
                passed.seeds, passed.steps, passed.mutations, passed.merged
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("The mended version:\n\n{failure}");
            ExitCode::FAILURE
        }
    }
}
