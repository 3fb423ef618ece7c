//! `tombolo conflicts`: what a server merged and rejected, for people: which fields were in conflict, which rule decided,
//! and what was given up.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::output::{Exit, Failure, Outcome, json_line, say, stdout_bytes};
use super::remote::{Remote, Reply, ServerArgs};

/// What the command takes.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  tombolo conflicts --url http://127.0.0.1:4000/graphql --api-key dev-key\n",
    "  tombolo conflicts --url … --model Note --outcome rejected --limit 200\n",
    "  tombolo conflicts --url … --json | jq .payload       the whole of each, one a line"
))]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Only this model's
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only those that ended so
    #[arg(long, value_name = "OUTCOME", value_parser = ["merged", "rejected"])]
    outcome: Option<String>,
    /// Only this replica's
    #[arg(long, value_name = "ID")]
    replica: Option<String>,
    /// Most of them, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print each as a line of JSON
    #[arg(long)]
    json: bool,
}

const QUERY: &str = "query Conflicts($model: String, $replica: ID, $outcome: String, $limit: Int, $token: String) { \
    tomboloConflicts(model: $model, replica: $replica, outcome: $outcome, limit: $limit, nextToken: $token) { \
      items { id at replica number author model key kind outcome code message strategy \
        fields { field rule base server incoming result } payload position } nextToken } }";

/// Most of one request: a server gives no more in a page.
const PAGE: u32 = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    tombolo_conflicts: Option<Page>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Json>,
    next_token: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The arguments or the server.
pub async fn run(args: Args) -> Outcome {
    let remote = Remote::new(&args.server)?;
    let (mut left, mut token, mut shown) = (args.limit, None::<String>, 0_u32);
    while left > 0 {
        let variables = json!({
            "model": args.model, "replica": args.replica, "outcome": args.outcome,
            "limit": left.min(PAGE), "token": token,
        });
        let body = json!({ "query": QUERY, "variables": variables }).to_string();
        let reply: Reply<Data> = remote.post(body).await?;
        let text = reply.error_text();
        let Some(page) = reply.data.and_then(|data| data.tombolo_conflicts) else {
            return Err(Failure::failed(format!("the server refused: {text}")));
        };
        let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        for conflict in &page.items {
            if args.json {
                json_line(conflict)?;
            } else {
                stdout_bytes(for_people(conflict).as_bytes())?;
            }
        }
        shown += count;
        left = left.saturating_sub(count);
        token = page.next_token;
        if token.is_none() || count == 0 {
            break;
        }
    }
    if shown == 0 {
        say("no conflicts");
    } else if token.is_some() && !args.json {
        say(&format!("{shown} shown, there are more: --limit N"));
    }
    Ok(Exit::Done)
}

/// One conflict as a few lines.
fn for_people(conflict: &Json) -> String {
    let text = |key: &str| conflict[key].as_str().unwrap_or_default();
    let moment = conflict["at"]
        .as_i64()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = moment.map_or_else(String::new, |at| format!("{at:.3}"));
    let key = match conflict["key"].as_array().map(Vec::as_slice) {
        Some([Json::String(only)]) => only.clone(),
        Some([only]) => only.to_string(),
        Some(several) => Json::from(several.to_vec()).to_string(),
        None => String::new(),
    };
    let of = match conflict["replica"].as_str() {
        Some(replica) => format!("  by {replica} #{}", conflict["number"]),
        None => String::new(),
    };
    let mut out = String::new();
    let line = [
        at.as_str(),
        text("outcome"),
        text("kind"),
        text("model"),
        &key,
        text("strategy"),
    ];
    let line: Vec<&str> = line.into_iter().filter(|word| !word.is_empty()).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}{of}", line.join("  "));
    if !text("code").is_empty() {
        let _ = writeln!(out, "    {}: {}", text("code"), text("message"));
    }
    for field in conflict["fields"].as_array().into_iter().flatten() {
        let base = match &field["base"] {
            Json::Null => String::new(),
            base => format!("was {base}, "),
        };
        let _ = writeln!(
            out,
            "    {} by {}: {base}server {}, sent {} -> {}",
            field["field"].as_str().unwrap_or_default(),
            field["rule"].as_str().unwrap_or_default(),
            field["server"],
            field["incoming"],
            field["result"],
        );
    }
    if text("outcome") == "rejected" {
        let _ = writeln!(out, "    sent: {}", conflict["payload"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_told_in_a_few_lines() {
        let merged = json!({
            "at": 1_767_225_600_000_i64, "replica": "r1", "number": 3, "model": "Todo", "key": ["a"], "kind": "update",
            "outcome": "merged", "strategy": "AUTOMERGE", "payload": {},
            "fields": [{ "field": "title", "rule": "AUTOMERGE_SCALAR", "base": "one", "server": "two",
                         "incoming": "three", "result": "two" }],
        });
        assert_eq!(
            for_people(&merged),
            "2026-01-01T00:00:00.000Z  merged  update  Todo  a  AUTOMERGE  by r1 #3\n    title by AUTOMERGE_SCALAR: was \
             \"one\", server \"two\", sent \"three\" -> \"two\"\n"
        );
        let rejected = json!({
            "at": 0, "model": "Line", "key": ["o", 2], "kind": "create", "outcome": "rejected", "fields": [],
            "code": "BadRequest", "message": "no", "payload": { "values": { "a": 1 } },
        });
        assert_eq!(
            for_people(&rejected),
            "1970-01-01T00:00:00.000Z  rejected  create  Line  [\"o\",2]\n    BadRequest: no\n    sent: \
             {\"values\":{\"a\":1}}\n"
        );
    }
}
