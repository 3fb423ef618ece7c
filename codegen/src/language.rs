//! The languages, and what each writes for itself: comments, string literals, optional values and lists.

use std::fmt;

/// A language that code is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Swift 5.9 and later.
    Swift,
    /// Kotlin 1.9 and later.
    Kotlin,
    /// Rust, edition 2024.
    Rust,
    /// TypeScript, `--strict`.
    TypeScript,
    /// Python 3.11 and later.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Swift, Self::Kotlin, Self::Rust, Self::TypeScript, Self::Python];

    /// Its name on the command line, and the folder of its templates.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Swift => "swift",
            Self::Kotlin => "kotlin",
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
        }
    }

    /// The language called `name` on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    /// The package that generated code stands in unless the caller names one.
    #[must_use]
    pub fn package_default(self) -> &'static str {
        match self {
            Self::Swift => "Generated",
            Self::Kotlin => "tombolo.generated",
            Self::Rust | Self::TypeScript | Self::Python => "generated",
        }
    }

    /// Whether `name` can be a package: a name that is no keyword; in Kotlin and Python several with dots between them.
    pub(crate) fn package_fits(self, name: &str) -> bool {
        let part = |part: &str| {
            let mut chars = part.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !crate::words::is_keyword(self, part)
        };
        let parts: Vec<&str> = name.split('.').collect();
        let several = matches!(self, Self::Kotlin | Self::Python);
        (several || parts.len() == 1) && parts.into_iter().all(part)
    }

    /// `inner` or nothing.
    pub(crate) fn optional(self, inner: &str) -> String {
        match self {
            Self::Swift | Self::Kotlin => format!("{inner}?"),
            Self::Rust => format!("Option<{inner}>"),
            Self::TypeScript => format!("{inner} | null"),
            Self::Python => format!("{inner} | None"),
        }
    }

    /// A list of `item`.
    pub(crate) fn list(self, item: &str) -> String {
        match self {
            Self::Swift => format!("[{item}]"),
            Self::Kotlin => format!("List<{item}>"),
            Self::Rust => format!("Vec<{item}>"),
            Self::TypeScript if item.contains(' ') => format!("({item})[]"),
            Self::TypeScript => format!("{item}[]"),
            Self::Python => format!("list[{item}]"),
        }
    }

    /// A string literal that means `text`, on one line.
    #[must_use]
    pub fn string(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '$' if self == Self::Kotlin => out.push_str("\\$"),
                // Line separators, and marks that turn the direction of what an editor shows.
                c if c.is_control()
                    || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
                {
                    out.push_str(&self.escape(u32::from(c)));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        out
    }

    /// A character by its number, all of which here are below 0x10000.
    fn escape(self, code: u32) -> String {
        match self {
            Self::Swift | Self::Rust => format!("\\u{{{code:x}}}"),
            Self::Kotlin | Self::TypeScript | Self::Python => format!("\\u{code:04x}"),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What begins a comment to the end of the line in a file of this name; `None` for files that generated code does not
/// consist of.
pub(crate) fn line_comment(path: &str) -> Option<&'static str> {
    let extension = path.rsplit('/').next()?.rsplit_once('.')?.1;
    match extension {
        "swift" | "kt" | "kts" | "rs" | "ts" | "mts" | "js" | "mjs" => Some("//"),
        "py" | "pyi" | "toml" | "graphql" | "pro" | "yaml" | "yml" => Some("#"),
        _ => None,
    }
}
