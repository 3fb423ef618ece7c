//! Selections into shapes: fragments spread, `@include` and `@skip` decided, fields of one response key merged, columns
//! gathered, relations made into statements of their own.

use std::collections::{BTreeSet, HashMap, HashSet};

use apollo_compiler::Node as Ast;
use apollo_compiler::ast::Value as Literal;
use apollo_compiler::executable::{DirectiveList, Field, Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use serde_json::{Map, Value as Json};

use super::coerce;
use super::document::{Parsed, depth_message, over};
use super::filter::Filter;
use super::filter_parse::not_authorized;
use super::leaf::{EmbeddedShape, EmbeddedSlot, ValueType};
use super::list::Wanted;
use super::plan::{
    By, Child, Column, ConnectionShape, ConnectionSlot, ConnectionWhat, List, Node, ObjectShape, Shape, Slot, Source,
    TokenPlan, Tree, What, lead, quoted,
};
use super::request::Side;
use super::sql;
use crate::access::{Access, Grant};
use crate::id::ModelId;
use crate::limits::QUERY_NODES_MAX;
use crate::schema::{AuthOperation, FieldKind, RelationKind, Schema};
use crate::wire::graphql::{ErrorType, GraphqlError};

/// Fields of one response key, in the order of the document; at least one.
pub(super) type Group<'a> = (&'a str, Vec<&'a Ast<Field>>);

/// Plans one operation.
pub(super) struct Planner<'a> {
    pub(super) parsed: &'a Parsed,
    pub(super) schema: &'a Schema,
    pub(super) access: &'a Access,
    pub(super) side: Side,
    pub(super) variables: &'a Map<String, Json>,
    pub(super) reads: BTreeSet<ModelId>,
    /// Selections seen so far, and rows planned so far.
    selected: usize,
    rows: u64,
    nodes: usize,
}

impl<'a> Planner<'a> {
    pub(super) fn new(parsed: &'a Parsed, access: &'a Access, side: Side, variables: &'a Map<String, Json>) -> Self {
        Self {
            parsed,
            schema: &parsed.schema,
            access,
            side,
            variables,
            reads: BTreeSet::new(),
            selected: 0,
            rows: 0,
            nodes: 0,
        }
    }

    /// The fields that `sets` select of an object of type `type_name`, grouped by response key.
    pub(super) fn collect(
        &mut self,
        type_name: &str,
        sets: &[&'a SelectionSet],
    ) -> Result<Vec<Group<'a>>, GraphqlError> {
        let mut collected = Collected::default();
        for set in sets {
            self.collect_into(type_name, set, &mut collected)?;
        }
        Ok(collected.groups)
    }

    fn collect_into(
        &mut self,
        type_name: &str,
        set: &'a SelectionSet,
        into: &mut Collected<'a>,
    ) -> Result<(), GraphqlError> {
        for selection in &set.selections {
            self.selected += 1;
            if self.selected > self.parsed.limits.selected_fields_max {
                return Err(over(format!(
                    "the operation selects more than {} fields once its fragments are spread (SELECTED_FIELDS_MAX): \
                     select fewer, or split it",
                    self.parsed.limits.selected_fields_max
                )));
            }
            if !self.included(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let key = field.response_key().as_str();
                    match into.places.get(key) {
                        Some(at) => into.groups[*at].1.push(field),
                        None => {
                            into.places.insert(key, into.groups.len());
                            into.groups.push((key, vec![field]));
                        }
                    }
                }
                Selection::FragmentSpread(spread) => {
                    if !into.spread.insert(spread.fragment_name.as_str()) {
                        continue;
                    }
                    if let Some(fragment) = self.parsed.executable.fragments.get(&spread.fragment_name)
                        && self.applies(type_name, fragment.type_condition())
                    {
                        self.collect_into(type_name, &fragment.selection_set, into)?;
                    }
                }
                Selection::InlineFragment(inline) => {
                    let applies = inline
                        .type_condition
                        .as_ref()
                        .is_none_or(|condition| self.applies(type_name, condition));
                    if applies {
                        self.collect_into(type_name, &inline.selection_set, into)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `@skip` and `@include`.
    fn included(&self, directives: &DirectiveList) -> bool {
        let condition = |name: &str| {
            let value = directives.get(name)?.specified_argument_by_name("if")?;
            match value.as_ref() {
                Literal::Boolean(value) => Some(*value),
                Literal::Variable(variable) => self.variables.get(variable.as_str())?.as_bool(),
                _ => None,
            }
        };
        !condition("skip").unwrap_or(false) && condition("include").unwrap_or(true)
    }

    fn applies(&self, type_name: &str, condition: &str) -> bool {
        if type_name == condition {
            return true;
        }
        match self.schema.api.types.get(condition) {
            Some(ExtendedType::Interface(_)) => self
                .schema
                .api
                .get_object(type_name)
                .is_some_and(|object| object.implements_interfaces.contains(condition)),
            Some(ExtendedType::Union(union)) => union.members.contains(type_name),
            _ => false,
        }
    }

    fn depth(&self, depth: usize) -> Result<(), GraphqlError> {
        if depth > self.parsed.limits.document_depth_max {
            return Err(over(depth_message(&self.parsed.limits)));
        }
        Ok(())
    }

    /// Adds a node to `tree` and plans what is selected of its records.
    pub(super) fn node(
        &mut self,
        tree: &mut Tree,
        model: ModelId,
        source: Source,
        connection: bool,
        sets: &[&'a SelectionSet],
        depth: usize,
    ) -> Result<usize, GraphqlError> {
        self.nodes += 1;
        if self.nodes > QUERY_NODES_MAX {
            return Err(over(format!(
                "the operation needs more than {QUERY_NODES_MAX} statements, one for each list and relation \
                 (QUERY_NODES_MAX): split it"
            )));
        }
        let each = match &source {
            Source::List(list) | Source::Child(Child { list, .. }) => list.limit as u64,
            Source::Key(_) | Source::Given => 1,
        };
        let parents = match &source {
            Source::Child(child) => tree.nodes.get(child.parent).map_or(1, |n| n.rows_max),
            Source::Key(_) | Source::List(_) | Source::Given => 1,
        };
        let rows_max = parents.saturating_mul(each);
        self.rows = self.rows.saturating_add(rows_max);
        if self.rows > self.parsed.limits.planned_rows_max {
            return Err(over(format!(
                "the operation could give {} records if every list were full; the most is {} (PLANNED_ROWS_MAX): lower \
                 `limit` in the nested lists, or ask for them one record at a time",
                self.rows, self.parsed.limits.planned_rows_max
            )));
        }
        if !matches!(source, Source::Given) {
            self.reads.insert(model);
        }
        let at = tree.nodes.len();
        tree.nodes.push(Node {
            model,
            source,
            columns: Vec::new(),
            rules: Vec::new(),
            shape: Shape::One(ObjectShape::default()),
            rows_max,
        });
        let shape = if connection {
            Shape::Many(self.connection(tree, at, sets, depth)?)
        } else {
            Shape::One(self.object(tree, at, sets, depth)?)
        };
        tree.nodes[at].shape = shape;
        Ok(at)
    }

    /// What is selected of a node's connection.
    fn connection(
        &mut self,
        tree: &mut Tree,
        node: usize,
        sets: &[&'a SelectionSet],
        depth: usize,
    ) -> Result<ConnectionShape, GraphqlError> {
        self.depth(depth)?;
        let type_name = sets.first().map_or("", |set| set.ty.as_str());
        let mut shape = ConnectionShape::default();
        for (key, fields) in self.collect(type_name, sets)? {
            let what = match fields[0].name.as_str() {
                "__typename" => ConnectionWhat::Const(quoted(type_name)),
                "items" => {
                    let sets: Vec<_> = fields.iter().map(|f| &f.selection_set).collect();
                    ConnectionWhat::Items(self.object(tree, node, &sets, depth + 1)?)
                }
                "nextToken" => {
                    want_token(&mut tree.nodes[node]);
                    ConnectionWhat::NextToken
                }
                "startedAt" => ConnectionWhat::StartedAt,
                // A connection has no other members in the generated API.
                _ => ConnectionWhat::Const(Box::from(&b"null"[..])),
            };
            shape.slots.push(ConnectionSlot {
                lead: lead(shape.slots.is_empty(), key),
                key: key.to_owned(),
                what,
            });
        }
        Ok(shape)
    }

    /// What is selected of a node's record.
    fn object(
        &mut self,
        tree: &mut Tree,
        node: usize,
        sets: &[&'a SelectionSet],
        depth: usize,
    ) -> Result<ObjectShape, GraphqlError> {
        self.depth(depth)?;
        let id = tree.nodes[node].model;
        let model = self.schema.model(id);
        let mut shape = ObjectShape {
            type_name: model.name.clone(),
            slots: Vec::new(),
        };
        for (key, fields) in self.collect(&model.name, sets)? {
            let name = fields[0].name.as_str();
            let columns = &mut tree.nodes[node];
            let what = match name {
                "__typename" => What::Const(quoted(&model.name)),
                "_version" => What::Column(columns.column(Column::Version), ValueType::int("Int")),
                "_lastChangedAt" => What::Column(columns.column(Column::LastChangedAt), ValueType::int("AWSTimestamp")),
                "_deleted" => What::Deleted(columns.column(Column::Deleted)),
                name => {
                    if let Some(field) = model.field(name) {
                        let grant = self.access.read(id, field);
                        if grant.is_anything() {
                            let ty = &model.field_at(field).ty;
                            let column = columns.column(Column::Field(field));
                            let embedded = self.embedded_of(&ty.kind, &fields, depth)?;
                            let ty = ValueType::of(self.schema, ty, embedded).reduced(model.is_owner(field));
                            ruled(
                                &mut tree.nodes[node],
                                grant,
                                What::Column(column, ty),
                                name,
                                &model.name,
                            )
                        } else {
                            refused(&tree.nodes[node], fields[0].ty().is_non_null(), name, &model.name)
                        }
                    } else if let Some(relation) = model.relations.iter().position(|r| r.name == name) {
                        self.relation(tree, node, relation, &fields, depth)?
                    } else {
                        What::Refused(GraphqlError::new(
                            ErrorType::UnsupportedOperation,
                            format!("`{name}` of {} has no resolver here", model.name),
                        ))
                    }
                }
            };
            shape.slots.push(Slot {
                lead: lead(shape.slots.is_empty(), key),
                key: key.to_owned(),
                span: fields[0].name.location(),
                required: fields[0].ty().is_non_null(),
                what,
            });
        }
        Ok(shape)
    }

    /// A relation: a statement of its own.
    fn relation(
        &mut self,
        tree: &mut Tree,
        node: usize,
        relation: usize,
        fields: &[&'a Ast<Field>],
        depth: usize,
    ) -> Result<What, GraphqlError> {
        let id = tree.nodes[node].model;
        let model = self.schema.model(id);
        let place = relation;
        let relation = &model.relations[relation];
        let target = self.schema.model(relation.target);
        let many = relation.kind == RelationKind::HasMany;
        let operation = if many { AuthOperation::List } else { AuthOperation::Get };
        let follow = self.access.follow(id, place);
        let rows = self.access.grant(relation.target, operation);
        let granted = rows.is_anything()
            && follow.is_anything()
            && relation.source_fields.iter().all(|f| self.access.can_read(id, *f))
            && relation
                .target_fields
                .iter()
                .all(|f| self.access.can_read(relation.target, *f));
        if !granted {
            return Ok(refused(
                &tree.nodes[node],
                relation.required,
                &relation.name,
                &model.name,
            ));
        }
        let (mut list, token_parent) = if many {
            let planned = coerce::arguments(&self.schema.api, self.variables, fields[0]).and_then(|arguments| {
                self.list(&Wanted {
                    model: relation.target,
                    of: &model.name,
                    field: &relation.name,
                    fixed: Vec::new(),
                    sort: &relation.sort_fields,
                    order: None,
                    arguments: &arguments,
                    sync: false,
                })
            });
            match planned {
                Ok(planned) => planned,
                Err(error) => return Ok(What::Refused(error)),
            }
        } else {
            (one(sql::key(target)), None)
        };
        if let Some(rows) = rows.rows() {
            list.filter = Some(Filter::both(rows.clone(), list.filter.take()));
        }
        let child = Child {
            parent: node,
            source: relation
                .source_fields
                .iter()
                .map(|f| tree.nodes[node].column(Column::Field(*f)))
                .collect(),
            target: relation.target_fields.clone(),
            list,
            token_parent,
        };
        let sets: Vec<_> = fields.iter().map(|f| &f.selection_set).collect();
        let child = self.node(tree, relation.target, Source::Child(child), many, &sets, depth + 1)?;
        let what = if many { What::Many(child) } else { What::One(child) };
        Ok(ruled(&mut tree.nodes[node], follow, what, &relation.name, &model.name))
    }

    fn embedded_of(
        &mut self,
        kind: &FieldKind,
        fields: &[&'a Ast<Field>],
        depth: usize,
    ) -> Result<Option<EmbeddedShape>, GraphqlError> {
        let FieldKind::Embedded(name) = kind else {
            return Ok(None);
        };
        self.depth(depth + 1)?;
        let sets: Vec<_> = fields.iter().map(|f| &f.selection_set).collect();
        let mut shape = EmbeddedShape {
            type_name: name.clone(),
            slots: Vec::new(),
        };
        let schema = self.schema;
        for (key, fields) in self.collect(name, &sets)? {
            let field = fields[0].name.as_str();
            let what = match schema.embedded_fields(name).iter().find(|f| f.name == field) {
                Some(member) => {
                    let embedded = self.embedded_of(&member.ty.kind, &fields, depth + 1)?;
                    let ty = ValueType::of(schema, &member.ty, embedded);
                    Ok((member.name.clone(), ty, member.ty.required))
                }
                None if field == "__typename" => Err(quoted(name)),
                None => Err(Box::from(&b"null"[..])),
            };
            let span = fields[0].name.location();
            shape
                .slots
                .push(EmbeddedSlot::new(shape.slots.is_empty(), key, span, what));
        }
        Ok(Some(shape))
    }
}

/// `what`, where `grant` shows it. In the answer to a mutation and in a subscription's events what may not be seen is null
/// without an error, as AppSync has it: DataStore's clients take an error there for a mutation that failed.
fn ruled(node: &mut Node, grant: &Grant, what: What, name: &str, of: &str) -> What {
    match grant.rows() {
        None => what,
        Some(rule) => What::Ruled {
            rule: node.rule(rule),
            what: Box::new(what),
            error: (!matches!(node.source, Source::Given)).then(|| Box::new(not_authorized(name, of))),
        },
    }
}

/// A member that may not be seen in any row.
fn refused(node: &Node, required: bool, name: &str, of: &str) -> What {
    match node.source {
        Source::Given if !required => What::Const(Box::from(&b"null"[..])),
        Source::Given | Source::Key(_) | Source::List(_) | Source::Child(_) => What::Refused(not_authorized(name, of)),
    }
}

#[derive(Default)]
struct Collected<'a> {
    groups: Vec<Group<'a>>,
    places: HashMap<&'a str, usize>,
    spread: HashSet<&'a str>,
}

/// The list of a relation to one record.
fn one(order: Vec<Column>) -> List {
    List {
        filter: None,
        order: By::all(order, false),
        limit: 1,
        skip: 0,
        probe: false,
        after: None,
        token: None,
        token_hash: String::new(),
        sync: None,
    }
}

/// `nextToken` is selected: the columns it is made of are read, and one row more than the page.
fn want_token(node: &mut Node) {
    let order = match &node.source {
        Source::List(list) | Source::Child(Child { list, .. }) => list.order.clone(),
        Source::Key(_) | Source::Given => return,
    };
    let columns = order.into_iter().map(|by| node.column(by.column)).collect();
    if let Source::List(list) | Source::Child(Child { list, .. }) = &mut node.source {
        list.probe = true;
        list.token = Some(TokenPlan {
            columns,
            list: list.token_hash.clone(),
        });
    }
}
