//! The bench itself works: every workload at its smallest size, with real processes. Counts are checked within; times mean
//! nothing here.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn a_poisoned_queue_settles_all_but_the_poison() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tombolo-bench"))
        .args(["--smoke", "--only", "poison", "--directory"])
        .arg(folder.path())
        .output()
        .unwrap();
    let (said, trouble) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{trouble}");
    assert!(
        said.contains("unrelated records: 50 settled, 10 undecidable and 0 that wait for them"),
        "{said}"
    );
}

#[test]
fn every_workload_runs_beside_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tombolo-bench"))
        .arg("--smoke")
        .arg("--directory")
        .arg(folder.path())
        .arg("--json")
        .arg(&report)
        .output()
        .unwrap();
    let (said, trouble) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{trouble}");
    assert!(
        said.contains("ratio") && said.contains("first sync of 2500 rows"),
        "{said}"
    );

    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let lines = report["lines"].as_array().unwrap();
    let workloads: BTreeSet<_> = lines.iter().map(|line| line["workload"].as_str().unwrap()).collect();
    assert_eq!(
        workloads,
        BTreeSet::from(["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8"])
    );
    // Mosquitto is beside them where there is one.
    let broker = !said.contains("no Mosquitto here");
    for line in lines {
        let limited = broker || !["W3", "W5"].contains(&line["workload"].as_str().unwrap());
        // What the other languages are held against stands alone.
        let limited = limited && !line["what"].as_str().unwrap().contains("plain Rust");
        for value in ["figure", "limit", "ratio"] {
            assert!(
                line[value].as_f64().unwrap() > 0.0 || (value != "figure" && !limited),
                "{line}"
            );
        }
    }
    if cfg!(target_os = "linux") {
        let peaks = lines
            .iter()
            .filter(|line| line["client_peak_bytes"].as_u64() > Some(1 << 20))
            .count();
        assert!(peaks >= 5, "{said}");
    }
}
