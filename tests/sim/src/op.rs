//! Everything that happens in a world, as data: one operation is one line of a plan.

use std::fmt;
use std::str::FromStr;

/// A model of the simulator's schema, in the schema's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Has todos.
    List,
    /// Merged field by field; its scope may be filtered.
    Todo,
    /// `OPTIMISTIC_CONCURRENCY`.
    Note,
    /// `LAST_WRITER_WINS`.
    Tag,
    /// `CUSTOM`: conflicts go to a resolver that the world plays.
    Card,
    /// Has a counter, a set and a maximum.
    Tally,
}

impl Kind {
    /// All of them, in the schema's order.
    pub const ALL: [Self; 6] = [Self::List, Self::Todo, Self::Note, Self::Tag, Self::Card, Self::Tally];

    /// The model's name in the schema.
    #[must_use]
    pub fn model(self) -> &'static str {
        match self {
            Self::List => "List",
            Self::Todo => "Todo",
            Self::Note => "Note",
            Self::Tag => "Tag",
            Self::Card => "Card",
            Self::Tally => "Tally",
        }
    }

    /// Its name in a plan, before a record's number.
    fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Todo => "todo",
            Self::Note => "note",
            Self::Tag => "tag",
            Self::Card => "card",
            Self::Tally => "tally",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A record: `note2` in a plan; a todo is its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Of which model.
    pub kind: Kind,
    /// Its id: small numbers, so that replicas meet.
    pub number: u32,
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Todo => write!(f, "{}", self.number),
            Kind::List | Kind::Note | Kind::Tag | Kind::Card | Kind::Tally => {
                write!(f, "{}{}", self.kind.word(), self.number)
            }
        }
    }
}

impl RecordName {
    fn parse(word: &str) -> Option<Self> {
        let digits = word.find(|c: char| c.is_ascii_digit())?;
        let (kind, number) = word.split_at_checked(digits)?;
        let kind = if kind.is_empty() {
            Kind::Todo
        } else {
            Kind::parse(kind)?
        };
        Some(Self {
            kind,
            number: number.parse().ok()?,
        })
    }
}

/// One thing that happens. Replicas are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The user of a replica makes a record; a todo in a list or in none.
    Create {
        /// Who.
        replica: usize,
        /// Which record.
        record: RecordName,
        /// The list that a todo belongs to.
        list: Option<u32>,
        /// The title, unique in the plan so that effects can be told apart.
        title: String,
        /// The colour: what filtered scopes look at.
        color: String,
    },
    /// The user edits one field.
    Edit {
        /// Who.
        replica: usize,
        /// Which record.
        record: RecordName,
        /// `title`, `body`, `color` or `rank`; of a tally `title`, `likes`, `members` or `best`.
        field: String,
        /// The new value. Of a counter `+2` or `-1`, of a set `+m` or `-m`: an operation; with `=` before it the app reads
        /// what it shows and writes the whole.
        value: String,
    },
    /// The user deletes a record.
    Delete {
        /// Who.
        replica: usize,
        /// Which record.
        record: RecordName,
    },
    /// The user makes a list and two todos in it, all or none.
    Transaction {
        /// Who.
        replica: usize,
        /// The list; its todos are `record` and `record + 1`.
        list: u32,
        /// The first todo.
        record: u32,
        /// Titles begin with this.
        title: String,
    },
    /// The user of a replica asks a local query, derived from this number.
    RunQuery {
        /// Who.
        replica: usize,
        /// Which query.
        query: u64,
    },
    /// The replica's scope of todos becomes this colour, or all of them.
    SetScope {
        /// Who.
        replica: usize,
        /// The colour, `None` for all.
        color: Option<String>,
    },
    /// The app wants nothing of this model any more.
    RemoveScope {
        /// Who.
        replica: usize,
        /// Of which model.
        kind: Kind,
    },
    /// The app wants this model again.
    ReturnScope {
        /// Who.
        replica: usize,
        /// Of which model.
        kind: Kind,
    },
    /// The app wants no link.
    GoOffline(usize),
    /// The app wants a link.
    GoOnline(usize),
    /// The link breaks; what was on its way in either direction is lost.
    DropLink(usize),
    /// From now on each message of the replica's link takes so many milliseconds.
    DelayLink {
        /// Whose.
        replica: usize,
        /// How long.
        ms: u64,
    },
    /// The feed and the mutations travel on topics of their own from now on, or on one stream: on topics, messages of one
    /// overtake those of the other, never those of their own.
    ReorderAcrossTopics {
        /// Whose link.
        replica: usize,
        /// Two topics.
        on: bool,
    },
    /// The newest request from the replica arrives at the server a second time.
    Duplicate(usize),
    /// The next answer to the replica arrives twice.
    Echo(usize),
    /// The next message is cut in the middle: whoever gets it must notice, and the link breaks.
    Cut {
        /// Whose link.
        replica: usize,
        /// From the replica to the server.
        up: bool,
    },
    /// The replica's credential expires: the server refuses it.
    ExpireToken(usize),
    /// The app gets a fresh credential.
    FreshToken(usize),
    /// The app has the replica go by the other transport: the link is closed, the next is by it.
    Switch {
        /// Whose link.
        replica: usize,
        /// By MQTT, else by the WebSocket.
        mqtt: bool,
    },
    /// The process of the app dies at its next commit.
    Kill {
        /// Who.
        replica: usize,
        /// Before the commit or just after it, before memory moves and anything is sent.
        after: bool,
    },
    /// The replica's next commit finds the disk full.
    FailReplica(usize),
    /// The disk of the replica is full to the last page, until it is not; the app starts anew either way. Needs files.
    Disk {
        /// Whose.
        replica: usize,
        /// Full or not.
        full: bool,
    },
    /// A backup of the replica's file is made, in place of the one before.
    CopyFile(usize),
    /// The replica's file is put back from its backup, as when a phone is; what it did since is gone from it.
    RestoreFile(usize),
    /// The server's process dies: sessions, queues and ring are gone, the database stays.
    RestartServer,
    /// A backup of the server's database is made, in place of the one before.
    CopyServer,
    /// The server's database is put back from its backup, and its history gets a new identity, as `tombolo epoch --renew`
    /// gives it.
    RestoreServer,
    /// The server's next write transaction finds the disk full.
    FailCommit,
    /// The server's next reading transaction fails.
    FailRead,
    /// The server's database fails whenever it is to decide the replica's newest undecided mutation.
    Poison(usize),
    /// The database does not fail any more.
    Cure,
    /// The server drops what only replicas that were away still need; who was silent for so long is written off.
    CompactFeed {
        /// In milliseconds.
        silence: u64,
    },
    /// Another process may have written to the replica's file.
    Refresh(usize),
    /// The app has its wedged mutations sent again.
    Retry(usize),
    /// The app gives its first rejected or wedged mutation another title and tries it again; without one it asks so of a
    /// queued one and is told that it may not.
    EditAndRetry {
        /// Who.
        replica: usize,
        /// The title.
        title: String,
    },
    /// The app gives up its first queued or wedged mutation.
    Discard(usize),
    /// The app takes note of its rejected mutations.
    Dismiss(usize),
    /// The server refuses scopes of this model from now on.
    RevokeScope(Kind),
    /// The server gives scopes of this model again.
    GrantScope(Kind),
    /// One more replica joins.
    AddReplica,
    /// Somebody sets a clock on the wall: a replica's, or the server's.
    SetWall {
        /// Whose; `None` is the server.
        replica: Option<usize>,
        /// By how much, in milliseconds.
        ms: i64,
    },
    /// So many single steps of whatever is due (messages, commits, timers), in an order that the plan's seed gives.
    Step(u32),
    /// The clocks move on, in milliseconds.
    Advance(u64),
    /// Links up, everything delivered; then the oracles look.
    Quiesce,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Create {
                replica,
                record,
                list,
                title,
                color,
            } => {
                let list = list.map_or_else(|| "-".to_owned(), |l| l.to_string());
                write!(f, "create {replica} {record} list={list} color={color} title={title}")
            }
            Self::Edit {
                replica,
                record,
                field,
                value,
            } => write!(f, "edit {replica} {record} {field}={value}"),
            Self::Delete { replica, record } => write!(f, "delete {replica} {record}"),
            Self::Transaction {
                replica,
                list,
                record,
                title,
            } => write!(f, "transaction {replica} {list} {record} title={title}"),
            Self::RunQuery { replica, query } => write!(f, "query {replica} {query}"),
            Self::SetScope { replica, color } => {
                write!(f, "scope {replica} {}", color.as_deref().unwrap_or("-"))
            }
            Self::RemoveScope { replica, kind } => write!(f, "remove-scope {replica} {}", kind.word()),
            Self::ReturnScope { replica, kind } => write!(f, "return-scope {replica} {}", kind.word()),
            Self::GoOffline(replica) => write!(f, "offline {replica}"),
            Self::GoOnline(replica) => write!(f, "online {replica}"),
            Self::DropLink(replica) => write!(f, "drop {replica}"),
            Self::DelayLink { replica, ms } => write!(f, "delay {replica} {ms}"),
            Self::ReorderAcrossTopics { replica, on: o } => write!(f, "topics {replica} {}", on(o)),
            Self::Duplicate(replica) => write!(f, "duplicate {replica}"),
            Self::Echo(replica) => write!(f, "echo {replica}"),
            Self::Cut { replica, up } => write!(f, "cut {replica} {}", if *up { "up" } else { "down" }),
            Self::ExpireToken(replica) => write!(f, "expire {replica}"),
            Self::FreshToken(replica) => write!(f, "token {replica}"),
            Self::Switch { replica, mqtt } => {
                write!(f, "switch {replica} {}", if *mqtt { "mqtt" } else { "websocket" })
            }
            Self::Kill { replica, after } => write!(f, "kill {replica} {}", if *after { "after" } else { "before" }),
            Self::FailReplica(replica) => write!(f, "fail-replica {replica}"),
            Self::Disk { replica, full } => write!(f, "disk {replica} {}", if *full { "full" } else { "free" }),
            Self::CopyFile(replica) => write!(f, "copy {replica}"),
            Self::RestoreFile(replica) => write!(f, "restore {replica}"),
            Self::RestartServer => write!(f, "restart-server"),
            Self::CopyServer => write!(f, "copy-server"),
            Self::RestoreServer => write!(f, "restore-server"),
            Self::FailCommit => write!(f, "fail-commit"),
            Self::FailRead => write!(f, "fail-read"),
            Self::Poison(replica) => write!(f, "poison {replica}"),
            Self::Cure => write!(f, "cure"),
            Self::CompactFeed { silence } => write!(f, "compact {silence}"),
            Self::Refresh(replica) => write!(f, "refresh {replica}"),
            Self::Retry(replica) => write!(f, "retry {replica}"),
            Self::EditAndRetry { replica, title } => write!(f, "edit-and-retry {replica} title={title}"),
            Self::Discard(replica) => write!(f, "discard {replica}"),
            Self::Dismiss(replica) => write!(f, "dismiss {replica}"),
            Self::RevokeScope(kind) => write!(f, "revoke {}", kind.word()),
            Self::GrantScope(kind) => write!(f, "grant {}", kind.word()),
            Self::AddReplica => write!(f, "add-replica"),
            Self::SetWall { replica, ms } => match replica {
                Some(replica) => write!(f, "wall {replica} {ms}"),
                None => write!(f, "wall server {ms}"),
            },
            Self::Step(count) => write!(f, "step {count}"),
            Self::Advance(ms) => write!(f, "advance {ms}"),
            Self::Quiesce => write!(f, "quiesce"),
        }
    }
}

/// A line that is no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an operation of a plan")]
pub struct BadOp(pub String);

impl FromStr for Op {
    type Err = BadOp;

    fn from_str(line: &str) -> Result<Self, BadOp> {
        parse(line).ok_or_else(|| BadOp(line.to_owned()))
    }
}

fn parse(line: &str) -> Option<Op> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (verb, rest) = words.split_first()?;
    let replica = || rest.first().and_then(|w| w.parse::<usize>().ok());
    let number = |i: usize| rest.get(i).and_then(|w| w.parse::<u32>().ok());
    let record = |i: usize| rest.get(i).and_then(|w| RecordName::parse(w));
    let kind = |i: usize| rest.get(i).and_then(|w| Kind::parse(w));
    let one_of = |i: usize, yes: &str, no: &str| match *rest.get(i)? {
        word if word == yes => Some(true),
        word if word == no => Some(false),
        _ => None,
    };
    let named = |i: usize, name: &str| {
        rest.get(i)
            .and_then(|w| w.strip_prefix(name))
            .and_then(|w| w.strip_prefix('='))
            .map(str::to_owned)
    };
    Some(match *verb {
        "create" => Op::Create {
            replica: replica()?,
            record: record(1)?,
            list: match named(2, "list")?.as_str() {
                "-" => None,
                text => Some(text.parse().ok()?),
            },
            color: named(3, "color")?,
            title: named(4, "title")?,
        },
        "edit" => {
            let (field, value) = rest.get(2)?.split_once('=')?;
            Op::Edit {
                replica: replica()?,
                record: record(1)?,
                field: field.into(),
                value: value.into(),
            }
        }
        "delete" => Op::Delete {
            replica: replica()?,
            record: record(1)?,
        },
        "transaction" => Op::Transaction {
            replica: replica()?,
            list: number(1)?,
            record: number(2)?,
            title: named(3, "title")?,
        },
        "query" => Op::RunQuery {
            replica: replica()?,
            query: rest.get(1)?.parse().ok()?,
        },
        "scope" => Op::SetScope {
            replica: replica()?,
            color: rest.get(1).filter(|w| **w != "-").map(|w| (*w).to_owned()),
        },
        "remove-scope" => Op::RemoveScope {
            replica: replica()?,
            kind: kind(1)?,
        },
        "return-scope" => Op::ReturnScope {
            replica: replica()?,
            kind: kind(1)?,
        },
        "offline" => Op::GoOffline(replica()?),
        "online" => Op::GoOnline(replica()?),
        "drop" => Op::DropLink(replica()?),
        "delay" => Op::DelayLink {
            replica: replica()?,
            ms: rest.get(1)?.parse().ok()?,
        },
        "topics" => Op::ReorderAcrossTopics {
            replica: replica()?,
            on: one_of(1, "on", "off")?,
        },
        "duplicate" => Op::Duplicate(replica()?),
        "echo" => Op::Echo(replica()?),
        "cut" => Op::Cut {
            replica: replica()?,
            up: one_of(1, "up", "down")?,
        },
        "expire" => Op::ExpireToken(replica()?),
        "token" => Op::FreshToken(replica()?),
        "switch" => Op::Switch {
            replica: replica()?,
            mqtt: one_of(1, "mqtt", "websocket")?,
        },
        "kill" => Op::Kill {
            replica: replica()?,
            after: one_of(1, "after", "before")?,
        },
        "fail-replica" => Op::FailReplica(replica()?),
        "disk" => Op::Disk {
            replica: replica()?,
            full: one_of(1, "full", "free")?,
        },
        "copy" => Op::CopyFile(replica()?),
        "restore" => Op::RestoreFile(replica()?),
        "restart-server" => Op::RestartServer,
        "copy-server" => Op::CopyServer,
        "restore-server" => Op::RestoreServer,
        "fail-commit" => Op::FailCommit,
        "fail-read" => Op::FailRead,
        "poison" => Op::Poison(replica()?),
        "cure" => Op::Cure,
        "compact" => Op::CompactFeed {
            silence: rest.first()?.parse().ok()?,
        },
        "refresh" => Op::Refresh(replica()?),
        "retry" => Op::Retry(replica()?),
        "edit-and-retry" => Op::EditAndRetry {
            replica: replica()?,
            title: named(1, "title")?,
        },
        "discard" => Op::Discard(replica()?),
        "dismiss" => Op::Dismiss(replica()?),
        "revoke" => Op::RevokeScope(kind(0)?),
        "grant" => Op::GrantScope(kind(0)?),
        "add-replica" => Op::AddReplica,
        "wall" => Op::SetWall {
            replica: match *rest.first()? {
                "server" => None,
                _ => Some(replica()?),
            },
            ms: rest.get(1)?.parse().ok()?,
        },
        "step" => Op::Step(number(0)?),
        "advance" => Op::Advance(rest.first()?.parse().ok()?),
        "quiesce" => Op::Quiesce,
        _ => return None,
    })
}
