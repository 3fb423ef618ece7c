//! Templates to files: which are written, for what, and under which paths.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};

use crate::context::Context;
use crate::error::{Errors, Message};
use crate::language::line_comment;
use crate::{File, HEADER, Language, filters};

/// Every file of `templates/`, by its path in it.
const TEMPLATES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// The language's own templates, by path in its folder.
pub(crate) fn own(language: Language) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = move |(path, text): &(&'static str, &'static str)| {
        let path = path.strip_prefix(language.name())?.strip_prefix('/')?;
        Some((path, *text))
    };
    TEMPLATES.iter().filter_map(of)
}

/// What stands in brackets in a template's path, and so how often the template is written.
enum Each {
    Model,
    Enum,
    Embedded,
    Input,
    Operation,
    Fragment,
}

const EACH: [(&str, Each); 6] = [
    ("[model]", Each::Model),
    ("[enum]", Each::Enum),
    ("[embedded]", Each::Embedded),
    ("[input]", Each::Input),
    ("[operation]", Each::Operation),
    ("[fragment]", Each::Fragment),
];

/// Renders every template of the language, `overrides` in place of its own and beside them.
pub(crate) fn render(
    context: &Context,
    language: Language,
    overrides: &[(String, String)],
) -> Result<Vec<File>, Errors> {
    let mut templates: BTreeMap<String, String> = own(language)
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect();
    for (path, text) in overrides {
        if !path.ends_with(".j2") {
            let mend = "name it after the file that it makes, with .j2 behind it, or take it out of the folder";
            return Err(Message::new(path, None, "a template's name ends in .j2", mend).into());
        }
        templates.insert(path.clone(), text.clone());
    }
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_syntax(syntax()?);
    filters::register(&mut environment, language);
    for (path, text) in &templates {
        environment
            .add_template_owned(path.clone(), text.clone())
            .map_err(|error| failed(path, &error))?;
    }
    let whole = Value::from(Serde(context));
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    for path in templates.keys() {
        // Those that others include; Python's `__init__.py` is none.
        if path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with('_') && !name.starts_with("__"))
        {
            continue;
        }
        for (target, own) in targets(context, path) {
            let text = environment
                .get_template(path)
                .and_then(|template| template.render(context! { ..own, ..whole.clone() }))
                .map_err(|error| failed(path, &error))?;
            // A template that says nothing makes no file.
            if text.trim().is_empty() {
                continue;
            }
            let file = file(path, &target, &text)?;
            let key = file.path.to_lowercase();
            if let Some(other) = files.insert(key, file) {
                let problem = format!("`{target}` is written twice (also as `{}`)", other.path);
                let mend = "give one of the two templates another path, or rename one of the types";
                return Err(Message::new(path, None, problem, mend).into());
            }
        }
    }
    let mut files: Vec<File> = files.into_values().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Lines that hold a block tag alone leave nothing behind.
fn syntax() -> Result<SyntaxConfig, Errors> {
    let built = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    built.map_err(|error| failed("templates", &error))
}

/// The paths that a template is written to, each with what it is written for.
fn targets(context: &Context, template: &str) -> Vec<(String, Value)> {
    let path = template.strip_suffix(".j2").unwrap_or(template);
    let path = path.replace("[package]", &context.package.replace('.', "/"));
    let Some((mark, each)) = EACH.iter().find(|(mark, _)| path.contains(mark)) else {
        return vec![(path, context! {})];
    };
    let at = |name: &str| path.replace(mark, name);
    match each {
        Each::Model => context
            .models
            .iter()
            .map(|it| (at(&it.names.file), context! { model => Value::from(Serde(it)) }))
            .collect(),
        Each::Enum => context
            .enums
            .iter()
            .map(|it| (at(&it.file_name), context! { enum => Value::from(Serde(it)) }))
            .collect(),
        Each::Embedded => context
            .embedded
            .iter()
            .map(|it| (at(&it.file_name), context! { embedded_type => Value::from(Serde(it)) }))
            .collect(),
        Each::Input => context
            .inputs
            .iter()
            .map(|it| (at(&it.file_name), context! { input => Value::from(Serde(it)) }))
            .collect(),
        Each::Operation => context
            .operations
            .iter()
            .map(|it| (at(&it.file_name), context! { operation => Value::from(Serde(it)) }))
            .collect(),
        Each::Fragment => context
            .fragments
            .iter()
            .map(|it| (at(&it.file_name), context! { fragment => Value::from(Serde(it)) }))
            .collect(),
    }
}

fn file(template: &str, path: &str, text: &str) -> Result<File, Errors> {
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '[', ']']);
    if !path.split('/').all(good) {
        let problem = format!("`{path}` is no path of a generated file");
        let mend = "use [model], [enum], [embedded], [input], [operation], [fragment] and [package], and plain names";
        return Err(Message::new(template, None, problem, mend).into());
    }
    let Some(mark) = line_comment(path) else {
        let problem = format!("`{path}` is of a kind that takes no comment by which it would be known as generated");
        let mend = "generate source files, .toml, .yaml, .pro or .graphql";
        return Err(Message::new(template, None, problem, mend).into());
    };
    let body = text.trim_start_matches('\n').trim_end();
    Ok(File {
        path: path.to_owned(),
        text: format!("{mark} {HEADER}\n\n{body}\n"),
    })
}

fn failed(template: &str, error: &minijinja::Error) -> Errors {
    let name = error.name().unwrap_or(template);
    let mut problem = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        problem = format!("{problem}: {cause}");
        source = cause.source();
    }
    let place = error.line().map(|line| (line, 1));
    let mend = "correct the template; `tombolo codegen --print-context` prints what it may use";
    Message::new(name, place, problem, mend).into()
}
