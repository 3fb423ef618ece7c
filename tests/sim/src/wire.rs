//! The network between a replica and the server: messages on their way, in two directions and on two topics.

use std::collections::VecDeque;
use std::time::Duration;

use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::graphql::Request;
use tombolo_machine::{FeedNumber, ScopeCursor, messages};

use crate::server::Sent;

/// Rows of a page that a replica asks for: few, so that paging happens in small worlds.
const PAGE_ROWS: u64 = 3;

/// A message on its way to the server.
#[derive(Clone, Debug)]
pub(crate) enum ToServer {
    Subscribe {
        feed: FeedNumber,
        replica: ReplicaId,
        scopes: Vec<ScopeCursor>,
    },
    Unsubscribe {
        feed: FeedNumber,
    },
    Mutation {
        number: MutationNumber,
        request: Box<Request>,
    },
    FetchPage {
        feed: FeedNumber,
        scope: ScopeCursor,
    },
}

impl ToServer {
    /// As GraphQL; `None` for the end of a subscription, which is a frame of its own.
    pub(crate) fn to_request(&self) -> Option<Request> {
        match self {
            Self::Subscribe { replica, scopes, .. } => Some(messages::subscription(replica, scopes)),
            Self::Mutation { request, .. } => Some((**request).clone()),
            Self::FetchPage { scope, .. } => Some(messages::page(scope, PAGE_ROWS)),
            Self::Unsubscribe { .. } => None,
        }
    }
}

/// Which stream a message travels on where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Feed,
    Mutations,
}

impl Topic {
    pub(crate) const BOTH: [Self; 2] = [Self::Feed, Self::Mutations];

    pub(crate) fn of_request(message: &ToServer) -> Self {
        match message {
            ToServer::Subscribe { .. } | ToServer::Unsubscribe { .. } | ToServer::FetchPage { .. } => Self::Feed,
            ToServer::Mutation { .. } => Self::Mutations,
        }
    }

    pub(crate) fn of_answer(message: &Sent) -> Self {
        match message {
            Sent::Batch { .. } | Sent::FeedRefused { .. } => Self::Feed,
            Sent::Answer { .. } => Self::Mutations,
        }
    }
}

#[derive(Debug)]
struct Travelling<T> {
    topic: Topic,
    /// Arrives no sooner.
    at: Duration,
    /// That it began to arrive was noticed.
    begun: bool,
    message: T,
}

/// One direction. Messages of one topic keep their order.
#[derive(Debug)]
pub(crate) struct Pipe<T>(VecDeque<Travelling<T>>);

impl<T> Default for Pipe<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Pipe<T> {
    /// Arrives at `at`, and not before what was sent earlier.
    pub(crate) fn push(&mut self, topic: Topic, at: Duration, message: T) {
        let at = self.0.back().map_or(at, |last| last.at.max(at));
        self.0.push_back(Travelling {
            topic,
            at,
            begun: false,
            message,
        });
    }

    /// Whether since the last look a part of the next message came.
    pub(crate) fn brought_a_part(&mut self) -> bool {
        self.0
            .front_mut()
            .is_some_and(|next| !std::mem::replace(&mut next.begun, true))
    }

    /// Topics whose next message has arrived. On one stream that is the topic of the oldest message, or none.
    pub(crate) fn arrived(&self, now: Duration, split: bool) -> impl Iterator<Item = Topic> {
        Topic::BOTH.into_iter().filter(move |topic| {
            let first = self.0.iter().find(|m| m.topic == *topic || !split);
            first.is_some_and(|m| m.topic == *topic && m.at <= now)
        })
    }

    /// Takes the next message of a topic.
    pub(crate) fn take(&mut self, topic: Topic) -> Option<T> {
        let at = self.0.iter().position(|m| m.topic == topic)?;
        self.0.remove(at).map(|m| m.message)
    }

    /// How many are on their way.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the next message arrives.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.0.iter().map(|m| m.at).min()
    }

    /// What is on its way, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.0.drain(..).map(|m| m.message)
    }
}

/// Of so many messages with QoS 1 one is delivered twice.
pub(crate) const MQTT_DOUBLES_ONE_IN: u8 = 10;

/// Messages under way to a device: beyond them the server holds back, and gives a device up that takes none. Smaller than
/// the server's own 16, which small worlds would hardly reach.
pub(crate) const MQTT_WINDOW: usize = 6;

/// What a link goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// What was on its way when the link ended is gone.
    #[default]
    WebSocket,
    /// QoS 1 on one stream: messages in order, some twice; what the server had read when the link ended still reaches its
    /// queue, and a device that takes too little is given up.
    Mqtt,
}

/// The link of a replica.
#[derive(Debug)]
pub(crate) enum Wire {
    Down,
    Opening,
    Up {
        session: u64,
        to_server: Pipe<ToServer>,
        to_replica: Pipe<Sent>,
        carrier: Carrier,
        /// The server ends it.
        given_up: bool,
    },
}

/// What the network of a replica is like.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// Each message takes this long.
    pub(crate) delay: Duration,
    /// What the next link goes by.
    pub(crate) carrier: Carrier,
    /// Two topics rather than one stream. Not over MQTT.
    pub(crate) split: bool,
    /// The next answer arrives twice.
    pub(crate) echo: bool,
    /// The next message to the server, to the replica, is cut.
    pub(crate) cut_up: bool,
    pub(crate) cut_down: bool,
}
