//! What happens in a simulation, as text that a person can read, edit and play again.

use std::fmt;
use std::str::FromStr;

/// One step. Phones are numbered from 0 and shown as `phone-a`, `phone-b`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep {
    /// The user of a phone does something: one of the simulation's actions.
    Act {
        /// Who.
        phone: usize,
        /// The action's name.
        action: String,
        /// Decides everything that the action draws ([`crate::Hand::draw`]).
        draw: u64,
    },
    /// The phone loses its network; what was on its way is lost.
    Offline(usize),
    /// The phone has a network again.
    Online(usize),
    /// So many messages travel between the phone and the server, no more.
    Flow {
        /// Whose.
        phone: usize,
        /// How many.
        messages: u32,
    },
    /// Everything that can be delivered is delivered.
    Sync,
}

impl ScriptStep {
    pub(crate) fn phone(&self) -> Option<usize> {
        match self {
            Self::Act { phone, .. } | Self::Offline(phone) | Self::Online(phone) | Self::Flow { phone, .. } => {
                Some(*phone)
            }
            Self::Sync => None,
        }
    }
}

/// `phone-a` for 0.
pub(crate) fn phone_name(phone: usize) -> String {
    let letter = u8::try_from(phone).ok().and_then(|place| b'a'.checked_add(place));
    match letter {
        Some(letter @ b'a'..=b'z') => format!("phone-{}", char::from(letter)),
        Some(_) | None => format!("phone-{phone}"),
    }
}

fn phone_number(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("phone-")?;
    match rest.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(usize::from(letter - b'a')),
        _ => rest.parse().ok(),
    }
}

/// The steps of one simulation, one a line; `#` begins a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<ScriptStep>);

impl fmt::Display for ScriptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { phone, action, draw } => write!(f, "{} does {action} draw={draw}", phone_name(*phone)),
            Self::Offline(phone) => write!(f, "{} goes offline", phone_name(*phone)),
            Self::Online(phone) => write!(f, "{} comes online", phone_name(*phone)),
            Self::Flow { phone, messages } => write!(f, "{} exchanges {messages} messages", phone_name(*phone)),
            Self::Sync => f.write_str("all sync"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

/// A line that is no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: `{text}` is no step; the steps are `phone-a does ACTION draw=N`, `phone-a goes offline`, \
     `phone-a comes online`, `phone-a exchanges N messages` and `all sync`"
)]
pub struct BadScript {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl FromStr for Script {
    type Err = BadScript;

    fn from_str(text: &str) -> Result<Self, BadScript> {
        let mut steps = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            steps.push(step(line).ok_or_else(|| BadScript {
                line: place + 1,
                text: line.to_owned(),
            })?);
        }
        Ok(Self(steps))
    }
}

fn step(line: &str) -> Option<ScriptStep> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        ["all", "sync"] => ScriptStep::Sync,
        [phone, "does", action, draw] => ScriptStep::Act {
            phone: phone_number(phone)?,
            action: (*action).to_owned(),
            draw: draw.strip_prefix("draw=")?.parse().ok()?,
        },
        [phone, "goes", "offline"] => ScriptStep::Offline(phone_number(phone)?),
        [phone, "comes", "online"] => ScriptStep::Online(phone_number(phone)?),
        [phone, "exchanges", messages, "messages"] => ScriptStep::Flow {
            phone: phone_number(phone)?,
            messages: messages.parse().ok()?,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_survives_its_text() {
        let steps = vec![
            ScriptStep::Act {
                phone: 0,
                action: "sell".into(),
                draw: 7,
            },
            ScriptStep::Offline(1),
            ScriptStep::Online(1),
            ScriptStep::Flow { phone: 2, messages: 3 },
            ScriptStep::Sync,
        ];
        let script = Script(steps);
        assert_eq!(script.to_string().parse(), Ok(script));
    }

    #[test]
    fn a_bad_line_is_named() {
        let bad = "all sync\n\n# a remark\nphone-a explodes".parse::<Script>();
        assert_eq!(
            bad,
            Err(BadScript {
                line: 4,
                text: "phone-a explodes".into()
            })
        );
    }
}
