//! The one queue through which everything that writes goes, from whichever listener.
//!
//! The writer takes what is waiting, up to a bound, into one commit, and answers each submitter when it is durable. The
//! queue is bounded; when it is full, submitters wait. A mutation that is in the queue is carried out whether or not its
//! submitter still listens, and also while the server ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tombolo_engine::{Engine, Store, StoreError, Submission, Verdict};

use crate::limits::Limits;

/// How long a failed commit is remembered by [`Writer::can_write`] if none succeeds after it. Not for ever: where a load
/// balancer keeps writes away from a server that is not ready, none would come that could succeed.
const FAILURE_MEMORY: Duration = Duration::from_secs(5);

/// What a submitter waits for.
pub type Answer = oneshot::Receiver<Result<Verdict, StoreError>>;

struct Job {
    submission: Submission,
    answer: oneshot::Sender<Result<Verdict, StoreError>>,
}

/// The sending side of the queue.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    closing: CancellationToken,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    failure: Mutex<Option<(Instant, StoreError)>>,
}

impl Writer {
    /// Starts the writer's task over `engine`.
    pub fn start<S: Store>(engine: Arc<Engine<S>>, limits: &Limits) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(limits.writer_queue_max);
        let writer = Self {
            queue,
            closing: CancellationToken::new(),
            state: Arc::default(),
        };
        let task = tokio::spawn(run(
            engine,
            jobs,
            limits.batch_max,
            writer.closing.clone(),
            Arc::clone(&writer.state),
        ));
        (writer, task)
    }

    /// Hands over a submission, waiting for room in the queue. When this returns the submission will be carried out.
    ///
    /// # Errors
    /// [`StoreError::Closed`]: the server is ending; nothing was or will be done.
    pub async fn submit(&self, submission: Submission) -> Result<Answer, StoreError> {
        let (answer, wait) = oneshot::channel();
        self.queue
            .send(Job { submission, answer })
            .await
            .map_err(|_| StoreError::Closed)?;
        Ok(wait)
    }

    /// Takes nothing more; what is in the queue is carried out, and then the task ends.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Whether the newest commit succeeded, as far as it says anything about the next one.
    ///
    /// # Errors
    /// Why the last commit failed, while that is fresh; [`StoreError::Closed`] after the end.
    pub fn can_write(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        match &*self.state.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((when, error)) if when.elapsed() < FAILURE_MEMORY => Err(error.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

async fn run<S: Store>(
    engine: Arc<Engine<S>>,
    mut jobs: mpsc::Receiver<Job>,
    batch_max: usize,
    closing: CancellationToken,
    state: Arc<State>,
) {
    let mut waiting = Vec::with_capacity(batch_max);
    loop {
        let taken = tokio::select! {
            biased;
            taken = jobs.recv_many(&mut waiting, batch_max) => taken,
            () = closing.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        let (batch, answers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|job| (job.submission, job.answer)).unzip();
        let committed = engine.commit(batch, Timestamp::now().as_millisecond()).await;
        state.note(committed.as_ref().err());
        match committed {
            Ok(verdicts) => {
                for (answer, verdict) in answers.into_iter().zip(verdicts) {
                    // A submitter that has gone away learns the outcome when it asks again.
                    let _gone = answer.send(Ok(verdict));
                }
            }
            Err(error) => {
                tracing::error!(%error, submissions = taken, "a commit failed; nothing of it was written");
                for answer in answers {
                    let _gone = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

impl State {
    fn note(&self, error: Option<&StoreError>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = error.map(|error| (Instant::now(), error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::Semaphore;
    use tombolo_core::id::{Epoch, ModelId, Position};
    use tombolo_core::query::{Answer as QueryAnswer, Bound, FilterColumn, Supplied};
    use tombolo_core::schema::Schema;
    use tombolo_engine::{
        ChangePage, Head, PageRequest, Pruned, RecordsPage, ReplicaNote, Retention, Settings, TracePage, TraceRequest,
    };

    use super::*;

    /// A store that writes nothing: each write waits for a permit, and then says what it is told to.
    struct Gate {
        permits: Semaphore,
        answer: Mutex<Result<(), StoreError>>,
        batches: Mutex<Vec<usize>>,
    }

    /// The store that the engine owns; the test keeps the gate.
    struct Gated(Arc<Gate>);

    impl Store for Gated {
        async fn answer(&self, _: Arc<Bound>, _: Vec<(usize, Supplied)>) -> Result<QueryAnswer, StoreError> {
            Err(StoreError::Closed)
        }

        async fn write(&self, batch: Arc<[Submission]>, _: i64) -> Result<Vec<Verdict>, StoreError> {
            self.0.permits.acquire().await.unwrap().forget();
            self.0.batches.lock().unwrap().push(batch.len());
            self.0
                .answer
                .lock()
                .unwrap()
                .clone()
                .map(|()| vec![Verdict::default(); batch.len()])
        }

        async fn changes(&self, _: PageRequest) -> Result<ChangePage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn records(&self, _: ModelId, _: Position, _: usize) -> Result<RecordsPage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn traces(&self, _: TraceRequest) -> Result<TracePage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn head(&self) -> Result<Head, StoreError> {
            Ok(Head {
                epoch: Epoch("e".into()),
                position: Position(0),
                low_watermark: Position(0),
            })
        }

        async fn watch_fields(&self, _: ModelId, _: BTreeSet<FilterColumn>) -> Result<Position, StoreError> {
            Ok(Position(0))
        }

        async fn note(&self, _: Vec<ReplicaNote>, _: i64) -> Result<(), StoreError> {
            Ok(())
        }

        async fn prune(&self, _: i64, _: Retention) -> Result<Pruned, StoreError> {
            Ok(Pruned::default())
        }

        async fn renew_epoch(&self, _: Option<Epoch>) -> Result<Head, StoreError> {
            self.head().await
        }
    }

    fn start(queue: usize) -> (Arc<Gate>, Writer, tokio::task::JoinHandle<()>) {
        let gate = Arc::new(Gate {
            permits: Semaphore::new(0),
            answer: Mutex::new(Ok(())),
            batches: Mutex::default(),
        });
        let schema = Arc::new(Schema::parse("type A @model { id: ID! }", "a.graphql").unwrap());
        let engine = Arc::new(Engine::new(schema, Gated(Arc::clone(&gate)), Settings::default()));
        let limits = Limits {
            writer_queue_max: queue,
            batch_max: queue,
            ..Limits::default()
        };
        let (writer, task) = Writer::start(engine, &limits);
        (gate, writer, task)
    }

    fn submission() -> Submission {
        Submission {
            envelope: None,
            mutations: Vec::new(),
            atomic: false,
            fresh_ids: Vec::new(),
            refusal: None,
            ..Submission::default()
        }
    }

    #[tokio::test]
    async fn a_full_queue_holds_its_submitters_and_sheds_none() {
        let (gate, writer, _task) = start(2);
        // One batch in the store, a full queue behind it, and one more who must wait.
        let mut answers = vec![writer.submit(submission()).await.unwrap()];
        tokio::task::yield_now().await;
        answers.push(writer.submit(submission()).await.unwrap());
        answers.push(writer.submit(submission()).await.unwrap());
        let mut late = std::pin::pin!(writer.submit(submission()));
        assert!(futures_util::poll!(late.as_mut()).is_pending());
        gate.permits.add_permits(100);
        answers.push(late.await.unwrap());
        for answer in answers {
            assert_eq!(answer.await.unwrap(), Ok(Verdict::default()));
        }
        let batches = gate.batches.lock().unwrap().clone();
        assert_eq!(batches.iter().sum::<usize>(), 4);
        assert!(batches.iter().all(|n| *n <= 2), "{batches:?}");
    }

    #[tokio::test]
    async fn closing_carries_out_what_is_in_the_queue_and_takes_nothing_more() {
        let (gate, writer, task) = start(8);
        let answers = [
            writer.submit(submission()).await.unwrap(),
            writer.submit(submission()).await.unwrap(),
        ];
        writer.close();
        gate.permits.add_permits(100);
        task.await.unwrap();
        for answer in answers {
            assert_eq!(answer.await.unwrap(), Ok(Verdict::default()));
        }
        assert_eq!(writer.submit(submission()).await.unwrap_err(), StoreError::Closed);
        assert_eq!(writer.can_write(), Err(StoreError::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_commit_is_told_and_remembered_until_one_succeeds_or_time_passes() {
        let (gate, writer, _task) = start(8);
        gate.permits.add_permits(100);
        let commit = async |answer| {
            *gate.answer.lock().unwrap() = answer;
            writer.submit(submission()).await.unwrap().await.unwrap()
        };
        assert_eq!(writer.can_write(), Ok(()));
        assert_eq!(commit(Err(StoreError::Full)).await, Err(StoreError::Full));
        assert_eq!(writer.can_write(), Err(StoreError::Full));
        assert!(commit(Ok(())).await.is_ok());
        assert_eq!(writer.can_write(), Ok(()));
        assert_eq!(commit(Err(StoreError::Full)).await, Err(StoreError::Full));
        tokio::time::advance(FAILURE_MEMORY).await;
        assert_eq!(writer.can_write(), Ok(()));
    }
}
