//! What templates write names, literals and comments with.

use heck::{ToKebabCase, ToLowerCamelCase, ToPascalCase, ToShoutySnakeCase, ToSnakeCase};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::{Language, names};

pub(crate) fn register(environment: &mut Environment<'_>, language: Language) {
    environment.add_filter("pascal", |text: &str| text.to_pascal_case());
    environment.add_filter("camel", |text: &str| text.to_lower_camel_case());
    environment.add_filter("snake", |text: &str| text.to_snake_case());
    environment.add_filter("screaming", |text: &str| text.to_shouty_snake_case());
    environment.add_filter("kebab", |text: &str| text.to_kebab_case());
    environment.add_filter("upper_first", |text: &str| names::upper_first(text));
    environment.add_filter("lower_first", |text: &str| names::lower_first(text));
    environment.add_filter("type_name", move |text: &str| names::type_name(language, text));
    environment.add_filter("member", move |text: &str| names::member(language, text));
    environment.add_filter("local", move |text: &str| names::local(language, text));
    environment.add_filter("enum_case", move |text: &str| names::enum_case(language, text));
    environment.add_filter("constant", move |text: &str| names::constant(language, text));
    environment.add_filter("file_name", move |text: &str| names::file_name(language, text));
    environment.add_filter("escape", move |text: &str| names::escape(language, text));
    environment.add_filter("string", move |text: &str| language.string(text));
    environment.add_filter("doc", move |text: Value, indent: Option<usize>| {
        doc(language, &text, indent)
    });
    environment.add_filter("comment", move |text: Value, indent: Option<usize>| {
        comment(language, &text, indent)
    });
    environment.add_filter("json", |value: Value| {
        serde_json::to_string(&value).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
    });
    environment.add_filter("chunks", |text: &str, bytes: usize| chunks(text, bytes));
    environment.add_filter("where", |list: Vec<Value>, key: &str, value: Value| {
        let mut out = Vec::new();
        for item in list {
            if item.get_attr(key)? == value {
                out.push(item);
            }
        }
        Ok::<_, Error>(out)
    });
    environment.add_filter("find", |list: Vec<Value>, key: &str, value: Value| {
        for item in list {
            if item.get_attr(key)? == value {
                return Ok::<_, Error>(item);
            }
        }
        Ok(Value::from(()))
    });
}

/// The description as the language's documentation, with the line's end; nothing for none. Whatever would end the comment is
/// taken apart.
fn doc(language: Language, text: &Value, indent: Option<usize>) -> String {
    let Some(text) = said(text) else {
        return String::new();
    };
    let pad = " ".repeat(indent.unwrap_or(0));
    match language {
        Language::Swift => prefixed(&text, &pad, "///"),
        Language::Rust => prefixed(&without_code(&text), &pad, "///"),
        Language::Kotlin | Language::TypeScript => {
            // Kotlin's comments nest: an opening one counts too.
            let text = text.replace("*/", "*\u{200b}/").replace("/*", "/\u{200b}*");
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            match lines.as_slice() {
                [one] => format!("{pad}/** {one} */\n"),
                many => format!(
                    "{pad}/**\n{}{pad} */\n",
                    prefixed(&many.join("\n"), &format!("{pad} "), "*")
                ),
            }
        }
        Language::Python => {
            // A quote right before the closing three would be read as one of them.
            let inner = text.trim_end_matches('"');
            let last = "\\\"".repeat(text.len() - inner.len());
            let text = inner.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"") + &last;
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            match lines.as_slice() {
                [one] => format!("{pad}\"\"\"{one}\"\"\"\n"),
                [first, rest @ ..] => {
                    let rest = rest.iter().map(|line| {
                        if line.is_empty() {
                            "\n".to_owned()
                        } else {
                            format!("{pad}{line}\n")
                        }
                    });
                    format!("{pad}\"\"\"{first}\n{}{pad}\"\"\"\n", rest.collect::<String>())
                }
                [] => String::new(),
            }
        }
    }
}

/// The text as plain comments to the end of the line, one for each of its lines.
fn comment(language: Language, text: &Value, indent: Option<usize>) -> String {
    let Some(text) = said(text) else {
        return String::new();
    };
    let pad = " ".repeat(indent.unwrap_or(0));
    prefixed(&text, &pad, if language == Language::Python { "#" } else { "//" })
}

/// The text, unless there is none.
fn said(text: &Value) -> Option<String> {
    let text = clean(text.as_str()?);
    let text = text.trim_matches('\n').trim_end();
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// Rust runs the code blocks of documentation as tests: what a description shows is none.
fn without_code(text: &str) -> String {
    let mut out = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("```") || bare.starts_with("~~~") {
            out.push(if inside {
                bare.to_owned()
            } else {
                format!("{}text", &bare[..3])
            });
            inside = !inside;
        } else if !inside && line.len() - bare.len() > 3 {
            // Four spaces would begin a block.
            out.push(format!("   {bare}"));
        } else {
            out.push(line.to_owned());
        }
    }
    if inside {
        out.push("```".to_owned());
    }
    out.join("\n")
}

fn prefixed(text: &str, pad: &str, mark: &str) -> String {
    text.lines()
        .map(|line| format!("{pad}{}\n", format!("{mark} {}", line.trim_end()).trim_end()))
        .collect()
}

/// Without what a compiler takes for the end of a line, or an editor shows in another order than it stands.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let keep = |c: char| match c {
        '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => ' ',
        c if c.is_control() && c != '\n' => ' ',
        c => c,
    };
    text.chars().map(keep).collect()
}

/// The text in pieces of at most `bytes` bytes, none of which splits a character.
fn chunks(text: &str, bytes: usize) -> Vec<String> {
    let mut out = vec![String::new()];
    for c in text.chars() {
        let full = out
            .last()
            .is_some_and(|last| !last.is_empty() && last.len() + c.len_utf8() > bytes);
        if full {
            out.push(String::new());
        }
        if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out
}
