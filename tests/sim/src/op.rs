//! Everything that happens in a world, as data: one operation is one line of a plan.

use std::fmt;
use std::str::FromStr;

/// One thing that happens. Replicas are numbered from 0, records are named by small numbers so that they collide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The user of a replica makes a todo, in a list or in none.
    Create {
        /// Who.
        replica: usize,
        /// Which record.
        record: u32,
        /// The list it belongs to.
        list: Option<u32>,
        /// The title, unique in the plan so that effects can be told apart.
        title: String,
        /// The colour: what filtered scopes look at.
        color: String,
    },
    /// The user edits one field of a todo.
    Edit {
        /// Who.
        replica: usize,
        /// Which record.
        record: u32,
        /// `title`, `body`, `color` or `rank`.
        field: String,
        /// The new value.
        value: String,
    },
    /// The user deletes a todo.
    Delete {
        /// Who.
        replica: usize,
        /// Which record.
        record: u32,
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
    /// The replica's scope of todos becomes this colour, or all of them.
    SetScope {
        /// Who.
        replica: usize,
        /// The colour, `None` for all.
        color: Option<String>,
    },
    /// The app wants no link.
    GoOffline(usize),
    /// The app wants a link.
    GoOnline(usize),
    /// The link breaks; what was on its way in either direction is lost.
    DropLink(usize),
    /// The newest message from the replica to the server arrives a second time.
    Duplicate(usize),
    /// The process of the app dies at its next commit.
    Kill {
        /// Who.
        replica: usize,
        /// Before the commit or just after it, before memory moves and anything is sent.
        after: bool,
    },
    /// The server's process dies: sessions, queues and ring are gone, the database stays.
    RestartServer,
    /// The server's next transaction fails: the disk is full for a moment.
    FailCommit,
    /// The app takes note of its rejected mutations.
    Dismiss(usize),
    /// So many single steps of whatever is due (messages, commits, timers), in an order that the plan's seed gives.
    Step(u32),
    /// The clock moves on, in milliseconds.
    Advance(u64),
    /// Links up, everything delivered; then the oracles look.
    Quiesce,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            } => {
                write!(f, "transaction {replica} {list} {record} title={title}")
            }
            Self::SetScope { replica, color } => {
                write!(f, "scope {replica} {}", color.as_deref().unwrap_or("-"))
            }
            Self::GoOffline(replica) => write!(f, "offline {replica}"),
            Self::GoOnline(replica) => write!(f, "online {replica}"),
            Self::DropLink(replica) => write!(f, "drop {replica}"),
            Self::Duplicate(replica) => write!(f, "duplicate {replica}"),
            Self::Kill { replica, after } => write!(f, "kill {replica} {}", if *after { "after" } else { "before" }),
            Self::RestartServer => write!(f, "restart-server"),
            Self::FailCommit => write!(f, "fail-commit"),
            Self::Dismiss(replica) => write!(f, "dismiss {replica}"),
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
    let number = |i: usize| rest.get(i).and_then(|w| w.parse::<usize>().ok());
    let record = |i: usize| rest.get(i).and_then(|w| w.parse::<u32>().ok());
    let named = |i: usize, name: &str| {
        rest.get(i)
            .and_then(|w| w.strip_prefix(name))
            .and_then(|w| w.strip_prefix('='))
            .map(str::to_owned)
    };
    Some(match *verb {
        "create" => Op::Create {
            replica: number(0)?,
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
                replica: number(0)?,
                record: record(1)?,
                field: field.into(),
                value: value.into(),
            }
        }
        "delete" => Op::Delete {
            replica: number(0)?,
            record: record(1)?,
        },
        "transaction" => Op::Transaction {
            replica: number(0)?,
            list: record(1)?,
            record: record(2)?,
            title: named(3, "title")?,
        },
        "scope" => Op::SetScope {
            replica: number(0)?,
            color: rest.get(1).filter(|w| **w != "-").map(|w| (*w).to_owned()),
        },
        "offline" => Op::GoOffline(number(0)?),
        "online" => Op::GoOnline(number(0)?),
        "drop" => Op::DropLink(number(0)?),
        "duplicate" => Op::Duplicate(number(0)?),
        "kill" => Op::Kill {
            replica: number(0)?,
            after: match *rest.get(1)? {
                "after" => true,
                "before" => false,
                _ => return None,
            },
        },
        "restart-server" => Op::RestartServer,
        "fail-commit" => Op::FailCommit,
        "dismiss" => Op::Dismiss(number(0)?),
        "step" => Op::Step(record(0)?),
        "advance" => Op::Advance(rest.first()?.parse().ok()?),
        "quiesce" => Op::Quiesce,
        _ => return None,
    })
}
