//! Identities and counters, each with a type of its own so that one cannot be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One local database of one signed-in user on one device. A random UUID made when the file is created.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub String);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a mutation on its replica: 1, then +1 for each one enqueued. With the [`ReplicaId`] it names the
/// mutation for ever; sending it twice has one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MutationNumber(pub u64);

impl fmt::Display for MutationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A mutation's name across all replicas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MutationId {
    /// The replica that made it.
    pub replica: ReplicaId,
    /// Its number there.
    pub number: MutationNumber,
}

impl MutationId {
    /// The name of the same replica's mutation `places` further on.
    #[must_use]
    pub fn after(&self, places: u64) -> Self {
        Self {
            replica: self.replica.clone(),
            number: MutationNumber(self.number.0.saturating_add(places)),
        }
    }
}

impl fmt::Display for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.replica, self.number)
    }
}

/// The server-given counter of one record, `_version` on the wire: 1 at creation, +1 at each accepted change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

/// A place in the change feed of one server history: each committed change gets the next one, in commit order. Ordered
/// on the server; a replica sees it only inside a [`Cursor`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// The identity of a server's history. If it differs, positions mean nothing and a base sync is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

/// The position that a replica has durably applied for one scope, with the epoch it belongs to. On the wire the string
/// `<epoch>.<position>`; a replica stores and returns it untouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The history it belongs to.
    pub epoch: Epoch,
    /// The place in it.
    pub position: Position,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.position.0)
    }
}

/// A cursor's text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor; send back a cursor exactly as the server gave it, or none to sync from the beginning")]
pub struct BadCursor(pub String);

impl std::str::FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        Ok(text.parse::<FeedCursor>()?.at)
    }
}

/// A cursor as the feed gives it. While a base sync is under way it also says where the history stood when that began:
/// whatever left before then the base sync leaves out by itself, so that nothing from before is needed to go on.
///
/// Where rules give an identity some of the rows, it also says which rules those were: under others the cursor means nothing,
/// since rows from before it may have come into sight or gone out of it.
///
/// As text: `EPOCH.POSITION`, then `/SINCE` if there is one, then `~RULES` if there are any. Replicas keep the text and look at
/// the [`Cursor`] in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// The place.
    pub at: Cursor,
    /// The head when the base sync began that is not complete yet.
    pub since: Option<Position>,
    /// A digest of the rules that gave the rows; letters, digits, `-` and `_`.
    pub rules: Option<String>,
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)?;
        if let Some(since) = self.since {
            write!(f, "/{}", since.0)?;
        }
        match &self.rules {
            Some(rules) => write!(f, "~{rules}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for FeedCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let bad = || BadCursor(text.chars().take(80).collect());
        let number = |text: &str| match text.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Position(number)),
            Ok(_) | Err(_) => Err(bad()),
        };
        let (text, rules) = match text.rsplit_once('~') {
            Some((_, "")) => return Err(bad()),
            Some((text, rules)) => (text, Some(rules.to_owned())),
            None => (text, None),
        };
        let (epoch, place) = text.rsplit_once('.').ok_or_else(bad)?;
        let (position, since) = match place.split_once('/') {
            Some((position, since)) => (position, Some(number(since)?)),
            None => (place, None),
        };
        if epoch.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            at: Cursor {
                epoch: Epoch(epoch.to_owned()),
                position: number(position)?,
            },
            since,
            rules,
        })
    }
}

/// A model's place in [`crate::schema::Schema::models`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub usize);

/// A stored field's place in [`crate::schema::Model::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor {
            epoch: Epoch("a-b.c".into()),
            position: Position(42),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        let during = FeedCursor {
            at: cursor.clone(),
            since: Some(Position(50)),
            rules: None,
        };
        assert_eq!(during.to_string(), "a-b.c.42/50");
        assert_eq!(during.to_string().parse(), Ok(during.clone()));
        assert_eq!(during.to_string().parse(), Ok(cursor.clone()));
        let ruled = FeedCursor {
            rules: Some("x-_9".into()),
            ..during
        };
        assert_eq!(ruled.to_string(), "a-b.c.42/50~x-_9");
        assert_eq!(ruled.to_string().parse(), Ok(ruled.clone()));
        assert_eq!(ruled.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn what_no_server_gave_is_refused() {
        for text in [
            "",
            "7",
            ".7",
            "e.",
            "e.-1",
            "e.x",
            "e.99999999999999999999",
            "e.1/",
            "e.1/x",
            "e.1/-2",
            "e./2",
            "e.1~",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor(text.to_owned())), "{text}");
        }
    }
}
