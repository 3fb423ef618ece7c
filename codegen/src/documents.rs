//! Reads operations files as one document and checks them against the API, each message with its file and place.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::parser::{Parser, SourceMap, SourceSpan};
use apollo_compiler::validation::{DiagnosticList, Valid};
use tombolo_core::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DOCUMENT_TOKENS_MAX};
use tombolo_core::schema::Schema;

use crate::error::{Errors, Message};

/// All files, checked.
pub(crate) struct Documents {
    pub(crate) executable: Valid<ExecutableDocument>,
    files: Vec<(String, String)>,
}

/// Reads the files together: a fragment of one may be spread in another.
pub(crate) fn read(schema: &Schema, files: &[(String, String)]) -> Result<Documents, Errors> {
    let mut messages = Vec::new();
    let mut diagnostics = DiagnosticList::new(SourceMap::default());
    let mut builder = ExecutableDocument::builder(Some(&schema.api), &mut diagnostics);
    for (file, text) in files {
        let over = |what: String| {
            Message::new(
                file,
                None,
                what,
                "split the file: the server refuses such a document too",
            )
        };
        if text.len() > DOCUMENT_BYTES_MAX {
            messages.push(over(format!(
                "the file has more than {DOCUMENT_BYTES_MAX} bytes (DOCUMENT_BYTES_MAX)"
            )));
            continue;
        }
        let mut parser = Parser::new()
            .token_limit(DOCUMENT_TOKENS_MAX)
            .recursion_limit(DOCUMENT_DEPTH_MAX);
        parser.parse_into_executable_builder(text, file, &mut builder);
        if parser.tokens_reached() > DOCUMENT_TOKENS_MAX {
            messages.push(over(format!(
                "the file has more than {DOCUMENT_TOKENS_MAX} tokens (DOCUMENT_TOKENS_MAX)"
            )));
        }
        if parser.recursion_reached() > DOCUMENT_DEPTH_MAX {
            messages.push(over(format!(
                "the file nests deeper than {DOCUMENT_DEPTH_MAX} levels (DOCUMENT_DEPTH_MAX)"
            )));
        }
    }
    let document = builder.build();
    if let Some(anonymous) = &document.operations.anonymous {
        let (file, place) = at(&document.sources, anonymous.location());
        messages.push(Message::new(
            &file,
            place,
            "an operation without a name, so that no function can be called after it",
            "name it: `query FlightsOfDay { … }`",
        ));
    }
    messages.extend(told(&diagnostics));
    if !messages.is_empty() {
        return Err(sorted(messages, files));
    }
    match document.validate(&schema.api) {
        Ok(executable) => Ok(Documents {
            executable,
            files: files.to_vec(),
        }),
        Err(with) => Err(sorted(told(&with.errors), files)),
    }
}

impl Documents {
    /// The file that a definition stands in.
    pub(crate) fn source(&self, span: Option<SourceSpan>) -> String {
        at(&self.executable.sources, span).0
    }

    /// A message about something that stands in one of the files.
    pub(crate) fn message(&self, span: Option<SourceSpan>, problem: String, mend: &str) -> Message {
        let (file, place) = at(&self.executable.sources, span);
        Message::new(&file, place, problem, mend)
    }

    /// The comment right above a definition.
    pub(crate) fn doc(&self, span: Option<SourceSpan>) -> Option<String> {
        let (file, place) = at(&self.executable.sources, span);
        let (_, text) = self.files.iter().find(|(name, _)| *name == file)?;
        let before: Vec<&str> = text.lines().take(place?.0.checked_sub(1)?).collect();
        let mut lines: Vec<&str> = before
            .iter()
            .rev()
            .map_while(|line| line.trim().strip_prefix('#'))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect();
        lines.reverse();
        let doc = lines.join("\n").trim().to_owned();
        (!doc.is_empty()).then_some(doc)
    }
}

fn at(sources: &SourceMap, span: Option<SourceSpan>) -> (String, Option<(usize, usize)>) {
    let Some(span) = span else {
        return ("operations".to_owned(), None);
    };
    let file = sources.get(&span.file_id());
    let file = file.map_or_else(|| "operations".to_owned(), |it| it.path().display().to_string());
    let place = span.line_column(sources).map(|at| (at.line, at.column));
    (file, place)
}

fn told(diagnostics: &DiagnosticList) -> Vec<Message> {
    let one = |diagnostic: apollo_compiler::diagnostic::Diagnostic<'_, _>| {
        let (file, place) = at(
            diagnostic.sources,
            apollo_compiler::diagnostic::ToCliReport::location(diagnostic.error),
        );
        let problem = diagnostic.to_json().message;
        let mend = mend(&problem);
        Message::new(&file, place, problem, mend)
    };
    diagnostics.iter().map(one).collect()
}

/// What to do about a message of the validator's.
fn mend(problem: &str) -> &'static str {
    let has = |words: &str| problem.contains(words);
    if has("executable document must not contain") {
        "this is a schema file: narrow the pattern of --operations to files of operations"
    } else if has("unused variable") {
        "use it as an argument, or remove it"
    } else if has("does not have a field") || has("cannot query field") {
        "select a field of that type: `tombolo schema print` lists them"
    } else if has("fragment") && (has("not used") || has("must be used") || has("unused")) {
        "spread it in an operation, or remove it"
    } else if has("fragment") {
        "correct the fragment, or give the file that declares it with --operations"
    } else if has("variable") {
        "declare the variable with the type that the argument has, and use it"
    } else if has("argument") {
        "give the arguments that `tombolo schema print` shows for the field"
    } else if has("subselection") || has("subfields") || has("selection") {
        "select fields of an object, and nothing of a scalar"
    } else if has("more than once") || has("already defined") || has("multiple times") || has("unique") {
        "rename one of them"
    } else if has("anonymous") {
        "name it: `query FlightsOfDay { … }`"
    } else if has("syntax error") {
        "correct the syntax there"
    } else {
        "correct the operation, or the schema"
    }
}

/// In the order of the files, and by place in each.
fn sorted(mut messages: Vec<Message>, files: &[(String, String)]) -> Errors {
    let order = |message: &Message| files.iter().position(|(name, _)| *name == message.file);
    messages.sort_by_key(|message| (order(message), message.place));
    messages.dedup();
    Errors(messages)
}
