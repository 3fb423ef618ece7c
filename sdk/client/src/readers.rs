//! Threads that read from the file, beside the writer: each with a connection and a snapshot of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tombolo_core::id::MutationNumber;
use tombolo_core::query::{Answer, Bound, Supplied};
use tombolo_machine::OutboxEntry;
use tombolo_store::{Kept, Reader, Store};

use crate::limits::MUTATIONS_LISTED_MAX;
use crate::mishap::Mishaps;
use crate::{Error, Mutation, MutationFilter, limits};

/// Entries of the outbox read at once.
const OUTBOX_PAGE: usize = 1_000;

/// Something to be read.
pub(crate) enum Question {
    /// The answer of an operation.
    Answer {
        bound: Arc<Bound>,
        /// Results of root fields that are known already (mutations).
        supplied: Vec<(usize, Supplied)>,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    /// The whole outbox.
    Outbox(oneshot::Sender<Result<Vec<OutboxEntry>, Error>>),
    /// One mutation, on its way or ended.
    Mutation(MutationNumber, oneshot::Sender<Result<Option<Kept>, Error>>),
    /// Mutations, on their way and ended.
    Mutations(MutationFilter, oneshot::Sender<Result<Vec<Mutation>, Error>>),
    #[cfg(test)]
    Panic(oneshot::Sender<()>),
    /// Nothing more: one reader ends. Its connection is closed before the other side of the channel hears of it.
    End(oneshot::Sender<()>),
}

/// Where questions go; nothing while nobody reads (the client is suspended or closed).
pub(crate) type Questions = Arc<Mutex<Option<mpsc::Sender<Question>>>>;

/// Further connections for reading, on a store that is open.
pub(crate) fn connect(store: &Store) -> Result<Vec<Reader>, Error> {
    let mut readers = Vec::with_capacity(limits::READERS);
    for _ in 0..limits::READERS {
        readers.extend(store.reader()?);
    }
    Ok(readers)
}

/// Takes no more questions and waits until every reader has answered those it has and closed its connection.
pub(crate) async fn end(questions: &Questions) {
    let Some(sender) = questions.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    for _ in 0..limits::READERS {
        let (reply, done) = oneshot::channel();
        if sender.send(Question::End(reply)).await.is_ok() {
            // An error means that it has ended without a word, which is as good.
            drop(done.await);
        }
    }
}

/// Starts a thread for each reader. They end when every sender of questions is dropped.
pub(crate) fn start(readers: Vec<Reader>, slot: &Questions, mishaps: &Mishaps) -> std::io::Result<()> {
    let (sender, questions) = mpsc::channel(limits::WAITING_QUERIES_MAX);
    let questions = Arc::new(Mutex::new(questions));
    for (place, mut reader) in readers.into_iter().enumerate() {
        let (questions, mishaps) = (Arc::clone(&questions), mishaps.clone());
        std::thread::Builder::new()
            .name(format!("tombolo-reader-{place}"))
            .spawn(move || {
                loop {
                    // Whoever holds the lock waits for the next question; the others wait for the lock.
                    let question = questions.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    match question {
                        Some(Question::End(done)) => {
                            drop((reader, questions));
                            // The caller of `close` may have given up waiting.
                            let _ = done.send(());
                            return;
                        }
                        // Of a question that panics the answer is missing, and nothing else.
                        Some(question) => {
                            let _told = mishaps.contain("a thread that reads", || read(&mut reader, question));
                        }
                        None => return,
                    }
                }
            })?;
    }
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    Ok(())
}

fn read(reader: &mut Reader, question: Question) {
    // The caller may go away while we read; then nobody needs the answer.
    match question {
        Question::End(_) => {}
        #[cfg(test)]
        Question::Panic(_reply) => panic!("a question on purpose"),
        Question::Answer { reply, .. } if reply.is_closed() => {}
        Question::Answer { bound, supplied, reply } => {
            let mut execution = bound.execute();
            for (root, result) in supplied {
                execution.supply(root, result);
            }
            drop(reply.send(reader.answer(execution).map_err(Error::from)));
        }
        Question::Outbox(reply) => drop(reply.send(outbox(reader))),
        Question::Mutation(number, reply) => drop(reply.send(reader.find(number).map_err(Error::from))),
        Question::Mutations(filter, reply) => drop(reply.send(mutations(reader, &filter))),
    }
}

fn mutations(reader: &mut Reader, filter: &MutationFilter) -> Result<Vec<Mutation>, Error> {
    let most = filter.limit.min(MUTATIONS_LISTED_MAX);
    let (mut found, mut after) = (Vec::new(), filter.after.0);
    loop {
        let page = reader.mutations(after, OUTBOX_PAGE)?;
        let last = page.len() < OUTBOX_PAGE;
        after = page.last().map_or(after, |kept| kept.number().0);
        found.extend(
            page.into_iter()
                .map(Mutation::from)
                .filter(|mutation| filter.takes(mutation)),
        );
        if last || found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
    }
}

fn outbox(reader: &mut Reader) -> Result<Vec<OutboxEntry>, Error> {
    let mut entries: Vec<OutboxEntry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.number.0);
        let page = reader.outbox(after, OUTBOX_PAGE)?;
        let last = page.len() < OUTBOX_PAGE;
        entries.extend(page);
        if last {
            return Ok(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Client;

    /// As many panics as there are readers, and more.
    #[tokio::test]
    async fn a_question_that_panics_is_told_and_the_readers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let client = Client::builder()
            .schema("type Note @model { id: ID! text: String! }")
            .path(folder.path().join("a.db"))
            .on_panic(move |words| telling.lock().unwrap().push(words.to_owned()))
            .open()
            .await
            .unwrap();
        for _ in 0..limits::READERS + 2 {
            let (reply, answer) = oneshot::channel();
            let questions = client.inner.questions.lock().unwrap().clone().unwrap();
            questions.send(Question::Panic(reply)).await.unwrap();
            answer.await.unwrap_err();
            client
                .query("{ listNotes { items { id } } }", serde_json::Value::Null)
                .await
                .unwrap();
        }
        // They have ended then: the answer is missing a moment before it is told why.
        client.close().await;
        assert_eq!(
            *told.lock().unwrap(),
            vec!["a thread that reads: a question on purpose"; limits::READERS + 2]
        );
    }
}
