//! The conflict simulator: an app's own mutations, played on several phones with partitions between them, until one of the
//! app's invariants breaks; then the script is cut down to what is needed.

mod found;
mod hand;
mod phone;
mod script;
mod shrink;
mod world;

use std::ops::Range;
use std::sync::Arc;

use fastrand::Rng;
use serde_json::Value as Json;
use tombolo_core::schema::{Schema, SchemaErrors};
use tombolo_core::wire::graphql::GraphqlError;

pub use found::Found;
pub use hand::{Hand, Trouble, View, ViewPlace};
pub use script::{BadScript, Script, ScriptStep};

use crate::limits::PHONES_MAX;
use crate::resolver::Resolver;
use crate::{Conflict, Resolution, StartError};
use world::{Run, World};

type Action = Box<dyn Fn(&mut Hand<'_>) -> Result<(), Trouble>>;
type Invariant = Box<dyn Fn(&mut View<'_>) -> Result<(), String>>;

/// What every run begins with.
pub(crate) struct Setup {
    phones: usize,
    steps: usize,
    given: Vec<(String, Json)>,
    actions: Vec<(String, Action)>,
    invariants: Vec<(String, Invariant)>,
    resolver: Resolver,
}

/// Plays an app's mutations on several phones, cuts them off from one another, and checks the app's invariants when all
/// have come to rest. Deterministic: one seed, one script, one result.
///
/// ```
/// use serde_json::json;
/// use tombolo_testing::{ConflictSimulator, Failure};
///
/// // A counter kept by hand: two phones that each add one while apart make one.
/// let simulator = |schema| {
///     ConflictSimulator::new(schema)
///         .phones(2)
///         .given("mutation { createLift(input: { id: \"1\", rides: 0 }) { id } }", json!(null))
///         .action("ride", |hand| {
///             let shown = hand.query("{ getLift(id: \"1\") { rides } }", json!(null))?;
///             let rides = shown["getLift"]["rides"].as_i64().unwrap_or_default() + 1;
///             hand.mutate(
///                 "mutation($rides: Int!) { updateLift(input: { id: \"1\", rides: $rides }) { id } }",
///                 json!({ "rides": rides }),
///             )
///         })
///         .invariant("every ride is counted", |view| {
///             let data = view.query("{ getLift(id: \"1\") { rides } }", json!(null))?;
///             let rides = data["getLift"]["rides"].as_u64().unwrap_or_default() as usize;
///             if rides == view.accepted("ride") {
///                 Ok(())
///             } else {
///                 Err(format!("{} rides were accepted, {rides} are counted", view.accepted("ride")))
///             }
///         })
/// };
/// let failure = simulator("type Lift @model { id: ID! rides: Int! }").run(0..50).unwrap_err();
/// let Failure::Found(found) = failure else { panic!("{failure}") };
/// assert!(found.script.0.len() <= 4, "{found}");
///
/// // With the rule for it, none of it is lost.
/// simulator("type Lift @model { id: ID! rides: Int! @merge(rule: COUNTER) }").run(0..50).unwrap();
/// ```
#[must_use = "nothing is played before `run` or `check`"]
pub struct ConflictSimulator {
    schema: Result<Arc<Schema>, SchemaErrors>,
    setup: Setup,
}

impl std::fmt::Debug for ConflictSimulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConflictSimulator({} phones)", self.setup.phones)
    }
}

/// What a simulation did that found nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Seeds played.
    pub seeds: u64,
    /// Steps that applied.
    pub steps: u64,
    /// Mutations made on phones.
    pub mutations: u64,
    /// Of those, how many were merged with changes that they had not seen: without any, nothing was tried.
    pub merged: u64,
    /// How many were rejected.
    pub rejected: u64,
}

/// Why a simulation did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An invariant broke.
    #[error("{0}")]
    Found(Box<Found>),
    /// The schema is wrong, or the databases could not be made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A document of the test is wrong.
    #[error("{place}: {}", .errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; "))]
    Document {
        /// Which one.
        place: String,
        /// Why.
        errors: Vec<GraphqlError>,
    },
    /// A script names an action that the simulation does not have.
    #[error("there is no action `{0}`; give it with `action` before `replay`")]
    UnknownAction(String),
    /// A script that cannot be read.
    #[error(transparent)]
    Script(#[from] BadScript),
}

impl ConflictSimulator {
    /// A simulation of an app with this schema: three phones, 24 steps a seed, each phone holding every model whole.
    pub fn new(sdl: &str) -> Self {
        Self {
            schema: Schema::parse(sdl, "schema.graphql").map(Arc::new),
            setup: Setup {
                phones: 3,
                steps: 24,
                given: Vec::new(),
                actions: Vec::new(),
                invariants: Vec::new(),
                resolver: Resolver::default(),
            },
        }
    }

    /// How many phones take part: at least 1, at most [`PHONES_MAX`].
    pub fn phones(mut self, phones: usize) -> Self {
        self.setup.phones = phones.clamp(1, PHONES_MAX);
        self
    }

    /// How many steps each seed makes. More find rarer things and take longer.
    pub fn steps(mut self, steps: usize) -> Self {
        self.setup.steps = steps;
        self
    }

    /// A mutation that the server has carried out before anything begins. Several are carried out in order.
    pub fn given(mut self, mutation: &str, variables: Json) -> Self {
        self.setup.given.push((mutation.to_owned(), variables));
        self
    }

    /// Something that a user can do. The name is one word: scripts are text.
    ///
    /// The action looks at what its phone shows, draws what it needs and mutates; [`Trouble::NotNow`] says that it makes
    /// no sense at the moment.
    pub fn action(mut self, name: &str, act: impl Fn(&mut Hand<'_>) -> Result<(), Trouble> + 'static) -> Self {
        let name = name.split_whitespace().collect::<Vec<_>>().join("-");
        self.setup.actions.push((name, Box::new(act)));
        self
    }

    /// Something that must hold when all phones are online and everything has been delivered, on the server and on every
    /// phone. The error says in words what was seen instead.
    pub fn invariant(mut self, name: &str, holds: impl Fn(&mut View<'_>) -> Result<(), String> + 'static) -> Self {
        self.setup.invariants.push((name.to_owned(), Box::new(holds)));
        self
    }

    /// Who settles the conflicts that the schema leaves to a resolver (`CUSTOM`); without one such a schema does not start.
    /// It decides from what it is told, never from a clock or a random source of its own.
    ///
    /// ```
    /// use serde_json::json;
    /// use tombolo_testing::{ConflictSimulator, Resolution};
    ///
    /// // A seat goes to who asked first; the other one's app is told.
    /// let passed = ConflictSimulator::new("type Seat @model(conflict: CUSTOM) { id: ID! taken: String }")
    ///     .resolver(|conflict| Resolution::Reject(format!("taken by {}", conflict.server["taken"])))
    ///     .given("mutation { createSeat(input: { id: \"1A\" }) { id } }", json!(null))
    ///     .action("take", |hand| {
    ///         let passenger = format!("passenger {}", hand.phone());
    ///         let seat = hand.query("{ getSeat(id: \"1A\") { taken } }", json!(null))?;
    ///         if !seat["getSeat"]["taken"].is_null() {
    ///             return Err(tombolo_testing::Trouble::NotNow);
    ///         }
    ///         let take = "mutation($taken: String) { updateSeat(input: { id: \"1A\", taken: $taken }) { id } }";
    ///         hand.mutate(take, json!({ "taken": passenger }))
    ///     })
    ///     .invariant("nobody is moved from a seat", |view| match view.accepted("take") {
    ///         0 | 1 => Ok(()),
    ///         several => Err(format!("{several} were given the seat")),
    ///     })
    ///     .check(0..20);
    /// assert!(passed.rejected > 0);
    /// ```
    pub fn resolver(mut self, resolve: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static) -> Self {
        self.setup.resolver = Resolver::new(resolve);
        self
    }

    /// Plays each seed until one breaks an invariant; that script is then shrunk.
    ///
    /// # Errors
    /// [`Failure::Found`] with the script; the others say what is wrong with the test itself.
    pub fn run(&self, seeds: Range<u64>) -> Result<Passed, Failure> {
        let mut passed = Passed::default();
        for seed in seeds {
            let steps = self.generate(seed);
            let run = self.play(&steps)?;
            if run.broken.is_some() {
                return Err(Failure::Found(Box::new(shrink::shrink(self, seed, steps)?)));
            }
            passed.seeds += 1;
            passed.steps += run.applied.len() as u64;
            passed.mutations += run.ended.len() as u64;
            for ended in &run.ended {
                match ended.outcome {
                    Some(tombolo_machine::FinalOutcome::Merged) => passed.merged += 1,
                    Some(tombolo_machine::FinalOutcome::Rejected(_)) => passed.rejected += 1,
                    Some(tombolo_machine::FinalOutcome::Applied | tombolo_machine::FinalOutcome::Discarded) | None => {}
                }
            }
        }
        Ok(passed)
    }

    /// Plays one script, as a failure printed it: the regression test of a conflict that was mended.
    ///
    /// # Errors
    /// As [`ConflictSimulator::run`]; the script is not shrunk again.
    pub fn replay(&self, script: &str) -> Result<Passed, Failure> {
        let Script(steps) = script.parse()?;
        let run = self.play(&steps)?;
        match run.broken {
            Some(_) => Err(Failure::Found(Box::new(shrink::found(self, 0, steps, run, 0)))),
            None => Ok(Passed {
                seeds: 1,
                steps: run.applied.len() as u64,
                mutations: run.ended.len() as u64,
                ..Passed::default()
            }),
        }
    }

    /// [`ConflictSimulator::run`] for a test: panics with the story when an invariant breaks.
    ///
    /// # Panics
    /// With the failure's text.
    #[allow(clippy::panic)] // An assertion: a test calls it in order to fail.
    pub fn check(&self, seeds: Range<u64>) -> Passed {
        match self.run(seeds) {
            Ok(passed) => passed,
            Err(failure) => panic!("{failure}"),
        }
    }

    fn play(&self, steps: &[ScriptStep]) -> Result<Run, Failure> {
        let schema = self
            .schema
            .as_ref()
            .map_err(|errors| StartError::Schema(errors.clone()))?;
        World::new(&self.setup, schema)?.play(steps)
    }

    fn generate(&self, seed: u64) -> Vec<ScriptStep> {
        let mut rng = Rng::with_seed(seed);
        let phones = self.setup.phones;
        (0..self.setup.steps)
            .map(|_| {
                let phone = rng.usize(0..phones.max(1));
                match rng.u32(0..20) {
                    0..=10 => match rng.choice(&self.setup.actions) {
                        Some((action, _)) => ScriptStep::Act {
                            phone,
                            action: action.clone(),
                            draw: rng.u64(0..1_000_000),
                        },
                        None => ScriptStep::Sync,
                    },
                    11..=13 => ScriptStep::Offline(phone),
                    14..=15 => ScriptStep::Online(phone),
                    16..=17 => ScriptStep::Flow {
                        phone,
                        messages: rng.u32(1..12),
                    },
                    _ => ScriptStep::Sync,
                }
            })
            .collect()
    }
}
