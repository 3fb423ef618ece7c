//! The part of the API that is the same for every schema.

/// AWS scalars and directives, which AppSync has built in.
pub(super) const PRELUDE: &str = include_str!("prelude.graphql");

/// Operator inputs and enums.
pub(super) const OPERATORS: &str = include_str!("operators.graphql");

/// The types of the change feed.
pub(super) const FEED: &str = include_str!("feed.graphql");

/// The names of the types that one of these texts declares.
pub(super) fn names(sdl: &'static str) -> impl Iterator<Item = &'static str> {
    sdl.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next()?, "scalar" | "input" | "enum" | "type")
            .then(|| words.next())
            .flatten()
    })
}
