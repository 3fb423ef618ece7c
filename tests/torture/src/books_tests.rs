//! Each rule of the books, shown to go red.

use serde_json::json;

use super::*;

/// Books that are right: two phones, each kind of call.
fn right() -> (Tables, Vec<Phone>) {
    let row = |value: Json| value.as_object().unwrap().clone().into_iter().collect::<Row>();
    let log = |id: &str, seq: i64, version: i64, deleted: i64| {
        (
            id.to_owned(),
            row(json!({ "id": id, "seq": seq, "_version": version, "_deleted": deleted })),
        )
    };
    let server: Tables = [
        (
            "Log".to_owned(),
            [
                log("p-1", 1, 1, 0),
                log("p-2", 2, 2, 1),
                log("p-4-a", 4, 1, 0),
                log("p-4-b", 4, 1, 0),
            ]
            .into(),
        ),
        ("Cell".to_owned(), [log("p-cell", 6, 2, 0)].into()),
        (
            "Seat".to_owned(),
            [(
                "s".to_owned(),
                row(json!({ "id": "s", "holder": "q-1", "_version": 2, "_deleted": 0 })),
            )]
            .into(),
        ),
        (
            "Claim".to_owned(),
            [(
                "c".to_owned(),
                row(json!({ "id": "c", "by": "q", "_version": 1, "_deleted": 0 })),
            )]
            .into(),
        ),
        (
            "Tally".to_owned(),
            [(
                "t".to_owned(),
                row(json!({ "id": "t", "hits": 5, "last": "q-3", "_version": 3, "_deleted": 0 })),
            )]
            .into(),
        ),
    ]
    .into();
    let call = |n, op, numbers: &[u64]| Call {
        n,
        op,
        fate: Fate::Acknowledged(numbers.to_vec()),
    };
    let create = |id: &str| Op::Create { id: id.to_owned() };
    let rejected = |number, model: &str, code: &str| Entry {
        number,
        model: model.to_owned(),
        state: "rejected".to_owned(),
        reason: Some("words".to_owned()),
        reason_code: Some(code.to_owned()),
    };
    let cell = || Op::Cell {
        id: "p-cell".to_owned(),
    };
    let seat = |holder: &str| Op::Seat {
        id: "s".to_owned(),
        holder: holder.to_owned(),
    };
    let claim = || Op::Claim { id: "c".to_owned() };
    let add = |by, last: &str| Op::Add {
        id: "t".to_owned(),
        by,
        last: last.to_owned(),
    };
    let p = Phone {
        name: "p".to_owned(),
        calls: vec![
            call(1, create("p-1"), &[1]),
            call(2, create("p-2"), &[2]),
            call(3, Op::Delete { id: "p-2".to_owned() }, &[3]),
            call(
                4,
                Op::Pair {
                    ids: ["p-4-a".to_owned(), "p-4-b".to_owned()],
                },
                &[4, 5],
            ),
            call(5, cell(), &[6]),
            call(6, cell(), &[7]),
            call(7, seat("p-7"), &[8]),
            call(8, claim(), &[9]),
            call(9, add(3, "p-9"), &[10]),
        ],
        outbox: vec![
            rejected(8, "Seat", "ConflictUnhandled"),
            rejected(9, "Claim", "ConditionalCheckFailedException"),
        ],
        tables: server.clone(),
    };
    let q = Phone {
        name: "q".to_owned(),
        calls: vec![
            call(1, seat("q-1"), &[1]),
            call(2, claim(), &[2]),
            call(3, add(2, "q-3"), &[3]),
        ],
        outbox: Vec::new(),
        tables: server.clone(),
    };
    (server, vec![p, q])
}

/// What is found when the books are falsified; both replicas follow the server.
fn found(falsify: impl FnOnce(&mut Tables, &mut Vec<Phone>)) -> Vec<Damage> {
    let (mut server, mut phones) = right();
    falsify(&mut server, &mut phones);
    for phone in &mut phones {
        phone.tables.clone_from(&server);
    }
    let mut damages: Vec<Damage> = check(&server, &phones)
        .findings
        .iter()
        .map(|finding| finding.damage)
        .collect();
    damages.dedup();
    damages
}

fn set(server: &mut Tables, model: &str, id: &str, column: &str, value: Json) {
    let row = server.get_mut(model).unwrap().get_mut(id).unwrap();
    row.insert(column.to_owned(), value);
}

#[test]
fn books_that_are_right_have_no_findings() {
    let (server, phones) = right();
    let verdict = check(&server, &phones);
    assert_eq!(verdict.findings, []);
    assert_eq!(
        (verdict.calls, verdict.acknowledged, verdict.applied, verdict.folded),
        (12, 13, 11, 0)
    );
    assert_eq!(verdict.rejected.values().sum::<u64>(), 2);
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_lost() {
    for (model, id) in [
        ("Log", "p-1"),
        ("Cell", "p-cell"),
        ("Claim", "c"),
        ("Seat", "s"),
        ("Tally", "t"),
    ] {
        let damages = found(|server, _| drop(server.get_mut(model).unwrap().remove(id)));
        assert_eq!(damages, [Damage::Lost], "{id}");
    }
    assert_eq!(found(|s, _| set(s, "Log", "p-2", "_deleted", json!(0))), [Damage::Lost]);
    assert_eq!(
        found(|s, _| set(s, "Cell", "p-cell", "_version", json!(1))),
        [Damage::Lost]
    );
    assert_eq!(found(|s, _| set(s, "Seat", "s", "_version", json!(1))), [Damage::Lost]);
}

#[test]
fn what_the_outbox_still_holds_without_an_end_or_a_reason_is_lost() {
    assert_eq!(found(|_, p| p[0].outbox[0].state = "queued".to_owned()), [Damage::Lost]);
    assert_eq!(found(|_, p| p[0].outbox[0].reason = None), [Damage::Lost]);
}

#[test]
fn a_version_too_many_is_doubled() {
    for (model, id) in [
        ("Log", "p-1"),
        ("Log", "p-2"),
        ("Cell", "p-cell"),
        ("Seat", "s"),
        ("Claim", "c"),
    ] {
        let damages = found(|server, _| set(server, model, id, "_version", json!(9)));
        assert_eq!(damages, [Damage::Doubled], "{id}");
    }
    // The second of two sends of one create would meet the first.
    let met_itself = |_: &mut Tables, p: &mut Vec<Phone>| {
        let mut entry = p[0].outbox[1].clone();
        entry.number = 1;
        p[0].outbox.push(entry);
    };
    assert_eq!(found(met_itself), [Damage::Doubled]);
}

#[test]
fn what_was_added_is_there_once() {
    for (hits, damage) in [(4, Damage::Lost), (2, Damage::Lost), (8, Damage::Doubled)] {
        assert_eq!(
            found(|s, _| set(s, "Tally", "t", "hits", json!(hits))),
            [damage],
            "{hits}"
        );
    }
    let unknown = |hits: i64| {
        found(|server, p| {
            p[0].calls[8].fate = Fate::Unknown;
            set(server, "Tally", "t", "hits", json!(hits));
        })
    };
    assert_eq!((unknown(2), unknown(5)), (vec![], vec![]));
    assert_eq!(unknown(8), [Damage::Doubled]);
}

#[test]
fn two_winners_are_doubled_and_a_winner_without_its_claim_is_lost() {
    assert_eq!(found(|_, p| drop(p[0].outbox.pop())), [Damage::Doubled]);
    assert_eq!(found(|s, _| set(s, "Claim", "c", "by", json!("p"))), [Damage::Lost]);
}

#[test]
fn an_earlier_number_over_a_later_one_is_reordered() {
    assert_eq!(
        found(|s, _| set(s, "Cell", "p-cell", "seq", json!(5))),
        [Damage::Reordered]
    );
}

#[test]
fn a_folded_mutation_has_the_effect_of_the_one_that_took_it_in() {
    let fold = |server: &mut Tables, p: &mut Vec<Phone>| {
        p[0].calls[5].fate = Fate::Acknowledged(vec![6]);
        set(server, "Cell", "p-cell", "_version", json!(1));
    };
    assert_eq!(found(fold), []);
}

#[test]
fn a_call_of_unknown_fate_may_have_happened_or_not() {
    let unknown = |version: i64, seq: i64| {
        found(|server, p| {
            p[0].calls[5].fate = Fate::Unknown;
            set(server, "Cell", "p-cell", "_version", json!(version));
            set(server, "Cell", "p-cell", "seq", json!(seq));
        })
    };
    assert_eq!(unknown(1, 5), []);
    assert_eq!(unknown(2, 6), []);
    assert_eq!(unknown(3, 6), [Damage::Doubled]);
}

#[test]
fn half_a_transaction_and_what_nobody_made_are_found() {
    let half = |server: &mut Tables, p: &mut Vec<Phone>| {
        p[0].calls[3].fate = Fate::Unknown;
        server.get_mut("Log").unwrap().remove("p-4-b");
    };
    assert_eq!(found(half), [Damage::Other]);
    assert_eq!(found(|_, p| drop(p[0].calls.remove(0))), [Damage::Other]);
    assert_eq!(
        found(|s, _| set(s, "Seat", "s", "holder", json!("p-7"))),
        [Damage::Other]
    );
}

#[test]
fn a_replica_that_differs_is_unequal() {
    let (server, mut phones) = right();
    set(&mut phones[1].tables, "Log", "p-1", "seq", json!(2));
    let verdict = check(&server, &phones);
    assert_eq!(verdict.count(Damage::Unequal), 1);
    assert_eq!(verdict.findings.len(), 1);
}
