//! Frames that a replica reads from a server: one JSON document a line.

use tombolo_core::id::MutationNumber;
use tombolo_machine::messages::{Page, read_answer, read_page};
use tombolo_machine::{AnswerBody, FeedNumber, Input};
use tombolo_transport::{Incoming, websocket};

use crate::{replica, text};

/// Most frames of one run.
const FRAMES: usize = 16;

/// Reads each line as the link does and gives it to a replica that waits for a feed and for two answers. A frame whose
/// operation has an odd id answers the feed, the others answer a mutation.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    replica::with(|tx| {
        let mut machine = replica::machine();
        replica::step(&mut machine, tx, Input::Start).expect("a replica starts");
        let feed = replica::newest_feed(tx, &mut machine);
        for line in text.lines().take(FRAMES) {
            let input = match websocket::read_message(line) {
                Ok(Some(message)) => input(feed, message),
                Ok(None) => None,
                // The link closes.
                Err(_) => return,
            };
            if let Some(input) = input
                && replica::step(&mut machine, tx, input).is_err()
            {
                // The driver drops the transaction.
                return;
            }
        }
        replica::check_queries(tx);
    });
}

fn input(feed: FeedNumber, message: Incoming) -> Option<Input> {
    Some(match message {
        Incoming::Next { id, payload } if id.0 % 2 == 1 => match read_page(&payload) {
            Page::Batch(batch) => Input::Batch { feed, batch },
            Page::Refused(errors) => Input::FeedRefused { feed, errors },
            Page::Unreadable(_) => return None,
        },
        Incoming::Next { id, payload } => Input::Answers(vec![(number(id.0), read_answer(&payload))]),
        Incoming::Failed { id, errors } if id.0 % 2 == 1 => Input::FeedRefused { feed, errors },
        Incoming::Failed { id, errors } => Input::Answers(vec![(number(id.0), AnswerBody::Undecided(errors))]),
        Incoming::Complete { id } if id.0 % 2 == 1 => Input::FeedRefused {
            feed,
            errors: Vec::new(),
        },
        Incoming::Complete { id } => Input::Answers(vec![(number(id.0), AnswerBody::Undecided(Vec::new()))]),
        Incoming::Closed(_) => return None,
    })
}

/// Operation 2 is mutation 1, operation 4 is mutation 2.
fn number(operation: u64) -> MutationNumber {
    MutationNumber(operation / 2)
}
