//! The short version, with each build. The long one: `cargo xtask torture --rounds 300`.

use std::path::Path;

use tombolo_torture::run::{Settings, run};

/// Kills each way: some ten seconds.
const ROUNDS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_sigkill_on_either_side_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        rounds: ROUNDS,
        seed: 1,
        phones: 3,
        server: tombolo_e2e::process::binary().to_owned(),
        phone: Path::new(env!("CARGO_BIN_EXE_tombolo-torture")).to_owned(),
        folder: folder.path().to_owned(),
    };
    let outcome = run(settings).await;
    let outcome = outcome.unwrap_or_else(|words| panic!("{words}; the files are in {}", folder.keep().display()));
    println!("{outcome}");
    assert_eq!((outcome.server_kills, outcome.phone_kills), (ROUNDS, ROUNDS));
    assert!(
        outcome.verdict.applied > 0 && outcome.phone_kills_at_work > 0,
        "nothing was done:\n{outcome}"
    );
    assert!(outcome.is_good(), "{outcome}");
}
