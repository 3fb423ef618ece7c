//! The API that a schema generates: AppSync's, name by name, and the change feed that is ours.
//!
//! It is written as SDL text and then parsed and validated like anybody else's, so that what `schema print` shows is
//! what documents are checked against.

mod declared;
mod inputs;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use apollo_compiler::validation::Valid;

use crate::id::{FieldId, ModelId};

use super::draft::Draft;
use super::model::{
    AuthOperation, AuthStrategy, EmbeddedField, FieldKind, FieldOrigin, Member, Model, MutationKind, MutationRoot,
    QueryRoot, RelationKind, Roots, SubscriptionRoot,
};
use super::names;
use super::operations::Operations;
use super::read::{Declared, is_root};
use super::relations::HIDDEN_INDEX;
use super::report::{Place, Report};

/// Everything the generator looks at.
pub(super) struct Input<'a> {
    pub(super) drafts: &'a [Draft],
    pub(super) declared: &'a Declared,
    pub(super) enums: &'a BTreeMap<String, Vec<String>>,
    pub(super) embedded: &'a BTreeMap<String, Vec<EmbeddedField>>,
}

/// What comes out.
pub(super) struct Api {
    pub(super) sdl: String,
    pub(super) schema: Arc<Valid<apollo_compiler::Schema>>,
    pub(super) roots: Roots,
}

/// Writes the API. `None` if it cannot be valid; the report says why.
pub(super) fn generate(report: &mut Report, input: &Input<'_>) -> Option<Api> {
    let mut writer = Writer {
        input,
        out: String::new(),
        names: BTreeMap::new(),
        roots: Roots::default(),
    };
    writer.write(report);
    writer.check_references(report);
    if report.has_errors() {
        return None;
    }
    match apollo_compiler::Schema::parse_and_validate(&writer.out, "api.graphql") {
        Ok(schema) => Some(Api {
            sdl: writer.out,
            schema: Arc::new(schema),
            roots: writer.roots,
        }),
        Err(with) => {
            for diagnostic in with.errors.iter() {
                let problem = format!("the API that this schema generates is not valid: {}", diagnostic.error);
                let line = diagnostic.line_column_range().map_or(1, |range| range.start.line);
                report.error(
                    writer.place_of_line(line),
                    problem,
                    "change the type, interface or input it names",
                );
            }
            None
        }
    }
}

struct Writer<'a> {
    input: &'a Input<'a>,
    out: String,
    /// Every type's name, and where it comes from.
    names: BTreeMap<String, Place>,
    roots: Roots,
}

/// An argument or a field: name and type.
type Pair = (String, String);

fn pair(name: &str, ty: impl Into<String>) -> Pair {
    (name.to_owned(), ty.into())
}

fn joined(pairs: &[Pair]) -> String {
    pairs
        .iter()
        .map(|(name, ty)| format!("{name}: {ty}"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Writer<'_> {
    /// Where the type that line `line` of the generated text belongs to comes from.
    fn place_of_line(&self, line: usize) -> Place {
        let lines: Vec<&str> = self.out.lines().take(line).collect();
        let head = lines
            .iter()
            .rev()
            .find(|l| l.starts_with(|c: char| c.is_ascii_alphabetic()))?;
        let name = head.split_whitespace().nth(1)?;
        self.names.get(name).copied().flatten()
    }

    fn write(&mut self, report: &mut Report) {
        self.out.push_str(shared::PRELUDE);
        for name in shared::names(shared::PRELUDE) {
            self.names.insert(name.to_owned(), None);
        }
        let drafts = self.input.drafts;
        let (mut query, mut mutation, mut subscription) = (Vec::new(), Vec::new(), Vec::new());
        for (i, draft) in drafts.iter().enumerate() {
            self.write_model(report, draft);
            self.queries(report, ModelId(i), draft, &mut query);
            self.mutations(report, ModelId(i), draft, &mut mutation);
            self.subscriptions(report, ModelId(i), draft, &mut subscription);
        }
        self.custom_roots(report, &mut query, &mut mutation, &mut subscription);
        self.write_declared(report);
        for draft in drafts {
            self.write_inputs(report, draft);
        }
        self.write_enum_inputs(report);
        self.write_embedded_inputs(report);
        self.write_operation_inputs(report);
        if !drafts.is_empty() {
            self.out.push_str(shared::OPERATORS);
            for name in shared::names(shared::OPERATORS) {
                self.claim(report, name, None);
            }
        }
        query.push("tomboloChanges(scope: TomboloScopeInput!, limit: Int): TomboloChangeBatch!".to_owned());
        self.roots.query.insert("tomboloChanges".to_owned(), QueryRoot::Changes);
        query.push(
            "tomboloConflicts(model: String, replica: ID, outcome: String, limit: Int, nextToken: String): \
             TomboloConflictConnection!"
                .to_owned(),
        );
        self.roots
            .query
            .insert("tomboloConflicts".to_owned(), QueryRoot::Conflicts);
        subscription.push("tomboloChanges(scopes: [TomboloScopeInput!]!): TomboloChangeBatch!".to_owned());
        self.roots
            .subscription
            .insert("tomboloChanges".to_owned(), SubscriptionRoot::Changes);
        for (name, lines) in [("Query", query), ("Mutation", mutation), ("Subscription", subscription)] {
            self.names.insert(name.to_owned(), None);
            if !lines.is_empty() {
                self.block("type", name, &lines);
            }
        }
        self.out.push_str(shared::FEED);
    }

    /// Takes a type's name; two takers are an error.
    fn claim(&mut self, report: &mut Report, name: &str, place: Place) {
        if self.names.contains_key(name) || is_root(name) {
            let other = self.names.get(name).copied().flatten();
            report.error(
                place.or(other),
                format!("the type `{name}` is generated and exists already"),
                "rename the declared type (or the model it is generated for)",
            );
        }
        self.names.insert(name.to_owned(), place);
    }

    fn block(&mut self, keyword: &str, name: &str, lines: &[String]) {
        self.out.push_str(&format!("{keyword} {name} {{\n"));
        for line in lines {
            self.out.push_str("  ");
            self.out.push_str(line);
            self.out.push('\n');
        }
        self.out.push_str("}\n\n");
    }

    /// A generated type or input; nothing is written without fields, which GraphQL does not allow.
    fn typed(&mut self, report: &mut Report, keyword: &str, name: &str, pairs: &[Pair], place: Place) {
        self.claim(report, name, place);
        let lines: Vec<String> = pairs.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        self.block(keyword, name, &lines);
    }

    fn write_model(&mut self, report: &mut Report, draft: &Draft) {
        let model = &*draft.shown();
        let mut fields: Vec<Pair> = Vec::new();
        let stored = |id: &FieldId| (model.fields[id.0].name.clone(), model.fields[id.0].ty.to_string());
        let of = |wanted: &[FieldOrigin]| {
            model
                .fields
                .iter()
                .filter(|f| wanted.contains(&f.origin))
                .map(|f| (f.name.clone(), f.ty.to_string()))
                .collect::<Vec<_>>()
        };
        for member in &model.order {
            match member {
                Member::Field(id) => {
                    if matches!(
                        model.fields[id.0].origin,
                        FieldOrigin::Declared | FieldOrigin::ImplicitId
                    ) {
                        fields.push(stored(id));
                    }
                }
                Member::Relation(i) => fields.push(self.relation(model, *i)),
            }
        }
        fields.extend(of(&[FieldOrigin::Timestamp]));
        fields.extend([
            pair("_version", "Int!"),
            pair("_deleted", "Boolean"),
            pair("_lastChangedAt", "AWSTimestamp!"),
        ]);
        fields.extend(of(&[FieldOrigin::ForeignKey, FieldOrigin::Owner]));
        let implements = match draft.interfaces.as_slice() {
            [] => String::new(),
            some => format!(" implements {}", some.join(" & ")),
        };
        self.claim(report, &model.name, draft.place);
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, ty)| format!("{name}{ty}", ty = after_name(ty)))
            .collect();
        self.block("type", &format!("{}{implements}", model.name), &lines);
        let mut connection = vec![pair("items", format!("[{}]!", model.name)), pair("nextToken", "String")];
        if draft.operations.sync.is_some() {
            connection.push(pair("startedAt", "AWSTimestamp"));
        }
        let (listed, related) = (connection_name(model), related_connection_name(model));
        if related != listed {
            self.typed(report, "type", &related, &connection, draft.place);
        }
        self.typed(report, "type", &listed, &connection, draft.place);
    }

    /// A relation field: its name, and its arguments with its type.
    fn relation(&mut self, model: &Model, at: usize) -> Pair {
        let relation = &model.relations[at];
        let drafts = self.input.drafts;
        let target = &drafts[relation.target.0].model;
        let bang = if relation.required { "!" } else { "" };
        if relation.kind != RelationKind::HasMany {
            return (relation.name.clone(), format!("{}{bang}", target.name));
        }
        let mut args = Vec::new();
        if relation.conditioned {
            let index = index_of(target, &relation.target_fields, &relation.sort_fields);
            args.extend(sort_key_argument(target, &relation.sort_fields, index));
        }
        args.push(pair("filter", format!("Model{}FilterInput", target.name)));
        args.push(pair("sortDirection", "ModelSortDirection"));
        args.push(pair("limit", "Int"));
        args.push(pair("nextToken", "String"));
        add_sort(target, &mut args);
        (
            relation.name.clone(),
            format!("({}): {}", joined(&args), related_connection_name(target)),
        )
    }

    fn queries(&mut self, report: &mut Report, id: ModelId, draft: &Draft, out: &mut Vec<String>) {
        let model = &draft.model;
        let Operations { get, list, sync, .. } = &draft.operations;
        let connection = connection_name(model);
        let page = |name: &str| {
            let filter = pair("filter", format!("Model{name}FilterInput"));
            [filter, pair("limit", "Int"), pair("nextToken", "String")]
        };
        let name_upper = names::upper(&model.name);
        let mut add = |this: &mut Self, name: &str, args: &[Pair], ty: &str, root: QueryRoot, place: Place| {
            if this.roots.query.insert(name.to_owned(), root).is_some() {
                report.error(
                    place,
                    format!("the query `{name}` would exist twice"),
                    "rename one (queryField:, queries:)",
                );
            }
            out.push(format!("{name}({}): {ty}", joined(args)));
        };
        if let Some(name) = get {
            let args: Vec<Pair> = model.key.iter().map(|k| key_pair(model, *k, true)).collect();
            add(self, name, &args, &model.name, QueryRoot::Get(id), draft.place);
        }
        if let Some(name) = list {
            let mut args = Vec::new();
            if let (true, [partition, sort @ ..]) = (draft.names_its_key, model.key.as_slice()) {
                args.push(key_pair(model, *partition, false));
                args.extend(sort_key_argument(model, sort, "Primary"));
            }
            args.extend(page(&name_upper));
            if draft.names_its_key {
                args.push(pair("sortDirection", "ModelSortDirection"));
            }
            add_sort(model, &mut args);
            add(self, name, &args, &connection, QueryRoot::List(id), draft.place);
        }
        if let Some(name) = sync {
            let mut args = page(&name_upper).to_vec();
            args.push(pair("lastSync", "AWSTimestamp"));
            add(self, name, &args, &connection, QueryRoot::Sync(id), draft.place);
        }
        for (i, (index, place)) in model.indexes.iter().zip(&draft.index_places).enumerate() {
            let (Some(name), [partition, sort @ ..]) = (&index.query_field, index.fields.as_slice()) else {
                continue;
            };
            let mut args = vec![key_pair(model, *partition, true)];
            args.extend(sort_key_argument(model, sort, &index.name));
            args.push(pair("sortDirection", "ModelSortDirection"));
            args.extend(page(&model.name));
            add_sort(model, &mut args);
            let connection = related_connection_name(model);
            add(self, name, &args, &connection, QueryRoot::Index(id, i), *place);
        }
    }

    fn mutations(&mut self, report: &mut Report, id: ModelId, draft: &Draft, out: &mut Vec<String>) {
        let model = &draft.model;
        let name_upper = names::upper(&model.name);
        let Operations {
            create, update, delete, ..
        } = &draft.operations;
        for (name, kind, word) in [
            (create, MutationKind::Create, "Create"),
            (update, MutationKind::Update, "Update"),
            (delete, MutationKind::Delete, "Delete"),
        ] {
            let Some(name) = name else { continue };
            if self
                .roots
                .mutation
                .insert(name.clone(), MutationRoot::Model(id, kind))
                .is_some()
            {
                report.error(
                    draft.place,
                    format!("the mutation `{name}` would exist twice"),
                    "rename one (mutations:)",
                );
            }
            out.push(format!(
                "{name}(input: {word}{name_upper}Input!, condition: Model{name_upper}ConditionInput): {}",
                model.name
            ));
        }
    }

    fn subscriptions(&mut self, report: &mut Report, id: ModelId, draft: &Draft, out: &mut Vec<String>) {
        let model = &draft.model;
        let ops = &draft.operations;
        let mut args = vec![pair(
            "filter",
            format!("ModelSubscription{}FilterInput", names::upper(&model.name)),
        )];
        if !ops.subscriptions_public {
            args.extend(owner_arguments(draft));
        }
        let args = joined(&args);
        for (list, kind, source) in [
            (&ops.on_create, MutationKind::Create, &ops.create),
            (&ops.on_update, MutationKind::Update, &ops.update),
            (&ops.on_delete, MutationKind::Delete, &ops.delete),
        ] {
            // Without the mutation there is nothing to hear of, but for writes that come through the feed.
            let Some(source) = source else { continue };
            for name in list {
                if self
                    .roots
                    .subscription
                    .insert(name.clone(), SubscriptionRoot::Model(id, kind))
                    .is_some()
                {
                    report.error(
                        draft.place,
                        format!("the subscription `{name}` would exist twice"),
                        "rename one (subscriptions:)",
                    );
                }
                out.push(format!(
                    "{name}({args}): {} @aws_subscribe(mutations: [\"{source}\"])",
                    model.name
                ));
            }
        }
    }
}

/// The order of a list, unless its key has a field that is called so.
fn add_sort(model: &Model, args: &mut Vec<Pair>) {
    if args.iter().all(|(name, _)| name != "sort") {
        args.push(pair("sort", format!("[{}!]", inputs::sort_input(model))));
    }
}

/// `: T` after a plain field's name; arguments bring their own colon.
fn after_name(ty: &str) -> String {
    if ty.starts_with('(') {
        ty.to_owned()
    } else {
        format!(": {ty}")
    }
}

/// The connection of list and sync.
fn connection_name(model: &Model) -> String {
    format!("Model{}Connection", names::upper(&model.name))
}

/// The connection of relations and index queries: AppSync has them begin as the model does, so that a model in lower case
/// gets two.
fn related_connection_name(model: &Model) -> String {
    format!("Model{}Connection", model.name)
}

/// A key field as an argument.
fn key_pair(model: &Model, id: FieldId, required: bool) -> Pair {
    let field = &model.fields[id.0];
    (
        field.name.clone(),
        format!("{}{}", field.ty.kind.name(), if required { "!" } else { "" }),
    )
}

/// The condition on a sort key: of its own type for one field, composite for more.
fn sort_key_argument(model: &Model, sort: &[FieldId], index: &str) -> Option<Pair> {
    let name = model.sort_key_argument(sort)?;
    let ty = match sort {
        [one] => format!(
            "Model{}KeyConditionInput",
            inputs::key_condition_scalar(&model.fields[one.0].ty.kind)
        ),
        _ => format!("{}KeyConditionInput", composite_name(model, index)),
    };
    Some((name, ty))
}

/// `ModelItemPrimaryComposite`, `ModelItemByNameComposite`.
fn composite_name(model: &Model, index: &str) -> String {
    format!("Model{}{}Composite", model.name, names::upper(&names::graphql(index)))
}

/// The name of the index (or `Primary`) that a list relation goes over.
fn index_of<'m>(target: &'m Model, fields: &[FieldId], sort: &[FieldId]) -> &'m str {
    let whole =
        |path: &[FieldId]| path.len() == fields.len() + sort.len() && path.starts_with(fields) && path.ends_with(sort);
    let found = target
        .indexes
        .iter()
        .find(|i| whole(&i.fields) && !i.name.starts_with(HIDDEN_INDEX));
    found.map_or("Primary", |i| i.name.as_str())
}

/// `owner: String` for each owner rule, of the model or of a field, that lets someone listen.
fn owner_arguments(draft: &Draft) -> Vec<Pair> {
    let model = &draft.model;
    let mut out: Vec<Pair> = Vec::new();
    for rule in draft.rules() {
        let listens = rule.operations.contains(&AuthOperation::Listen);
        if rule.strategy != AuthStrategy::Owner || !listens {
            continue;
        }
        let name = rule.owner_field.as_deref().unwrap_or(super::auth::OWNER_FIELD);
        let list = model.field(name).is_some_and(|f| model.fields[f.0].ty.list.is_some());
        if !list && !out.iter().any(|(n, _)| n == name) {
            out.push(pair(name, "String"));
        }
    }
    out
}

/// Whether the filter inputs know the field: scalars and enums, not embedded values.
fn is_filterable(kind: &FieldKind) -> bool {
    !matches!(kind, FieldKind::Embedded(_))
}
