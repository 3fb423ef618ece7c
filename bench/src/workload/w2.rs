//! W2: from one replica's mutation to another one's live query.
//!
//! Limit: the same bytes through a WebSocket relay, with the three commits that the promises ask for.

use super::Setting;
use crate::child;
use crate::error::Error;
use crate::limit::echo::{self, Commits};
use crate::limit::tables::Synchronous;
use crate::report::{Line, Unit};
use crate::stats::Spread;
use crate::worker::{Job, Lived};

/// A mutation's frame, as long as the product's.
const MUTATION: &str = r#"{"id":"m17","type":"subscribe","payload":{"query":"mutation($i0:UpdateNoteInput!){m0:updateNote(input:$i0){id _version _deleted _lastChangedAt}}","variables":{"i0":{"id":"live-0000000","text":"round 17","_version":17}},"extensions":{"tombolo":{"replica":"7b0b8b53-8d3e-4d0c-9a55-0a3c1c5f7a11","number":17,"seen":[16],"schema":"0f343b0931126a20f133d67c2b018a3b","settledThrough":15}}}}"#;

/// A change's frame, as long as the product's.
const CHANGE: &str = r#"{"id":"f1","type":"next","payload":{"data":{"tomboloChanges":{"model":"Note","cursor":"7b0b8b53-8d3e-4d0c-9a55-0a3c1c5f7a11.18","upToDate":true,"reset":false,"fields":["id","flightId","text","author","severity","done","createdAt","updatedAt","_version","_deleted","_lastChangedAt"],"rows":[["live-0000000","2013-01-01-UA-1545-EWR","round 17","live","CAUTION",false,"2026-01-01T00:00:00.000Z","2026-01-01T00:00:00.000Z",18,null,1767225600000]],"left":[]}}}}"#;

/// The commits of the promises: the intent is durable when the call returns, the server's before it answers; the
/// reader can fetch again what it loses.
const COMMITS: Commits = Commits {
    writer: Synchronous::Full,
    server: Synchronous::Full,
    reader: Synchronous::Normal,
};

/// Runs the workload.
pub(crate) async fn run(setting: &Setting) -> Result<Vec<Line>, Error> {
    let options = &setting.options;
    let server = setting.server("w2").await?;
    let (mut lived, mut calls, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut client_peak, mut server_peak) = (None, None);
    for run in 0..options.runs {
        let place = setting.place(&server, &format!("w2/{run}"))?;
        server.reset_peak();
        let result: Lived = child::work(&Job::Live {
            place,
            samples: options.samples,
        })?;
        lived.push(result.latency);
        calls.push(result.call);
        client_peak = client_peak.max(result.peak);
        server_peak = server_peak.max(server.peak());
        let times = echo::round(&setting.directory, MUTATION, CHANGE, options.samples, COMMITS).await?;
        limits.push(Spread::of(&times));
    }
    let (figure, call, limit) = (Spread::median(&lived), Spread::median(&calls), Spread::median(&limits));
    let limit_what = "echo of the bytes, a commit at writer, server and reader";
    Ok(vec![
        Line::new(
            "W2",
            format!("writer to live query, p50 of {}", options.samples),
            Unit::Seconds,
            figure.p50,
        )
        .against(limit_what, limit.p50)
        .memory(client_peak, server_peak),
        Line::new("W2", "the same, p99", Unit::Seconds, figure.p99).against("the same, p99", limit.p99),
        Line::new("W2", "of it, the writer's call, p50", Unit::Seconds, call.p50)
            .against("the whole of the limit", limit.p50),
    ])
}
