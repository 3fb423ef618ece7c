//! Settling a request's conflicts: every question that is known is asked at once, and what was answered is kept.
//!
//! A request whose questions are not all answered in time is left undecided, and its replica sends it again. The answers
//! that did come are kept until then, by the mutation, the version of the record that was shown and all else that was asked, so
//! that each time fewer are left to ask. They are an economy, not a promise: a restart forgets them, and what is too much to be
//! kept is asked again. So how far a request has come is noted too (`reached`): one that comes no further is not to be asked
//! about for ever.

mod reached;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use tokio::time::Instant;
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_core::wire::envelope::MutationEnvelope;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_engine::decide::ask::{Question, Resolution};
use tombolo_engine::{StoreError, Submission, Undecided, Verdict};

use crate::outbound::NotFetched;
use crate::resolver::{NoAnswer, RESOLVER_PARALLEL_MAX, RESOLVER_REACHED_MAX, RESOLVER_ROUNDS_MAX, Resolver};
use crate::writer::Writer;
use reached::Reached;

/// Asks the resolver until the submission is decided, or as long as that makes sense, at the latest until `deadline`.
pub(crate) async fn resolve(
    deadline: Instant,
    schema: &Schema,
    writer: &Writer,
    resolver: &Resolver,
    mut submission: Submission,
    mut questions: Vec<Question>,
) -> Result<Verdict, StoreError> {
    let envelope = submission.envelope.clone();
    let mut rounds: BTreeMap<usize, u32> = BTreeMap::new();
    // The places whose newest question is answered.
    let mut answered: BTreeSet<usize> = BTreeSet::new();
    loop {
        let restless = |question: &Question| {
            answered.remove(&question.place);
            let round = rounds.entry(question.place).or_default();
            *round += 1;
            *round > RESOLVER_ROUNDS_MAX
        };
        if questions.iter().map(restless).fold(false, |any, one| any | one) {
            let progress = resolver.further(envelope.as_ref(), answered.len());
            return Ok(unresolved(schema, &questions, &NoAnswer::Restless, progress));
        }
        let asking = Asking {
            schema,
            resolver,
            submission: &submission,
            deadline,
        };
        let round = asking.all(&questions).await;
        for resolution in round.resolutions {
            answered.insert(resolution.place);
            submission.context.resolve(resolution);
        }
        if let Some(error) = round.missing {
            let progress = resolver.further(envelope.as_ref(), answered.len());
            return Ok(unresolved(schema, &questions, &error, progress));
        }
        let decided = writer.submit(submission.clone()).await?;
        let mut verdict = decided.await.map_err(|_| StoreError::Closed)??;
        if verdict.ask.is_empty() {
            if let Some(envelope) = &envelope {
                resolver.kept().forget(&envelope.replica, envelope.number.0);
            }
            return Ok(verdict);
        }
        questions = std::mem::take(&mut verdict.ask);
    }
}

/// `progress`: the request has come further than ever before.
fn unresolved(schema: &Schema, questions: &[Question], error: &NoAnswer, progress: bool) -> Verdict {
    let models = questions
        .iter()
        .map(|question| schema.model(question.model).name.as_str());
    let models: BTreeSet<_> = models.collect();
    tracing::warn!(?models, %error, "a conflict is not resolved; its mutation is to be sent again");
    Verdict {
        undecided: Some(Undecided {
            code: ErrorType::InternalFailure,
            message: format!("{error}; nothing was decided, send it again later"),
            // A record that moves on too fast will be at rest some time, and what comes further each time will reach its end,
            // for its places are counted. All else counts as a try, so that after the bound of tries the replica shows
            // the mutation as wedged and others take its place.
            retry: match error {
                NoAnswer::Restless => true,
                NoAnswer::Late => progress,
                NoAnswer::Nobody(_) | NoAnswer::Fetch(_) => false,
            },
        }),
        ..Verdict::default()
    }
}

/// One round.
struct Asking<'a> {
    schema: &'a Schema,
    resolver: &'a Resolver,
    submission: &'a Submission,
    deadline: Instant,
}

#[derive(Default)]
struct Answered {
    resolutions: Vec<Resolution>,
    /// Why some are missing.
    missing: Option<NoAnswer>,
}

impl Asking<'_> {
    async fn all(&self, questions: &[Question]) -> Answered {
        let mut answered = Answered::default();
        let mut calls = futures_util::stream::iter(0..questions.len())
            .map(|at| self.one_of(questions, at))
            .buffer_unordered(RESOLVER_PARALLEL_MAX);
        while let Some((at, answer)) = calls.next().await {
            let Some(question) = questions.get(at) else { continue };
            match answer {
                Ok(bytes) => answered.resolutions.push(question.resolution(self.schema, &bytes)),
                Err(error @ NoAnswer::Fetch(NotFetched::TooLong(_))) => {
                    let malformed = question.malformed(&error.to_string());
                    answered.resolutions.push(malformed);
                }
                // That it took too long says less than why.
                Err(NoAnswer::Late) if answered.missing.is_some() => {}
                Err(error) => answered.missing = Some(error),
            }
        }
        answered
    }

    async fn one_of(&self, questions: &[Question], at: usize) -> (usize, Result<Arc<[u8]>, NoAnswer>) {
        match questions.get(at) {
            Some(question) => (at, self.one(question).await),
            None => (at, Err(NoAnswer::Late)),
        }
    }

    /// The answer's bytes.
    async fn one(&self, question: &Question) -> Result<Arc<[u8]>, NoAnswer> {
        let body = question.to_json(self.schema);
        let about = self.submission.envelope.as_ref().map(|envelope| {
            let kept = self.resolver.kept();
            let about = About {
                replica: envelope.replica.clone(),
                number: envelope.number.0,
                place: question.place,
                version: question.stored.meta.version.0,
                asked: kept.hash(&body.to_string()),
            };
            (kept.get(&about), about)
        });
        if let Some((Some(bytes), _)) = about {
            return Ok(bytes);
        }
        if Instant::now() >= self.deadline {
            return Err(NoAnswer::Late);
        }
        let model = &self.schema.model(question.model).name;
        let asked = self.resolver.ask(model, &body);
        let bytes: Arc<[u8]> = match tokio::time::timeout_at(self.deadline, asked).await {
            Ok(answer) => answer?.into(),
            Err(_) => return Err(NoAnswer::Late),
        };
        if let Some((_, about)) = about {
            self.resolver.kept().keep(about, Arc::clone(&bytes));
        }
        Ok(bytes)
    }
}

impl Resolver {
    /// Nothing that runs under the lock can panic halfway through a change.
    fn kept(&self) -> MutexGuard<'_, KeptAnswers> {
        let kept: &Mutex<KeptAnswers> = &self.kept;
        kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request is left undecided with so many places answered: whether it has come further than ever before.
    /// Without an envelope nothing is kept of it, so that it begins anew each time.
    fn further(&self, envelope: Option<&MutationEnvelope>, places: usize) -> bool {
        envelope.is_some_and(|envelope| {
            let reached = &mut self.kept().reached;
            reached.further(&envelope.replica, envelope.number.0, places)
        })
    }
}

/// What an answer was given to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct About {
    replica: ReplicaId,
    number: u64,
    place: usize,
    version: i64,
    /// Hash of everything that was asked: a number may have been used twice, and by another identity.
    asked: u64,
}

/// Bytes of one kept answer beside its own and the replica's name.
const ENTRY_BYTES: usize = 200;

/// Answers to questions of requests that are not decided yet, the newest up to a number of bytes.
#[derive(Debug)]
pub(crate) struct KeptAnswers {
    answers: BTreeMap<About, (u64, Arc<[u8]>)>,
    /// By when they came.
    order: BTreeMap<u64, About>,
    next: u64,
    bytes: usize,
    bytes_max: usize,
    hasher: RandomState,
    /// Beside the answers, which must not push it out.
    reached: Reached,
}

impl KeptAnswers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            answers: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            bytes: 0,
            bytes_max,
            hasher: RandomState::new(),
            reached: Reached::new(RESOLVER_REACHED_MAX),
        }
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    fn get(&self, about: &About) -> Option<Arc<[u8]>> {
        self.answers.get(about).map(|(_, bytes)| Arc::clone(bytes))
    }

    fn keep(&mut self, about: About, bytes: Arc<[u8]>) {
        self.drop(&about);
        self.bytes += size(&about, &bytes);
        self.order.insert(self.next, about.clone());
        self.answers.insert(about, (self.next, bytes));
        self.next += 1;
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = oldest.clone();
            self.drop(&oldest);
        }
    }

    /// The request is decided.
    fn forget(&mut self, replica: &ReplicaId, number: u64) {
        let about = |number: u64| About {
            replica: replica.clone(),
            number,
            place: 0,
            version: i64::MIN,
            asked: 0,
        };
        let of_request = self.answers.range(about(number)..about(number.saturating_add(1)));
        let all: Vec<About> = of_request.map(|(about, _)| about.clone()).collect();
        all.iter().for_each(|about| self.drop(about));
        self.reached.forget(replica, number);
    }

    fn drop(&mut self, about: &About) {
        if let Some((place, bytes)) = self.answers.remove(about) {
            self.order.remove(&place);
            self.bytes -= size(about, &bytes);
        }
    }
}

fn size(about: &About, bytes: &[u8]) -> usize {
    ENTRY_BYTES + about.replica.0.len() + bytes.len()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use serde_json::{Value as Json, json};
    use tombolo_core::access::Identity;
    use tombolo_core::wire::graphql::Request;
    use tombolo_engine::{Engine, Settings};
    use tombolo_store_sqlite::SqliteStore;

    use super::*;
    use crate::limits::Limits;
    use crate::resolver::ResolverConfig;
    use crate::{Config, server};

    fn about(number: u64, place: usize) -> About {
        About {
            replica: ReplicaId("r".into()),
            number,
            place,
            version: 3,
            asked: 1,
        }
    }

    fn answer(bytes: usize) -> Arc<[u8]> {
        vec![b'x'; bytes].into()
    }

    #[test]
    fn kept_answers_are_bounded_in_bytes_and_the_oldest_go_first() {
        let each = ENTRY_BYTES + 1 + 100;
        let mut kept = KeptAnswers::new(3 * each);
        for number in 1..=3 {
            kept.keep(about(number, 0), answer(100));
        }
        // The same again is no further one.
        kept.keep(about(1, 0), answer(100));
        assert!((1..=3).all(|number| kept.get(&about(number, 0)).is_some()));
        kept.keep(about(4, 0), answer(100));
        assert_eq!(kept.get(&about(2, 0)), None, "the oldest, for the first has come again");
        assert_eq!((kept.answers.len(), kept.order.len(), kept.bytes), (3, 3, 3 * each));
        kept.keep(about(5, 0), answer(4 * each));
        assert_eq!(
            (kept.answers.len(), kept.order.len(), kept.bytes),
            (0, 0, 0),
            "larger than all there is"
        );
    }

    #[test]
    fn what_is_decided_is_forgotten_and_what_was_asked_otherwise_is_not_the_same() {
        let mut kept = KeptAnswers::new(10_000);
        for (number, place) in [(1, 0), (1, 7), (2, 0)] {
            kept.keep(about(number, place), answer(10));
        }
        for other in [
            About {
                version: 4,
                ..about(1, 0)
            },
            About {
                asked: 2,
                ..about(1, 0)
            },
            About {
                replica: ReplicaId("s".into()),
                ..about(1, 0)
            },
        ] {
            assert_eq!(kept.get(&other), None);
        }
        kept.forget(&ReplicaId("r".into()), 1);
        assert_eq!(kept.get(&about(1, 7)), None);
        assert!(kept.get(&about(2, 0)).is_some());
        assert_eq!(kept.answers.len(), 1);
    }

    const NOTES: usize = 6;
    /// Answers before the resolver falls silent.
    const EACH_TIME: usize = 3;
    /// Time for [`EACH_TIME`] calls to this process.
    const WINDOW: Duration = Duration::from_millis(1_500);

    /// A resolver that gives so many answers more, then none.
    async fn tired(left: Arc<AtomicUsize>) -> ResolverConfig {
        async fn answer(State(left): State<Arc<AtomicUsize>>) -> String {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => json!({ "action": "resolve", "item": { "body": "both" } }).to_string(),
                Err(_) => std::future::pending().await,
            }
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(answer)).with_state(left);
        #[expect(clippy::disallowed_methods, reason = "the test's own endpoint ends with the test")]
        let serving = axum::serve(listener, router);
        tokio::spawn(async move { serving.await });
        ResolverConfig::at(url)
    }

    struct World {
        engine: Arc<Engine<SqliteStore>>,
        writer: Writer,
        resolver: Resolver,
        left: Arc<AtomicUsize>,
    }

    impl World {
        /// A resolver that keeps so many answers, and notes of which each has been changed once.
        async fn keeping(answers: usize) -> Self {
            let sdl = "type Note @model(conflict: CUSTOM) { id: ID! body: String }";
            let (config, schema) = (Config::in_memory(sdl, "key"), Schema::parse(sdl, "s.graphql"));
            let schema = Arc::new(schema.unwrap());
            let store = server::open(&config, &schema).await.unwrap();
            let engine = Arc::new(Engine::new(Arc::clone(&schema), store, Settings::default()));
            let (writer, _) = Writer::start(Arc::clone(&engine), &Limits::default());
            let left = Arc::new(AtomicUsize::new(0));
            let mut resolver = Resolver::new(&tired(Arc::clone(&left)).await, &schema)
                .unwrap()
                .unwrap();
            let each = ENTRY_BYTES
                + "r".len()
                + json!({ "action": "resolve", "item": { "body": "both" } })
                    .to_string()
                    .len();
            resolver.kept = Mutex::new(KeptAnswers::new(answers * each));
            let world = Self {
                engine,
                writer,
                resolver,
                left,
            };
            let all = |root: &str, input: &str, more: &str| {
                let one = |n| format!("m{n}: {root}(input: {{ id: \"n{n}\", body: \"{input}\"{more} }}) {{ id }}");
                format!("mutation {{ {} }}", (0..NOTES).map(one).collect::<Vec<_>>().join(" "))
            };
            for query in [all("createNote", "one", ""), all("updateNote", "two", "")] {
                let submission = world.submission(&query, Json::Null);
                let verdict = world.writer.submit(submission).await.unwrap().await.unwrap().unwrap();
                assert_eq!(verdict.results.len(), NOTES);
            }
            world
        }

        fn submission(&self, query: &str, tombolo: Json) -> Submission {
            let request = Request {
                query: query.to_owned(),
                operation_name: None,
                variables: None,
                extensions: (!tombolo.is_null()).then(|| [("tombolo".to_owned(), tombolo)].into_iter().collect()),
            };
            let identity = Identity::ApiKey { name: "k".into() };
            let prepared = self.engine.prepare(&identity, &request).unwrap();
            self.engine.submission(&prepared, Vec::new())
        }

        /// The transaction of a replica that has seen the first versions alone comes (again); the resolver answers a few.
        async fn late(&self) -> Verdict {
            let one = |n| format!("m{n}: updateNote(input: {{ id: \"n{n}\", body: \"late\", _version: 1 }}) {{ id }}");
            let query = format!("mutation {{ {} }}", (0..NOTES).map(one).collect::<Vec<_>>().join(" "));
            let submission = self.submission(&query, json!({ "replica": "r", "number": 1, "atomic": true }));
            let first = self
                .writer
                .submit(submission.clone())
                .await
                .unwrap()
                .await
                .unwrap()
                .unwrap();
            assert_eq!(first.ask.len(), NOTES);
            self.left.store(EACH_TIME, Ordering::SeqCst);
            let schema = self.engine.schema();
            let deadline = Instant::now() + WINDOW;
            resolve(deadline, schema, &self.writer, &self.resolver, submission, first.ask)
                .await
                .unwrap()
        }
    }

    #[tokio::test]
    async fn a_request_whose_answers_do_not_fit_what_is_kept_counts_as_a_try_once_it_comes_no_further() {
        let world = World::keeping(1).await;
        let mut told = Vec::new();
        for _ in 0..4 {
            let why = world.late().await.undecided.unwrap();
            assert!(why.message.contains("took longer"), "{}", why.message);
            assert_eq!(world.left.load(Ordering::SeqCst), 0, "something is answered each time");
            told.push(why.retry);
        }
        // Three are answered, then with the one that was kept four, and never more.
        assert_eq!(told, [true, true, false, false]);
    }

    #[tokio::test]
    async fn a_request_whose_answers_are_kept_comes_further_until_it_is_decided() {
        let world = World::keeping(NOTES).await;
        assert!(world.late().await.undecided.unwrap().retry);
        let verdict = world.late().await;
        assert_eq!((verdict.undecided, verdict.results.len()), (None, NOTES));
        let kept = world.resolver.kept();
        assert!(kept.answers.is_empty());
    }
}
