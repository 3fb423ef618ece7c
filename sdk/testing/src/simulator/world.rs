//! One run: a server, its phones, and the script that they play.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value as Json, json};
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_core::wire::trace::Trace;

use super::found::{Broken, Ended};
use super::hand::{Hand, Trouble, View, ViewPlace};
use super::phone::Phone;
use super::script::{ScriptStep, phone_name};
use super::{Failure, Setup};
use crate::backend::Backend;
use crate::limits::{REST_STEPS_MAX, TIMER_MAX, TRACES_PAGE};

/// A page of traces, with what a story tells of them.
const TRACES: &str = "query($limit: Int, $token: String) { tomboloConflicts(limit: $limit, nextToken: $token) { \
    items { at replica number outcome strategy fields { field rule base server incoming result } } nextToken } }";

/// What became of a run.
pub(crate) struct Run {
    /// The first invariant that did not hold, or that there was no rest.
    pub(crate) broken: Option<Broken>,
    /// Places of steps that applied.
    pub(crate) applied: Vec<usize>,
    pub(crate) ended: Vec<Ended>,
}

pub(crate) struct World<'s> {
    setup: &'s Setup,
    server: Backend,
    phones: Vec<Phone>,
    clock: Duration,
}

fn store(trouble: Trouble) -> Failure {
    Failure::Start(crate::StartError::Store(trouble.to_string()))
}

impl<'s> World<'s> {
    pub(crate) fn new(setup: &'s Setup, schema: &Arc<Schema>) -> Result<Self, Failure> {
        let server = Backend::start(schema, setup.resolver.clone())?;
        for (text, variables) in &setup.given {
            crate::server::ask(&server, text, variables.clone()).map_err(|errors| Failure::Document {
                place: format!("given: {text}"),
                errors,
            })?;
        }
        let clock = Duration::from_secs(1);
        let phones = (0..setup.phones).map(|index| Phone::open(index, schema, clock));
        let mut world = Self {
            phones: phones.collect::<Result<_, _>>().map_err(store)?,
            setup,
            server,
            clock,
        };
        // Every phone begins with what the server has.
        world.rest()?;
        Ok(world)
    }

    /// Plays the steps, then brings everything to rest and asks the invariants.
    pub(crate) fn play(mut self, steps: &[ScriptStep]) -> Result<Run, Failure> {
        let mut applied = Vec::new();
        let mut broken = None;
        for (place, step) in steps.iter().enumerate() {
            self.clock += Duration::from_millis(10);
            if self.step(place, step)? {
                applied.push(place);
            }
        }
        for index in 0..self.phones.len() {
            let now = self.clock;
            if let Some(phone) = self.phones.get_mut(index).filter(|phone| !phone.online) {
                phone.go_online(now).map_err(store)?;
            }
        }
        if self.rest()? {
            broken = self.ask()?;
        } else {
            broken.get_or_insert(Broken {
                invariant: "everything comes to rest".into(),
                place: ViewPlace::Server,
                says: format!("messages still travel after {REST_STEPS_MAX} steps"),
            });
        }
        // Only a story needs them.
        let traces = match broken {
            Some(_) => self.traces()?,
            None => Vec::new(),
        };
        let mut ended = Vec::new();
        for phone in &self.phones {
            let replica = ReplicaId(phone_name(phone.index));
            ended.extend(phone.made.iter().map(|made| {
                let of_it = |trace: &&Trace| {
                    trace.number == Some(made.number) && trace.replica.as_ref().is_some_and(|by| *by == replica)
                };
                Ended {
                    step: made.step,
                    text: made.text.clone(),
                    outcome: made.outcome.clone(),
                    trace: traces.iter().find(of_it).cloned(),
                }
            }));
        }
        Ok(Run { broken, applied, ended })
    }

    /// What the server tells of everything that it merged and rejected.
    fn traces(&self) -> Result<Vec<Trace>, Failure> {
        let mut traces = Vec::new();
        let mut token = Json::Null;
        loop {
            let variables = json!({ "limit": TRACES_PAGE, "token": token });
            let data = crate::server::ask(&self.server, TRACES, variables).map_err(|errors| Failure::Document {
                place: "the server's traces".to_owned(),
                errors,
            })?;
            let mut page = data["tomboloConflicts"].clone();
            let items: Vec<Trace> = serde_json::from_value(page["items"].take())
                .map_err(|error| store(Trouble::Store(format!("the server's traces cannot be read: {error}"))))?;
            traces.extend(items);
            token = page["nextToken"].take();
            if token.is_null() {
                return Ok(traces);
            }
        }
    }

    fn step(&mut self, place: usize, step: &ScriptStep) -> Result<bool, Failure> {
        let now = self.clock;
        if step.phone().is_some_and(|phone| phone >= self.phones.len()) {
            return Ok(false);
        }
        match step {
            ScriptStep::Act { phone, action, draw } => {
                let Some((name, act)) = self.setup.actions.iter().find(|(name, _)| name == action) else {
                    return Err(Failure::UnknownAction(action.clone()));
                };
                let Some(phone) = self.phones.get_mut(*phone) else {
                    return Ok(false);
                };
                let mut hand = Hand {
                    phone,
                    rng: Rng::with_seed(*draw),
                    action: name,
                    step: place,
                    now,
                };
                match act(&mut hand) {
                    Ok(()) => Ok(true),
                    Err(Trouble::Refused(_) | Trouble::NotNow) => Ok(false),
                    Err(Trouble::Request(errors)) => Err(Failure::Document {
                        place: format!("action {name}"),
                        errors,
                    }),
                    Err(trouble @ Trouble::Store(_)) => Err(store(trouble)),
                }
            }
            ScriptStep::Offline(phone) => self.switch(*phone, false),
            ScriptStep::Online(phone) => self.switch(*phone, true),
            ScriptStep::Flow { phone, messages } => {
                for _ in 0..*messages {
                    let Some(phone) = self.phones.get_mut(*phone) else {
                        break;
                    };
                    if !phone.step(&self.server, now).map_err(store)? {
                        break;
                    }
                }
                Ok(true)
            }
            ScriptStep::Sync => self.rest().map(|_| true),
        }
    }

    fn switch(&mut self, phone: usize, online: bool) -> Result<bool, Failure> {
        let now = self.clock;
        let Some(phone) = self.phones.get_mut(phone).filter(|phone| phone.online != online) else {
            return Ok(false);
        };
        let done = if online {
            phone.go_online(now)
        } else {
            phone.go_offline(now)
        };
        done.map(|()| true).map_err(store)
    }

    /// Delivers everything, moving the clock to the next timer while somebody online still waits for something; false if
    /// there is no end to it.
    fn rest(&mut self) -> Result<bool, Failure> {
        for _ in 0..REST_STEPS_MAX {
            let mut moved = false;
            for phone in &mut self.phones {
                moved |= phone.step(&self.server, self.clock).map_err(store)?;
            }
            if moved {
                continue;
            }
            let mut next: Option<Duration> = None;
            for phone in self.phones.iter_mut().filter(|phone| phone.online) {
                if !phone.is_settled().map_err(store)? {
                    next = [next, phone.wake_at()].into_iter().flatten().min();
                }
            }
            match next {
                Some(at) if at > self.clock && at - self.clock <= TIMER_MAX => self.clock = at,
                Some(_) | None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Asks every invariant of the server and of every phone; the first that does not hold.
    fn ask(&mut self) -> Result<Option<Broken>, Failure> {
        let made: Vec<_> = self.phones.iter().flat_map(|phone| phone.made.clone()).collect();
        for (name, holds) in &self.setup.invariants {
            let places = std::iter::once(ViewPlace::Server).chain((0..self.phones.len()).map(ViewPlace::Phone));
            for place in places {
                let phone = match place {
                    ViewPlace::Server => None,
                    ViewPlace::Phone(index) => self.phones.get_mut(index),
                };
                let mut view = View {
                    place,
                    server: &self.server,
                    phone,
                    made: &made,
                };
                if let Err(says) = holds(&mut view) {
                    return Ok(Some(Broken {
                        invariant: name.clone(),
                        place,
                        says,
                    }));
                }
            }
        }
        Ok(None)
    }
}
