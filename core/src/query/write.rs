//! Writing an answer: rows into JSON bytes in the order of the document, with GraphQL's handling of nulls.
//!
//! A null where none may stand is an error by path, and the nearest nullable thing around it becomes null: what has been
//! written of that thing is cut off the buffer again.

use apollo_compiler::parser::SourceSpan;

use super::document::{Parsed, location, over};
use super::filter_parse::bad;
use super::leaf::{Of, Wholes, write_int, write_text};
use super::plan::{ConnectionShape, ConnectionWhat, List, Node, ObjectShape, Shape, Slot, Source, Tree, What};
use super::rows::Rows;
use super::token::{Token, column_type};
use crate::limits::ANSWER_ERRORS_MAX;
use crate::schema::Schema;
use crate::value::{Row, ValueRef};
use crate::wire::graphql::{ErrorType, GraphqlError, PathSegment};

/// A null travelling upwards to the nearest place where it may stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Null;

/// Where in the answer we are: a list along the call stack, made into a real path only for an error.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Top,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub(super) fn segments(&self) -> Vec<PathSegment> {
        match self {
            Self::Top => Vec::new(),
            Self::Key(up, key) => {
                let mut path = up.segments();
                path.push(PathSegment::Key((*key).to_owned()));
                path
            }
            Self::Index(up, index) => {
                let mut path = up.segments();
                path.push(PathSegment::Index(*index));
                path
            }
        }
    }

    /// `/listPosts/items[0]/title`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Key(up, key) => format!("{}/{key}", up.text()),
            Self::Index(up, index) => format!("{}[{index}]", up.text()),
        }
    }
}

/// What has been read of one node.
#[derive(Debug, Default)]
pub(super) struct NodeRows {
    pub(super) rows: Rows,
    /// For a child: for each row of the parent node, which group of `groups` is its.
    pub(super) keys: Vec<Option<u32>>,
    /// Rows `start..end` belong together.
    pub(super) groups: Vec<(usize, usize)>,
    /// For a child: the key of each group, as JSON text.
    pub(super) key_texts: Vec<String>,
}

/// The records of a tree that are complete.
#[derive(Clone, Copy)]
pub(super) struct Nested<'t> {
    pub(super) tree: &'t Tree,
    pub(super) read: &'t [NodeRows],
    pub(super) row: usize,
}

/// Writes, and gathers the errors.
#[derive(Debug)]
pub(super) struct Writer<'d> {
    pub(super) parsed: &'d Parsed,
    pub(super) wholes: &'d Wholes,
    pub(super) errors: Vec<GraphqlError>,
}

impl Writer<'_> {
    pub(super) fn push(&mut self, error: GraphqlError) {
        if self.errors.len() < ANSWER_ERRORS_MAX {
            self.errors.push(error);
        } else if self.errors.len() == ANSWER_ERRORS_MAX {
            self.errors.push(GraphqlError::new(
                ErrorType::LimitExceeded,
                format!("further errors are left out: an answer lists at most {ANSWER_ERRORS_MAX} (ANSWER_ERRORS_MAX)"),
            ));
        }
    }

    pub(super) fn error(&mut self, message: String, span: Option<SourceSpan>, path: &Path<'_>) {
        self.push(GraphqlError {
            message,
            path: Some(path.segments()),
            locations: location(&self.parsed.executable.sources, span),
            ..GraphqlError::default()
        });
    }

    pub(super) fn null_error(&mut self, ty: &str, parent: &str, span: Option<SourceSpan>, path: &Path<'_>) {
        let message = format!(
            "Cannot return null for non-nullable type: '{}' within parent '{parent}' ({})",
            ty.trim_end_matches('!'),
            path.text()
        );
        self.error(message, span, path);
    }

    /// Writes one record.
    pub(super) fn object<R: Row + ?Sized>(
        &mut self,
        out: &mut Vec<u8>,
        shape: &ObjectShape,
        row: &R,
        nested: Option<Nested<'_>>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        if shape.slots.is_empty() {
            out.push(b'{');
        }
        for slot in &shape.slots {
            out.extend_from_slice(&slot.lead);
            self.slot(out, shape, (slot, &slot.what), row, nested, path)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Writes one member of a record: `what` stands in the slot.
    #[inline]
    fn slot<R: Row + ?Sized>(
        &mut self,
        out: &mut Vec<u8>,
        shape: &ObjectShape,
        (slot, what): (&Slot, &What),
        row: &R,
        nested: Option<Nested<'_>>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        match what {
            What::Const(bytes) => out.extend_from_slice(bytes),
            What::Column(column, ty) => {
                let of = Of {
                    type_name: &shape.type_name,
                    span: slot.span,
                };
                let path = Path::Key(path, &slot.key);
                self.column(out, ty, slot.required, row.get(*column), of, &path)?;
            }
            What::Deleted(column) => {
                let deleted = is_true(row.get(*column));
                out.extend_from_slice(if deleted { b"true" } else { b"null" });
            }
            What::Ruled { rule, what, .. } if is_true(row.get(*rule)) => {
                self.slot(out, shape, (slot, what), row, nested, path)?;
            }
            What::One(_) | What::Many(_) | What::Refused(_) | What::Ruled { .. } => {
                let start = out.len();
                let path = Path::Key(path, &slot.key);
                if self
                    .related(out, &shape.type_name, (slot, what), nested, &path)
                    .is_err()
                {
                    if slot.required {
                        return Err(Null);
                    }
                    out.truncate(start);
                    out.extend_from_slice(b"null");
                }
            }
        }
        Ok(())
    }

    /// A slot that is no column of the row. `Err` for a null with its error told.
    fn related(
        &mut self,
        out: &mut Vec<u8>,
        parent: &str,
        (slot, what): (&Slot, &What),
        nested: Option<Nested<'_>>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        let (What::One(child) | What::Many(child)) = *what else {
            let error = match what {
                What::Refused(error) => Some(error),
                What::Ruled { error, .. } => error.as_deref(),
                What::Const(_) | What::Column(..) | What::Deleted(_) | What::One(_) | What::Many(_) => None,
            };
            if let Some(error) = error {
                self.push(GraphqlError {
                    locations: location(&self.parsed.executable.sources, slot.span),
                    ..error.clone().at(path.segments())
                });
            }
            return Err(Null);
        };
        let Some((nested, node, read)) =
            nested.and_then(|nested| Some((nested, nested.tree.nodes.get(child)?, nested.read.get(child)?)))
        else {
            return Err(Null);
        };
        let group = read.keys.get(nested.row).copied().flatten();
        let (start, end) = group
            .and_then(|g| read.groups.get(g as usize).copied())
            .unwrap_or_default();
        match &node.shape {
            Shape::One(shape) if start < end => {
                let row = Nested { row: start, ..nested };
                self.object(out, shape, &read.rows.row(start), Some(row), path)
            }
            Shape::One(shape) => {
                if slot.required {
                    self.null_error(&shape.type_name, parent, slot.span, path);
                    return Err(Null);
                }
                out.extend_from_slice(b"null");
                Ok(())
            }
            Shape::Many(shape) => {
                let key = group.and_then(|g| read.key_texts.get(g as usize)).map(String::as_str);
                let Source::Child(source) = &node.source else {
                    return Err(Null);
                };
                if source.token_parent.is_some() && source.token_parent.as_deref() != key {
                    let error = bad(
                        "`nextToken` belongs to the list of another record: ask for further pages of a nested list one \
                         record at a time",
                    );
                    self.push(GraphqlError {
                        locations: location(&self.parsed.executable.sources, slot.span),
                        ..error.at(path.segments())
                    });
                    return Err(Null);
                }
                let page = Page {
                    node,
                    list: &source.list,
                    most: source.list.limit,
                    rows: &read.rows,
                    start,
                    end,
                    parent: key,
                    started_at: None,
                };
                self.connection(out, shape, &page, nested, path);
                Ok(())
            }
        }
    }

    /// A page of records as a connection object. Its list is never null: a record that cannot stand is a null in it.
    pub(super) fn connection(
        &mut self,
        out: &mut Vec<u8>,
        shape: &ConnectionShape,
        page: &Page<'_>,
        nested: Nested<'_>,
        path: &Path<'_>,
    ) {
        let end = page.end.min(page.start + page.most);
        if shape.slots.is_empty() {
            out.push(b'{');
        }
        for slot in &shape.slots {
            out.extend_from_slice(&slot.lead);
            match &slot.what {
                ConnectionWhat::Const(bytes) => out.extend_from_slice(bytes),
                ConnectionWhat::Items(shape) => {
                    let path = Path::Key(path, &slot.key);
                    out.push(b'[');
                    for row in page.start..end {
                        if row > page.start {
                            out.push(b',');
                        }
                        let nested = Nested { row, ..nested };
                        let path = Path::Index(&path, row - page.start);
                        self.item(out, shape, &page.rows.row(row), Some(nested), &path);
                    }
                    out.push(b']');
                }
                ConnectionWhat::NextToken if end < page.end && end > page.start => {
                    let token = token_of(
                        &self.parsed.schema,
                        page.node,
                        page.list,
                        &page.rows.row(end - 1),
                        page.parent,
                        page.started_at,
                    );
                    match token {
                        Some(token) => write_text(&token, out),
                        None => {
                            self.push(long_token().at(Path::Key(path, &slot.key).segments()));
                            out.extend_from_slice(b"null");
                        }
                    }
                }
                ConnectionWhat::NextToken => out.extend_from_slice(b"null"),
                ConnectionWhat::StartedAt => match page.started_at {
                    Some(at) => write_int(at, out),
                    None => out.extend_from_slice(b"null"),
                },
            }
        }
        out.push(b'}');
    }

    /// One item of a list of nullable items.
    pub(super) fn item<R: Row + ?Sized>(
        &mut self,
        out: &mut Vec<u8>,
        shape: &ObjectShape,
        row: &R,
        nested: Option<Nested<'_>>,
        path: &Path<'_>,
    ) {
        let start = out.len();
        if self.object(out, shape, row, nested, path).is_err() {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }
}

fn is_true(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Int(n) if n != 0)
}

/// Some rows of a node that make one connection; up to one more than the limit, which says that there is a next page.
pub(super) struct Page<'a> {
    pub(super) node: &'a Node,
    pub(super) list: &'a List,
    /// Most items.
    pub(super) most: usize,
    pub(super) rows: &'a Rows,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) parent: Option<&'a str>,
    pub(super) started_at: Option<i64>,
}

/// What stands in the place of a token that nobody would read.
pub(super) fn long_token() -> GraphqlError {
    over(
        "the list has more records, but the last one's values that it is sorted by are too long for a `nextToken` \
         (TOKEN_BYTES_MAX): sort by a shorter field, or ask for all in one page",
    )
}

/// The token that leads on after `row`, whose columns are the node's; `None` if it would be too long.
pub(super) fn token_of<R: Row + ?Sized>(
    schema: &Schema,
    node: &Node,
    list: &List,
    row: &R,
    parent: Option<&str>,
    started_at: Option<i64>,
) -> Option<String> {
    let plan = list.token.as_ref()?;
    let model = schema.model(node.model);
    let after = list
        .order
        .iter()
        .zip(&plan.columns)
        .map(|(by, place)| column_type(model, by.column).value_from_column(row.get(*place)))
        .collect();
    Token {
        after,
        parent: parent.map(str::to_owned),
        started_at,
    }
    .encode(&plan.list)
}
