//! What CI plays: a bounded number of seeds, some of them twice, and every plan that once failed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use tombolo_sim::coverage::Coverage;
use tombolo_sim::{Plan, run};

/// Seeds that CI plays; more by hand with `cargo xtask sim --seeds N`.
const SEEDS: u64 = 200;

/// Operations of a plan, about.
const LENGTH: usize = 120;

fn play(seeds: impl Iterator<Item = u64>) {
    let (mut ops, mut steps) = (0, 0);
    for seed in seeds {
        let report = run(&Plan::generate(seed, LENGTH));
        assert!(
            report.violation.is_none(),
            "seed {seed} (`cargo xtask sim --from {seed} --seeds 1`): {report}"
        );
        ops += report.ops;
        steps += report.steps;
    }
    println!("{ops} operations, {steps} steps");
}

#[test]
fn even_seeds_keep_every_law() {
    play((0..SEEDS).filter(|seed| seed % 2 == 0));
}

#[test]
fn odd_seeds_keep_every_law() {
    play((0..SEEDS).filter(|seed| seed % 2 == 1));
}

#[test]
fn the_same_plan_gives_the_same_effects() {
    for seed in 0..10 {
        let plan = Plan::generate(seed, LENGTH);
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
}

#[test]
fn worlds_are_unkind_enough() {
    let mut counts = std::collections::BTreeMap::new();
    let mut coverage = Coverage::default();
    let (mut ops, mut skipped) = (0, 0);
    for seed in 0..100 {
        let report = run(&Plan::generate(seed, LENGTH));
        for ((_, name), count) in report.counts {
            *counts.entry(name).or_insert(0) += count;
        }
        coverage.add(&report.coverage);
        ops += report.ops;
        skipped += report.skipped;
    }
    for name in [
        "MQTT: device given up",
        "MQTT: message to a replica doubled",
        "MQTT: request came after its link's end",
        "MQTT: request doubled",
        "answer doubled",
        "app killed after commit",
        "app killed before commit",
        "applied",
        "batches applied",
        "clock on the wall set",
        "discarded",
        "edit refused: on its way",
        "edited and retried",
        "feeds refused",
        "identities renewed",
        "left undecided",
        "link delayed",
        "link dropped",
        "link refused: unauthorized",
        "link's words came late",
        "links found silent",
        "merged",
        "message cut",
        "message refused: unauthorized",
        "messages lost",
        "mutation poisoned",
        "mutations renumbered",
        "queries compared",
        "quiesced",
        "refused: number used",
        "rejected",
        "replica joined",
        "replica met a full disk",
        "replica went offline",
        "replica's commit fails",
        "replica's disk full",
        "replica's file restored",
        "request doubled",
        "resent and answered as before",
        "resolver does not answer",
        "resolver rejects",
        "resolver removes",
        "resolver resolves",
        "resolver talks nonsense",
        "scope changed",
        "scope removed",
        "scope revoked",
        "server killed",
        "server's commit fails",
        "server's database restored",
        "server's read fails",
        "token asked for",
        "token expired",
        "transport switched",
        "transport switched in mid-queue",
        "wedged",
    ] {
        assert!(
            counts.get(name).is_some_and(|count| *count > 0),
            "`{name}` never happened: {counts:?}"
        );
    }
    assert!(coverage.never().len() < 60, "{coverage}");
    assert!(
        skipped * 3 < ops,
        "{skipped} operations did not apply, {ops} did: the generator has lost touch"
    );
}

#[test]
fn plans_that_once_failed_keep_every_law() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "plan") {
            let plan: Plan = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            let report = run(&plan);
            assert!(report.violation.is_none(), "{}: {report}", path.display());
        }
    }
}
