//! Running a bound operation: statements out, rows in, bytes at the end.

use std::collections::HashMap;
use std::sync::Arc;

use super::answer::Answer;
use super::bind::Bound;
use super::document::over;
use super::filter::Filter;
use super::leaf::write_text;
use super::moment::moment;
use super::plan::{BatchSlot, Child, Node, RootAnswer, RootPlan, Shape, Source, Tree};
use super::rows::Rows;
use super::sql::{Builder, ParentKeys};
use super::stream::Stream;
use super::write::{Nested, NodeRows, Null, Page, Path, Writer};
use crate::limits::SYNC_STARTED_LAG_MS;
use crate::record::Record;
use crate::schema::Model;
use crate::value::{Row, Value, ValueRef};
use crate::wire::graphql::{ErrorType, GraphqlError};

/// A SQL statement with its parameters (`?1` is `params[0]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text. Equal for equal plans, so that drivers can keep it prepared.
    pub sql: String,
    /// The parameters.
    pub params: Vec<Value>,
}

/// The result of a root field that the caller decides.
#[derive(Clone, Debug)]
pub enum Supplied {
    /// The record: projected by the selection.
    Record(Arc<Record>),
    /// Null, without an error.
    Null,
    /// Null, with this error (its path is filled in).
    Error(GraphqlError),
    /// Null, with this error, whose `data` is the record projected by the selection.
    Conflict(GraphqlError, Arc<Record>),
    /// The JSON of the field's whole value.
    Raw(Vec<u8>),
    /// The server's clock, in epoch milliseconds, read before the answer is: for a sync, whose `startedAt` is then at most
    /// [`SYNC_STARTED_LAG_MS`] behind it. Without it `startedAt` is the model's newest change. Any other root passes it over.
    Now(i64),
}

/// One run of a bound operation. `while let Some(s) = ex.next_statement() { for each row of s, while ex.row(row) {} }`, then
/// [`Execution::finish`]; [`answer`] does that.
#[derive(Debug)]
pub struct Execution<'b> {
    bound: &'b Bound,
    roots: Vec<RootState>,
    /// The root and the step of it that `row` belongs to.
    at: (usize, usize),
    /// The step after `at` that is looked at next.
    next: (usize, usize),
    writer: Writer<'b>,
}

#[derive(Debug, Default)]
struct RootState {
    supplied: Option<Supplied>,
    read: Vec<NodeRows>,
    stream: Option<Stream>,
    started_at: Option<i64>,
    /// The least that `started_at` is, where the caller has told the time.
    started_floor: i64,
    /// Of a root list that ends before its limit: how many rows it has.
    page_ends: Option<usize>,
    /// The answer grew beyond its limit.
    over: bool,
}

impl<'b> Execution<'b> {
    pub(super) fn new(bound: &'b Bound) -> Self {
        let roots = bound
            .plans
            .iter()
            .map(|plan| match &plan.answer {
                RootAnswer::Read(tree) | RootAnswer::Given(tree) => RootState {
                    read: tree
                        .nodes
                        .iter()
                        .map(|n| NodeRows::with_width(n.columns.len()))
                        .collect(),
                    stream: Stream::of(tree),
                    ..RootState::default()
                },
                RootAnswer::Const(_) | RootAnswer::Refused(_) | RootAnswer::Batch(_) | RootAnswer::Json(_) => {
                    RootState::default()
                }
            })
            .collect();
        Self {
            bound,
            roots,
            at: (0, 0),
            next: (0, 0),
            writer: Writer {
                parsed: &bound.document.inner,
                wholes: &bound.wholes,
                errors: Vec::new(),
            },
        }
    }

    /// Hands over the result of root field `root`, for roots that are not read. Before the first statement: records may
    /// have others nested in them.
    pub fn supply(&mut self, root: usize, with: Supplied) {
        let (Some(state), Some(plan)) = (self.roots.get_mut(root), self.bound.plans.get(root)) else {
            return;
        };
        if let Supplied::Now(now_ms) = with {
            state.started_floor = now_ms.saturating_sub(SYNC_STARTED_LAG_MS).max(0);
            return;
        }
        if let (RootAnswer::Given(tree), Supplied::Record(record) | Supplied::Conflict(_, record)) =
            (&plan.answer, &with)
            && let (Some(node), Some(read)) = (tree.nodes.first(), state.read.first_mut())
        {
            read.rows = Rows::new(node.columns.len());
            let model = self.bound.document.inner.schema.model(node.model);
            read.rows.push(&Given { node, model, record }, 0);
            read.groups = vec![(0, 1)];
        }
        state.supplied = Some(with);
    }

    /// The next statement to run; `None` when all is read. Asking for it says that the one before has given all its rows.
    pub fn next_statement(&mut self) -> Option<Statement> {
        loop {
            let (root, step) = self.next;
            let plan = self.bound.plans.get(root)?;
            let (RootAnswer::Read(tree) | RootAnswer::Given(tree)) = &plan.answer else {
                self.next = (root + 1, 0);
                continue;
            };
            // Step 0 is a sync's `startedAt`, step i + 1 is node i.
            if step > tree.nodes.len() || self.roots[root].over {
                self.next = (root + 1, 0);
                continue;
            }
            self.next = (root, step + 1);
            if let Some(statement) = self.statement(root, step, tree) {
                self.at = (root, step);
                return Some(statement);
            }
        }
    }

    fn statement(&mut self, root: usize, step: usize, tree: &Tree) -> Option<Statement> {
        let builder = Builder {
            schema: &self.bound.document.inner.schema,
            side: self.bound.side,
            started_at: self.roots[root].started_at,
        };
        let state = &mut self.roots[root];
        let Some(step) = step.checked_sub(1) else {
            let node = tree.nodes.first()?;
            let Source::List(list) = &node.source else { return None };
            let sync = list.sync.as_ref()?;
            // An empty model without a clock: the beginning of time.
            state.started_at = Some(sync.started_at.unwrap_or(moment(state.started_floor)));
            return sync.started_at.is_none().then(|| builder.newest_change(node));
        };
        let node = tree.nodes.get(step)?;
        let Source::Child(child) = &node.source else {
            return builder.root(node);
        };
        let (values, json) = state.group(tree, step, child)?;
        Some(builder.child(
            node,
            child,
            &ParentKeys {
                values: &values,
                json: &json,
            },
        ))
    }

    /// Takes one row of the statement given last; false: it needs no more of them.
    pub fn row(&mut self, row: &dyn Row) -> bool {
        let (root, step) = self.at;
        let (Some(plan), Some(state)) = (self.bound.plans.get(root), self.roots.get_mut(root)) else {
            return false;
        };
        let (RootAnswer::Read(tree) | RootAnswer::Given(tree)) = &plan.answer else {
            return false;
        };
        let Some(step) = step.checked_sub(1) else {
            if let ValueRef::Int(at) = row.get(0) {
                state.started_at = Some(moment(at.max(state.started_floor)));
            }
            return false;
        };
        let Some(node) = tree.nodes.get(step).filter(|_| !state.over) else {
            return false;
        };
        let limits = &self.bound.document.inner.limits;
        let (bytes, more) = if let Some(stream) = &mut state.stream {
            let key = self.bound.roots().get(root).map_or("", |r| r.response_key.as_str());
            let more = stream.take(&mut self.writer, node, row, state.started_at, key);
            (stream.bytes(), more)
        } else {
            let read = &mut state.read[step];
            let more = match &node.source {
                Source::Child(child) => {
                    read.take_child(child, row);
                    true
                }
                Source::List(list) => {
                    read.take_root(row);
                    if list.probe && state.page_ends.is_none() && read.rows.bytes() > limits.page_bytes_max {
                        // One more row says that there is a next page.
                        state.page_ends = Some(read.rows.len());
                    }
                    read.rows.len() <= state.page_ends.unwrap_or(usize::MAX)
                }
                Source::Key(_) | Source::Given => {
                    read.take_root(row);
                    true
                }
            };
            (read.rows.bytes(), more)
        };
        state.over = bytes > limits.answer_bytes_max;
        more && !state.over
    }

    /// The answer.
    #[must_use]
    pub fn finish(mut self) -> Answer {
        let mut data = Vec::with_capacity(256);
        data.push(b'{');
        let mut whole = true;
        for (i, (root, plan)) in self.bound.roots().iter().zip(&self.bound.plans).enumerate() {
            if i > 0 {
                data.push(b',');
            }
            write_text(&root.response_key, &mut data);
            data.push(b':');
            let start = data.len();
            let path = Path::Key(&Path::Top, &root.response_key);
            let mut state = std::mem::take(&mut self.roots[i]);
            if write_root(&mut self.writer, &mut data, plan, &mut state, &path).is_err() {
                data.truncate(start);
                data.extend_from_slice(b"null");
                whole &= !plan.required;
            }
        }
        data.push(b'}');
        let mut errors = self.bound.errors.clone();
        errors.append(&mut self.writer.errors);
        Answer {
            data: if whole { data } else { Vec::new() },
            errors,
            extensions: None,
        }
    }
}

fn write_root(
    writer: &mut Writer<'_>,
    out: &mut Vec<u8>,
    plan: &RootPlan,
    state: &mut RootState,
    path: &Path<'_>,
) -> Result<(), Null> {
    if state.over {
        let most = writer.parsed.limits.answer_bytes_max;
        writer.push(
            over(format!(
                "the answer has more than {most} bytes (ANSWER_BYTES_MAX): ask for smaller pages or fewer fields"
            ))
            .at(path.segments()),
        );
        return Err(Null);
    }
    match &plan.answer {
        RootAnswer::Const(bytes) => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        RootAnswer::Refused(error) => {
            writer.push((**error).clone());
            Err(Null)
        }
        RootAnswer::Batch(slots) => match state.supplied.take() {
            Some(Supplied::Raw(bytes)) => write_batch(writer, out, slots.as_deref(), &bytes, path),
            Some(Supplied::Error(error)) => {
                writer.push(error.at(path.segments()));
                Err(Null)
            }
            _ => Err(Null),
        },
        RootAnswer::Json(projection) => match state.supplied.take() {
            Some(Supplied::Raw(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(json) => {
                    projection.write(&json, out);
                    Ok(())
                }
                Err(_) => Err(Null),
            },
            Some(Supplied::Error(error)) => {
                writer.push(error.at(path.segments()));
                Err(Null)
            }
            Some(Supplied::Record(_) | Supplied::Null | Supplied::Conflict(..) | Supplied::Now(_)) | None => Err(Null),
        },
        RootAnswer::Given(tree) => write_given(writer, out, plan, tree, state, path),
        RootAnswer::Read(tree) => {
            let Some(node) = tree.nodes.first() else {
                return Err(Null);
            };
            let nested = Nested {
                tree,
                read: &state.read,
                row: 0,
            };
            match (&node.shape, &node.source, state.stream.take()) {
                (Shape::Many(shape), _, Some(stream)) => {
                    stream.write(out, shape, state.started_at);
                    Ok(())
                }
                (Shape::Many(shape), Source::List(list), None) => {
                    let read = &state.read[0];
                    let page = Page {
                        node,
                        list,
                        most: state.page_ends.unwrap_or(list.limit).min(list.limit),
                        rows: &read.rows,
                        start: 0,
                        end: read.rows.len(),
                        parent: None,
                        started_at: state.started_at,
                    };
                    writer.connection(out, shape, &page, nested, path);
                    Ok(())
                }
                (Shape::One(shape), ..) if state.read[0].rows.len() > 0 => {
                    writer.object(out, shape, &state.read[0].rows.row(0), Some(nested), path)
                }
                _ => Err(Null),
            }
        }
    }
}

fn write_given(
    writer: &mut Writer<'_>,
    out: &mut Vec<u8>,
    plan: &RootPlan,
    tree: &Tree,
    state: &mut RootState,
    path: &Path<'_>,
) -> Result<(), Null> {
    let Some(Node {
        shape: Shape::One(shape),
        ..
    }) = tree.nodes.first()
    else {
        return Err(Null);
    };
    let nested = Nested {
        tree,
        read: &state.read,
        row: 0,
    };
    let at = |writer: &Writer<'_>, error: GraphqlError| GraphqlError {
        locations: super::document::location(&writer.parsed.executable.sources, plan.span),
        ..error.at(path.segments())
    };
    match state.supplied.take() {
        Some(Supplied::Record(_)) => {
            let row = state.read[0].rows.row(0);
            writer.object(out, shape, &row, Some(nested), path)
        }
        Some(Supplied::Raw(bytes)) => {
            out.extend_from_slice(&bytes);
            Ok(())
        }
        Some(Supplied::Error(error)) => {
            let error = at(writer, error);
            writer.push(error);
            Err(Null)
        }
        Some(Supplied::Conflict(error, _)) => {
            // The record is a courtesy beside the error: what is wrong with it is not told on top.
            let told = writer.errors.len();
            let mut data = Vec::new();
            let row = state.read[0].rows.row(0);
            let written = writer.object(&mut data, shape, &row, Some(nested), path);
            writer.errors.truncate(told);
            let error = at(writer, error);
            writer.push(GraphqlError {
                data: written.ok().and_then(|()| serde_json::from_slice(&data).ok()),
                ..error
            });
            Err(Null)
        }
        Some(Supplied::Null | Supplied::Now(_)) | None => Err(Null),
    }
}

fn write_batch(
    writer: &mut Writer<'_>,
    out: &mut Vec<u8>,
    slots: Option<&[BatchSlot]>,
    bytes: &[u8],
    path: &Path<'_>,
) -> Result<(), Null> {
    let Some(slots) = slots else {
        out.extend_from_slice(bytes);
        return Ok(());
    };
    let Ok(batch) = serde_json::from_slice::<HashMap<String, &serde_json::value::RawValue>>(bytes) else {
        writer.push(
            GraphqlError::new(ErrorType::InternalFailure, "the change batch cannot be read back").at(path.segments()),
        );
        return Err(Null);
    };
    if slots.is_empty() {
        out.push(b'{');
    }
    for slot in slots {
        out.extend_from_slice(&slot.lead);
        match &slot.key {
            Ok(key) => out.extend_from_slice(batch.get(key).map_or("null", |raw| raw.get()).as_bytes()),
            Err(name) => out.extend_from_slice(name),
        }
    }
    out.push(b'}');
    Ok(())
}

impl RootState {
    /// The distinct keys by which the parent's rows look for records of node `step`; `None` if there are none.
    fn group(&mut self, tree: &Tree, step: usize, child: &Child) -> Option<(Vec<Vec<Value>>, Vec<String>)> {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let (mut keys, mut values, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let parent = self.read.get(child.parent)?;
        let parent_node = tree.nodes.get(child.parent)?;
        // The row beyond a page that was read to know whether there is a next one needs no children.
        let wanted = match &parent_node.source {
            Source::List(list) => parent
                .rows
                .len()
                .min(self.page_ends.unwrap_or(list.limit))
                .min(list.limit),
            Source::Child(_) | Source::Key(_) | Source::Given => parent.rows.len(),
        };
        for row in 0..wanted {
            let row = parent.rows.row(row);
            let key: Option<Vec<Value>> = child.source.iter().map(|at| present(row.get(*at))).collect();
            keys.push(key.and_then(|key| {
                let json: Vec<String> = key.iter().map(|v| v.to_json().to_string()).collect();
                let text = match json.as_slice() {
                    [one] => one.clone(),
                    many => format!("[{}]", many.join(",")),
                };
                if let Some(number) = numbers.get(&text) {
                    return Some(*number);
                }
                let number = u32::try_from(values.len()).ok()?;
                numbers.insert(text.clone(), number);
                values.push(key);
                texts.push(text);
                Some(number)
            }));
        }
        let read = self.read.get_mut(step)?;
        read.keys = keys;
        read.groups = vec![(0, 0); values.len()];
        read.key_texts.clone_from(&texts);
        (!values.is_empty()).then_some((values, texts))
    }
}

fn present(value: ValueRef<'_>) -> Option<Value> {
    match value {
        ValueRef::Null => None,
        ValueRef::Int(n) => Some(Value::Int(n)),
        ValueRef::Float(x) => Some(Value::Float(x)),
        ValueRef::Text(text) => Some(Value::Text(text.to_owned())),
    }
}

impl NodeRows {
    fn take_root(&mut self, row: &dyn Row) {
        self.rows.push(row, 0);
        self.groups = vec![(0, self.rows.len())];
    }

    /// A row of a child: the number of its key, then its columns. Beyond a list's limit it is dropped.
    fn take_child(&mut self, child: &Child, row: &dyn Row) {
        let ValueRef::Int(k) = row.get(0) else { return };
        let at = self.rows.len();
        let Some(group) = usize::try_from(k).ok().and_then(|k| self.groups.get_mut(k)) else {
            return;
        };
        if group.0 == group.1 {
            *group = (at, at);
        }
        if group.1 - group.0 < child.list.limit + usize::from(child.list.probe) {
            group.1 = at + 1;
            self.rows.push(row, 1);
        }
    }

    fn with_width(width: usize) -> Self {
        Self {
            rows: Rows::new(width),
            ..Self::default()
        }
    }
}

/// A record handed over, as a row of a node's columns.
struct Given<'a> {
    node: &'a Node,
    model: &'a Model,
    record: &'a Record,
}

impl Row for Given<'_> {
    fn get(&self, column: usize) -> ValueRef<'_> {
        use super::plan::Column;
        match self.node.columns.get(column) {
            Some(Column::Field(field)) => self.record.value(*field).as_ref(),
            Some(Column::Version) => ValueRef::Int(self.record.meta.version.0),
            Some(Column::Deleted) => ValueRef::Int(i64::from(self.record.meta.deleted)),
            Some(Column::LastChangedAt) => ValueRef::Int(self.record.meta.last_changed_at),
            Some(Column::Rule(at)) => {
                let holds = |rule: &Filter| rule.matches(self.model, self.record);
                ValueRef::Int(i64::from(self.node.rules.get(*at).is_some_and(holds)))
            }
            Some(Column::Position) | None => ValueRef::Null,
        }
    }
}

/// Runs statements for [`answer`]: a SQL driver.
pub trait RunStatement {
    /// Why a statement failed.
    type Error;

    /// Runs `statement` and gives each row to `row`, until that says false: it has enough.
    ///
    /// # Errors
    /// The driver's.
    fn run(&mut self, statement: &Statement, row: &mut dyn FnMut(&dyn Row) -> bool) -> Result<(), Self::Error>;
}

/// Runs an execution to its end.
///
/// # Errors
/// The first error of the driver; what was read until then is dropped.
pub fn answer<R: RunStatement>(mut execution: Execution<'_>, runner: &mut R) -> Result<Answer, R::Error> {
    while let Some(statement) = execution.next_statement() {
        runner.run(&statement, &mut |row| execution.row(row))?;
    }
    Ok(execution.finish())
}
