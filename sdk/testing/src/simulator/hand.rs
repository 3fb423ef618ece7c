//! What an action of the app gets into its hand, and what an invariant looks at.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value as Json;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::GraphqlError;
use tombolo_machine::FinalOutcome;

use super::phone::{Made, Phone};
use crate::backend::Backend;

/// Why something could not be done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// The document or its variables are wrong, or the answer has errors: a mistake in the test. The simulation stops and
    /// says so.
    #[error("{}", .0.first().map_or("the document is wrong", |error| error.message.as_str()))]
    Request(Vec<GraphqlError>),
    /// The phone refuses the mutation as it stands (a create under an id that exists): the step does not apply.
    #[error("{0}")]
    Refused(RejectReason),
    /// The action says that it makes no sense now: the step does not apply.
    #[error("not now")]
    NotNow,
    /// The phone's database failed.
    #[error("the phone's store failed: {0}")]
    Store(String),
}

/// A user's hand on one phone, for an action.
pub struct Hand<'a> {
    pub(crate) phone: &'a mut Phone,
    pub(crate) rng: Rng,
    pub(crate) action: &'a str,
    pub(crate) step: usize,
    pub(crate) now: Duration,
}

impl std::fmt::Debug for Hand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hand({}, {})", self.phone.index, self.action)
    }
}

impl Hand<'_> {
    /// Which phone this is, from 0.
    #[must_use]
    pub fn phone(&self) -> usize {
        self.phone.index
    }

    /// Answers a query from what this phone shows, and gives its `data`.
    ///
    /// # Errors
    /// [`Trouble::Request`] for a document that is wrong.
    pub fn query(&mut self, text: &str, variables: Json) -> Result<Json, Trouble> {
        self.phone.query(text, variables)
    }

    /// Carries out a mutation on this phone and queues it, as `Client::mutate` does.
    ///
    /// # Errors
    /// [`Trouble::Request`] for a document that is wrong, [`Trouble::Refused`] if the phone refuses it.
    pub fn mutate(&mut self, text: &str, variables: Json) -> Result<(), Trouble> {
        self.transaction(&[(text, variables)])
    }

    /// Carries out several mutations together or not at all, as `Client::transaction` does.
    ///
    /// # Errors
    /// As [`Hand::mutate`].
    pub fn transaction(&mut self, documents: &[(&str, Json)]) -> Result<(), Trouble> {
        self.phone.mutate(documents, self.action, self.step, self.now)
    }

    /// A number of the range, the same each time that the script is played. The start of an empty range.
    pub fn draw(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return range.start;
        }
        self.rng.u64(range)
    }

    /// One of several, the same each time; `None` of none.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        self.rng.choice(from)
    }
}

/// Whose data an invariant looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewPlace {
    /// The server's.
    Server,
    /// A phone's, from 0.
    Phone(usize),
}

/// What an invariant looks at, after everything has come to rest: the data of the server or of one phone, and how the
/// mutations of all phones ended.
pub struct View<'a> {
    pub(crate) place: ViewPlace,
    pub(crate) server: &'a Backend,
    pub(crate) phone: Option<&'a mut Phone>,
    pub(crate) made: &'a [Made],
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({:?})", self.place)
    }
}

impl View<'_> {
    /// Whose data this is. An invariant is asked once for the server and once for each phone.
    #[must_use]
    pub fn place(&self) -> ViewPlace {
        self.place
    }

    /// Answers a query from these data, and gives its `data`.
    ///
    /// # Errors
    /// In words, so that an invariant can pass it on with `?`: a document that is wrong is found at once.
    pub fn query(&mut self, text: &str, variables: Json) -> Result<Json, String> {
        match &mut self.phone {
            Some(phone) => phone.query(text, variables).map_err(|trouble| trouble.to_string()),
            None => crate::server::ask(self.server, text, variables).map_err(|errors| {
                let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
                messages.join("; ")
            }),
        }
    }

    /// How many mutations of this action were accepted by the server (applied or merged).
    #[must_use]
    pub fn accepted(&self, action: &str) -> usize {
        self.count(action, |outcome| {
            matches!(outcome, FinalOutcome::Applied | FinalOutcome::Merged)
        })
    }

    /// How many mutations of this action were refused by the server.
    #[must_use]
    pub fn rejected(&self, action: &str) -> usize {
        self.count(action, |outcome| matches!(outcome, FinalOutcome::Rejected(_)))
    }

    fn count(&self, action: &str, is: impl Fn(&FinalOutcome) -> bool) -> usize {
        let of_action = self.made.iter().filter(|made| made.action == action);
        of_action.filter(|made| made.outcome.as_ref().is_some_and(&is)).count()
    }
}
