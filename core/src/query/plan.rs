//! What a bound operation is made of: for each root field a tree of statements, and for each statement the shape in which
//! its columns go into the answer. Plain data; built by `select` and `roots`, read by `sql`, `execute` and `write`.

use apollo_compiler::parser::SourceSpan;

use super::conflicts::Projection;
use super::filter::Filter;
use super::leaf::ValueType;
use crate::id::{FieldId, ModelId};
use crate::value::Value;
use crate::wire::graphql::GraphqlError;

/// The plan of one root field.
#[derive(Clone, Debug)]
pub(super) struct RootPlan {
    /// The field is non-null: its null is the null of the whole answer.
    pub(super) required: bool,
    pub(super) span: Option<SourceSpan>,
    pub(super) answer: RootAnswer,
}

#[derive(Clone, Debug)]
pub(super) enum RootAnswer {
    /// These bytes.
    Const(Vec<u8>),
    /// Null with this error, whose path is in place.
    Refused(Box<GraphqlError>),
    /// Read by statements.
    Read(Tree),
    /// One record handed over, and what is nested in it read by statements.
    Given(Tree),
    /// A change batch handed over as JSON; its keys in the order asked for, `None` when all of it as it stands.
    Batch(Option<Vec<BatchSlot>>),
    /// A value handed over as JSON, of which this is selected.
    Json(Projection),
}

impl RootAnswer {
    /// How many reads it leads to, itself counted.
    pub(super) fn reads(&self) -> usize {
        match self {
            Self::Read(tree) | Self::Given(tree) => tree.nodes.len().max(1),
            Self::Const(_) | Self::Refused(_) | Self::Batch(_) | Self::Json(_) => 1,
        }
    }
}

/// One member of a change batch's selection.
#[derive(Clone, Debug)]
pub(super) struct BatchSlot {
    pub(super) lead: Box<[u8]>,
    /// The batch's own key, or `None` with the constant that stands in the answer.
    pub(super) key: Result<String, Box<[u8]>>,
}

/// The statements of one root field. Node 0 is the root; a child's number is greater than its parent's.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

/// One statement's worth of records of one model.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) model: ModelId,
    pub(super) source: Source,
    /// What the statement selects, in order.
    pub(super) columns: Vec<Column>,
    /// What must hold of a row for some of its members to be shown.
    pub(super) rules: Vec<Filter>,
    pub(super) shape: Shape,
    /// Most records that it can give.
    pub(super) rows_max: u64,
}

impl Node {
    /// The place of `column` among the selected ones; added if it is not yet there.
    pub(super) fn column(&mut self, column: Column) -> usize {
        if let Some(at) = self.columns.iter().position(|c| *c == column) {
            return at;
        }
        self.columns.push(column);
        self.columns.len() - 1
    }

    /// The members of its records in the answer.
    pub(super) fn members(&mut self) -> impl Iterator<Item = &mut What> {
        let (one, many) = match &mut self.shape {
            Shape::One(object) => (Some(object), None),
            Shape::Many(connection) => (None, Some(connection)),
        };
        let items = many.into_iter().flat_map(|connection| &mut connection.slots);
        let items = items.filter_map(|slot| match &mut slot.what {
            ConnectionWhat::Items(object) => Some(object),
            ConnectionWhat::Const(_) | ConnectionWhat::NextToken | ConnectionWhat::StartedAt => None,
        });
        let objects = one.into_iter().chain(items);
        objects.flat_map(|object| object.slots.iter_mut().map(|slot| &mut slot.what))
    }

    /// The place among the selected columns of whether `rule` holds.
    pub(super) fn rule(&mut self, rule: &Filter) -> usize {
        let known = self.rules.iter().position(|known| known == rule);
        let at = known.unwrap_or_else(|| {
            self.rules.push(rule.clone());
            self.rules.len() - 1
        });
        self.column(Column::Rule(at))
    }
}

/// A column of a model's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Field(FieldId),
    Version,
    Deleted,
    LastChangedAt,
    Position,
    /// Whether `Node::rules` at this place holds.
    Rule(usize),
}

/// Where a node's records come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// One record by its key.
    Key(Filter),
    /// A page of records.
    List(List),
    /// Records that belong to those of node `parent`.
    Child(Child),
    /// Handed over.
    Given,
}

/// One step of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct By {
    pub(super) column: Column,
    pub(super) descending: bool,
}

impl By {
    /// Every one of `columns` in the same direction.
    pub(super) fn all(columns: Vec<Column>, descending: bool) -> Vec<Self> {
        let by = |column| Self { column, descending };
        columns.into_iter().map(by).collect()
    }
}

#[derive(Clone, Debug)]
pub(super) struct List {
    /// Everything that must hold of a record.
    pub(super) filter: Option<Filter>,
    /// What the list is ordered by, ending in the key.
    pub(super) order: Vec<By>,
    pub(super) limit: usize,
    /// So many records of the order are passed over first.
    pub(super) skip: u64,
    /// Read one record more than `limit`, to know whether there is a next page.
    pub(super) probe: bool,
    /// The values of `order`'s columns in the last record of the page before.
    pub(super) after: Option<Vec<Value>>,
    /// For a page token: the places of `order` among the node's columns, and what the token is bound to.
    pub(super) token: Option<TokenPlan>,
    /// What this list's page tokens are bound to.
    pub(super) token_hash: String,
    pub(super) sync: Option<Sync>,
}

#[derive(Clone, Debug)]
pub(super) struct TokenPlan {
    pub(super) columns: Vec<usize>,
    pub(super) list: String,
}

/// What a sync query has beside a list.
#[derive(Clone, Debug)]
pub(super) struct Sync {
    /// Only records changed at or after this moment.
    pub(super) last_sync: Option<i64>,
    /// The first page's `startedAt`, from the token.
    pub(super) started_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) parent: usize,
    /// Places of the source fields among the parent's columns.
    pub(super) source: Vec<usize>,
    /// The fields they are matched with.
    pub(super) target: Vec<FieldId>,
    pub(super) list: List,
    /// The page token given, if any, belongs to the parent with this key (JSON text).
    pub(super) token_parent: Option<String>,
}

/// How a node's records stand in the answer.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    One(ObjectShape),
    Many(ConnectionShape),
}

#[derive(Clone, Debug, Default)]
pub(super) struct ObjectShape {
    pub(super) type_name: String,
    pub(super) slots: Vec<Slot>,
}

/// One member of an object in the answer.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// What stands before the value: `{"key":` for the first, `,"key":` for the others.
    pub(super) lead: Box<[u8]>,
    pub(super) key: String,
    pub(super) span: Option<SourceSpan>,
    pub(super) required: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// `__typename`.
    Const(Box<[u8]>),
    /// A column.
    Column(usize, ValueType),
    /// `_deleted`: true or null.
    Deleted(usize),
    /// A record of node `.0`.
    One(usize),
    /// The connection of node `.0`.
    Many(usize),
    /// May not be seen, or cannot be answered here.
    Refused(GraphqlError),
    /// Shown where the column `rule` says so; null elsewhere, with the error if there is one.
    Ruled {
        rule: usize,
        what: Box<What>,
        error: Option<Box<GraphqlError>>,
    },
}

impl What {
    /// Shows all of an embedded value.
    pub(super) fn show_whole(&mut self) {
        match self {
            Self::Column(_, ty) => ty.show_whole(),
            Self::Ruled { what, .. } => what.show_whole(),
            Self::Const(_) | Self::Deleted(_) | Self::One(_) | Self::Many(_) | Self::Refused(_) => {}
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionShape {
    pub(super) slots: Vec<ConnectionSlot>,
}

#[derive(Clone, Debug)]
pub(super) struct ConnectionSlot {
    pub(super) lead: Box<[u8]>,
    pub(super) key: String,
    pub(super) what: ConnectionWhat,
}

#[derive(Clone, Debug)]
pub(super) enum ConnectionWhat {
    Const(Box<[u8]>),
    Items(ObjectShape),
    NextToken,
    StartedAt,
}

/// The bytes before a member's value.
pub(super) fn lead(first: bool, key: &str) -> Box<[u8]> {
    // Response keys are GraphQL names: nothing in them needs escaping.
    format!("{}\"{key}\":", if first { '{' } else { ',' })
        .into_bytes()
        .into()
}

/// A GraphQL name as a JSON string.
pub(super) fn quoted(name: &str) -> Box<[u8]> {
    format!("\"{name}\"").into_bytes().into()
}
