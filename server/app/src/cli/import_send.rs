//! One block of records to its end: as one atomic request, and record by record where that is refused. The scheme stands
//! in the page of `import`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::{MutationEnvelope, MutationOutcome, OutcomeKind};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use super::api::CreateApi;
use super::import::{BATCH_BYTES_MAX, Block, BlockEnd, PATIENCE};
use super::import_ledger::Rejection;
use super::import_read::Content;
use super::output::Failure;
use super::remote::{Remote, RemoteError, Reply};

/// Single records of one block in flight at once; with eight blocks 64 requests, which fills a server's writer.
const SINGLES_IN_FLIGHT: usize = 8;

/// First wait before a request is sent again; doubled each time.
const RETRY_MIN: Duration = Duration::from_millis(200);

/// Longest wait before a request is sent again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The code of a record that was refused here and never sent.
const INVALID_RECORD: &str = "InvalidRecord";

/// Sends the blocks of one import.
pub(super) struct Sender {
    remote: Remote,
    api: CreateApi,
    replica: ReplicaId,
    singles: ReplicaId,
    /// Records up to here are final on disk: the server may forget their outcomes.
    done: Arc<AtomicU64>,
    /// When the server last decided anything.
    heard: Mutex<Instant>,
    /// Documents by their number of root fields.
    documents: Mutex<HashMap<usize, Arc<str>>>,
}

/// What a request came to.
enum Decided {
    /// The outcome of each root field.
    Outcomes(Vec<MutationOutcome>),
    /// Refused as a whole, and sending it again would change nothing.
    Refused { code: String, reason: String },
}

#[derive(Serialize)]
struct Body<'a> {
    query: &'a str,
    variables: &'a serde_json::value::RawValue,
    extensions: Extensions<'a>,
}

#[derive(Serialize)]
struct Extensions<'a> {
    tombolo: &'a MutationEnvelope,
}

/// A good record, ready to be sent.
struct Ready<'a> {
    ordinal: u64,
    line: u64,
    input: &'a Map<String, Json>,
}

/// One request.
struct Post {
    body: Vec<u8>,
    /// Root fields in it.
    roots: usize,
    /// 0 to 99: how this one's waits differ from those of others that failed at the same time, in percent.
    spread: u32,
}

impl Sender {
    pub(super) fn new(remote: Remote, api: CreateApi, replica: &str, singles: &str, done: Arc<AtomicU64>) -> Self {
        Self {
            remote,
            api,
            replica: ReplicaId(replica.to_owned()),
            singles: ReplicaId(singles.to_owned()),
            done,
            heard: Mutex::new(Instant::now()),
            documents: Mutex::default(),
        }
    }

    /// Brings every record of a block to its end.
    ///
    /// # Errors
    /// The server was silent for [`PATIENCE`], refuses the credential or is none of ours. Nothing is lost: the block is
    /// sent again by the next run.
    pub(super) async fn send(&self, block: Block) -> Result<BlockEnd, Failure> {
        let mut end = BlockEnd {
            last: block.last,
            offset: block.offset,
            ..BlockEnd::default()
        };
        let mut ready = Vec::with_capacity(block.records.len());
        for record in &block.records {
            match &record.content {
                Content::Input(input) => ready.push(Ready {
                    ordinal: record.ordinal,
                    line: record.line,
                    input,
                }),
                Content::Tombstone => end.counts.skipped += 1,
                Content::Bad(why) => end.reject(record.ordinal, record.line, INVALID_RECORD, why),
            }
        }
        let whole = ready.len() == block.records.len() && ready.len() > 1 && block.bytes <= BATCH_BYTES_MAX;
        if whole {
            ready = self.batch(ready, &mut end).await?;
        }
        self.one_by_one(&ready, &mut end).await?;
        end.rejections.sort_by_key(|r| r.record);
        Ok(end)
    }

    /// Sends records as one atomic request. Gives back those that it did not create.
    async fn batch<'a>(&self, ready: Vec<Ready<'a>>, end: &mut BlockEnd) -> Result<Vec<Ready<'a>>, Failure> {
        match self.request(self.post(&self.replica, &ready)?).await? {
            Decided::Refused { .. } => Ok(ready),
            Decided::Outcomes(outcomes) => {
                let mut left = Vec::new();
                for (record, outcome) in ready.into_iter().zip(outcomes) {
                    match outcome.outcome {
                        OutcomeKind::Applied | OutcomeKind::Merged => end.counts.imported += 1,
                        OutcomeKind::Rejected => left.push(record),
                    }
                }
                Ok(left)
            }
        }
    }

    async fn one_by_one(&self, ready: &[Ready<'_>], end: &mut BlockEnd) -> Result<(), Failure> {
        // Records of one key go one after the other, as the file has them: the first is created, those behind it are
        // refused. Keys go side by side.
        let mut lanes = Vec::new();
        for lane in lanes_of(&self.api.key, ready) {
            let mut posts = Vec::with_capacity(lane.len());
            for record in lane {
                posts.push((record, self.post(&self.singles, std::slice::from_ref(record))?));
            }
            lanes.push(async move {
                let mut decided = Vec::with_capacity(posts.len());
                for (record, post) in posts {
                    decided.push((record, self.request(post).await?));
                }
                Ok::<_, Failure>(decided)
            });
        }
        let decided: Vec<Vec<(&Ready<'_>, Decided)>> = futures_util::stream::iter(lanes)
            .buffer_unordered(SINGLES_IN_FLIGHT)
            .try_collect()
            .await?;
        for (record, decided) in decided.into_iter().flatten() {
            match decided {
                Decided::Refused { code, reason } => end.reject(record.ordinal, record.line, &code, &reason),
                Decided::Outcomes(outcomes) => match outcomes.into_iter().next() {
                    Some(MutationOutcome {
                        outcome: OutcomeKind::Rejected,
                        reason,
                        ..
                    }) => {
                        let (code, why) = reason.map_or_else(Default::default, |r| (r.code.to_string(), r.message));
                        end.reject(record.ordinal, record.line, &code, &why);
                    }
                    _ => end.counts.imported += 1,
                },
            }
        }
        Ok(())
    }

    /// Sends one mutation until it is decided.
    async fn request(&self, post: Post) -> Result<Decided, Failure> {
        let mut wait = RETRY_MIN;
        loop {
            let why = match self.remote.post::<IgnoredAny>(post.body.clone()).await {
                Ok(reply) => match decide(reply, post.roots)? {
                    Ok(decided) => {
                        *self.heard() = Instant::now();
                        return Ok(decided);
                    }
                    Err(undecided) => undecided,
                },
                Err(RemoteError::Invalid { status, message }) => {
                    return Ok(Decided::Refused {
                        code: format!("Http{status}"),
                        reason: message,
                    });
                }
                Err(e) if e.may_pass() => e.to_string(),
                Err(e) => return Err(e.into()),
            };
            if self.heard().elapsed() + wait > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(Failure::network(format!(
                    "no decision from the server for {seconds} s: {why}"
                )));
            }
            // The records' own numbers spread the requests that failed together.
            tokio::time::sleep(wait * (post.spread + 50) / 100).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, replica: &ReplicaId, records: &[Ready<'_>]) -> Result<Post, Failure> {
        let spread = records
            .first()
            .and_then(|r| u32::try_from(r.ordinal % 100).ok())
            .unwrap_or(0);
        Ok(Post {
            body: self.body(replica, records)?,
            roots: records.len(),
            spread,
        })
    }

    fn body(&self, replica: &ReplicaId, records: &[Ready<'_>]) -> Result<Vec<u8>, Failure> {
        let envelope = MutationEnvelope {
            replica: replica.clone(),
            number: MutationNumber(records.first().map_or(0, |r| r.ordinal)),
            depends_on: Vec::new(),
            seen: Vec::new(),
            schema: String::new(),
            settled_through: self.done.load(Ordering::Relaxed),
            atomic: records.len() > 1,
            void: false,
            moved_from: vec![],
            base: None,
            resent: false,
        };
        let variables: Variables<'_> = Variables(records);
        let fail = |e: serde_json::Error| Failure::failed(e.to_string());
        let variables = serde_json::value::to_raw_value(&variables).map_err(fail)?;
        let body = Body {
            query: &self.document(records.len()),
            variables: &variables,
            extensions: Extensions { tombolo: &envelope },
        };
        serde_json::to_vec(&body).map_err(fail)
    }

    /// `mutation Import($r0: CreateXInput!, …) { r0: createX(input: $r0) { __typename } … }`; the same text for the same
    /// number of records, so that the server parses it once.
    fn document(&self, roots: usize) -> Arc<str> {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let text = documents.entry(roots).or_insert_with(|| {
            let (input, mutation) = (&self.api.input, &self.api.mutation);
            let variables: Vec<String> = (0..roots).map(|i| format!("$r{i}: {input}!")).collect();
            let fields: Vec<String> = (0..roots)
                .map(|i| format!("r{i}: {mutation}(input: $r{i}) {{ __typename }}"))
                .collect();
            format!("mutation Import({}) {{ {} }}", variables.join(", "), fields.join(" ")).into()
        });
        Arc::clone(text)
    }
}

/// Records by their key, each key's in the order of the file. Where the key is not known they are one lane.
fn lanes_of<'a, 'r>(key: &[String], ready: &'a [Ready<'r>]) -> Vec<Vec<&'a Ready<'r>>> {
    let mut lanes: Vec<Vec<&Ready<'_>>> = Vec::new();
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    for record in ready {
        // What the server takes for one: an id given as a number is its digits.
        let value = |field: &String| match record.input.get(field) {
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let place = *places.entry(key.iter().map(value).collect()).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        if let Some(lane) = lanes.get_mut(place) {
            lane.push(record);
        }
    }
    lanes
}

impl BlockEnd {
    fn reject(&mut self, record: u64, line: u64, code: &str, reason: &str) {
        self.counts.rejected += 1;
        self.rejections.push(Rejection {
            line,
            record,
            code: code.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

/// The variables of a request: `{"r0": {…}, "r1": {…}}`, written without a copy of the inputs.
struct Variables<'a>(&'a [Ready<'a>]);

impl Serialize for Variables<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().enumerate().map(|(i, r)| (format!("r{i}"), r.input)))
    }
}

/// What an answer says: decided, or (inner error) not yet and why. The outer error ends the import.
fn decide(reply: Reply<IgnoredAny>, roots: usize) -> Result<Result<Decided, String>, Failure> {
    let text = reply.error_text();
    if let Some(answer) = reply.extensions.and_then(|e| e.tombolo) {
        if answer.outcomes.len() == roots {
            return Ok(Ok(Decided::Outcomes(answer.outcomes)));
        }
        // A request refused before its fields were counted has one outcome for all.
        if let Some(MutationOutcome {
            outcome: OutcomeKind::Rejected,
            reason,
            ..
        }) = answer.outcomes.into_iter().next()
        {
            let (code, reason) = reason.map_or((String::new(), text), |r| (r.code.to_string(), r.message));
            return Ok(Ok(Decided::Refused { code, reason }));
        }
        return Ok(Err("an answer without outcomes".to_owned()));
    }
    let Some(error) = reply.errors.first() else {
        return Err(Failure::network(
            "the server gives no outcomes of mutations: it is no Tombolo server",
        ));
    };
    Ok(refusal(error)
        .map(|code| Decided::Refused {
            code,
            reason: text.clone(),
        })
        .ok_or(text))
}

/// The code of an error that no second try will cure; `None` if one may.
fn refusal(error: &GraphqlError) -> Option<String> {
    match error.error_type.as_ref()? {
        ErrorType::InternalFailure
        | ErrorType::UnknownSchema
        | ErrorType::UnauthorizedException
        | ErrorType::Other(_) => None,
        code @ (ErrorType::ConflictUnhandled
        | ErrorType::ConflictError
        | ErrorType::ConditionalCheckFailedException
        | ErrorType::Unauthorized
        | ErrorType::MalformedHttpRequestException
        | ErrorType::BadRequest
        | ErrorType::DependencyRejected
        | ErrorType::NumberReused
        | ErrorType::OutcomeForgotten
        | ErrorType::Discarded
        | ErrorType::SchemaChanged
        | ErrorType::ReplicaWrittenOff
        | ErrorType::UnsupportedOperation
        | ErrorType::LimitExceeded) => Some(code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> Reply<IgnoredAny> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn outcomes_decide() {
        let answer = r#"{"data":{"r0":null},"errors":[{"message":"no"}],"extensions":{"tombolo":{"outcomes":[
            {"number":1,"outcome":"rejected","reason":{"code":"BadRequest","message":"no"}},
            {"number":2,"outcome":"applied","cursor":"e.1"}]}}}"#;
        let Ok(Ok(Decided::Outcomes(outcomes))) = decide(reply(answer), 2) else {
            unreachable!()
        };
        assert_eq!(outcomes.len(), 2);
        let Ok(Ok(Decided::Refused { code, reason })) = decide(reply(answer), 3) else {
            unreachable!()
        };
        assert_eq!((code.as_str(), reason.as_str()), ("BadRequest", "no"));
    }

    #[test]
    fn a_server_fault_decides_nothing() {
        let fault = r#"{"data":null,"errors":[{"errorType":"InternalFailure","message":"disk"}]}"#;
        assert!(matches!(decide(reply(fault), 1), Ok(Err(why)) if why == "disk"));
        let limit = r#"{"data":null,"errors":[{"errorType":"LimitExceeded","message":"too long"}]}"#;
        assert!(matches!(decide(reply(limit), 1), Ok(Ok(Decided::Refused { .. }))));
        assert!(
            decide(reply(r#"{"data":{"r0":{}}}"#), 1).is_err(),
            "no outcomes at all: not our server"
        );
    }

    #[test]
    fn records_of_one_key_share_a_lane_in_the_order_of_the_file() {
        let inputs: Vec<Map<String, Json>> = [
            serde_json::json!({ "a": "x", "b": 1 }),
            serde_json::json!({ "a": "y", "b": 1 }),
            serde_json::json!({ "a": "x", "b": "1" }),
            serde_json::json!({ "a": "x", "b": 2 }),
        ]
        .into_iter()
        .map(|json| serde_json::from_value(json).unwrap())
        .collect();
        let ready: Vec<Ready<'_>> = inputs
            .iter()
            .zip(1..)
            .map(|(input, ordinal)| Ready {
                ordinal,
                line: ordinal,
                input,
            })
            .collect();
        let lanes = |key: &[&str]| -> Vec<Vec<u64>> {
            let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
            let lanes = lanes_of(&key, &ready);
            lanes
                .iter()
                .map(|lane| lane.iter().map(|r| r.ordinal).collect())
                .collect()
        };
        assert_eq!(lanes(&["a", "b"]), [vec![1, 3], vec![2], vec![4]]);
        assert_eq!(lanes(&["a"]), [vec![1, 3, 4], vec![2]]);
        assert_eq!(lanes(&[]), [vec![1, 2, 3, 4]], "no key is known: all in order");
    }

    #[test]
    fn requests_carry_consecutive_numbers_and_one_text_for_each_size() {
        let api = super::super::api::tests::things().create("Thing").unwrap();
        let args = super::super::remote::ServerArgs {
            url: "http://127.0.0.1:1/graphql".into(),
            api_key: None,
            token: None,
            ca: None,
        };
        let remote = Remote::new(&args).unwrap();
        let sender = Sender::new(remote, api, "batches", "singles", Arc::new(AtomicU64::new(4)));
        let mut input = Map::new();
        input.insert("name".into(), Json::from("a"));
        let ready = [
            Ready {
                ordinal: 5,
                line: 6,
                input: &input,
            },
            Ready {
                ordinal: 6,
                line: 7,
                input: &input,
            },
        ];
        let body: Json = serde_json::from_slice(&sender.body(&sender.replica, &ready).unwrap()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "query": "mutation Import($r0: CreateThingInput!, $r1: CreateThingInput!) { \
                    r0: addThing(input: $r0) { __typename } r1: addThing(input: $r1) { __typename } }",
                "variables": { "r0": { "name": "a" }, "r1": { "name": "a" } },
                "extensions": { "tombolo": {
                    "replica": "batches", "number": 5, "settledThrough": 4, "atomic": true } },
            })
        );
        let one: Json = serde_json::from_slice(&sender.body(&sender.singles, &ready[..1]).unwrap()).unwrap();
        assert_eq!(one.pointer("/extensions/tombolo/atomic"), None);
        assert!(Arc::ptr_eq(&sender.document(2), &sender.document(2)));
    }
}
