//! Primary keys and indexes of a model.

use apollo_compiler::ast::ObjectTypeDefinition;

use crate::id::FieldId;

use super::directives::Args;
use super::draft::Draft;
use super::model::{Field, FieldKind, FieldOrigin, FieldType, Member, Scalar};
use super::names;
use super::report::{Place, Report};
use super::reserved::check_generated_name;

impl Draft {
    pub(super) fn read_key(&mut self, report: &mut Report, object: &ObjectTypeDefinition) {
        let mut keyed = object
            .fields
            .iter()
            .filter_map(|f| f.directives.get("primaryKey").map(|d| (f, d)));
        let first = keyed.next();
        if let Some((_, second)) = keyed.next() {
            report.error(
                second.location(),
                format!("`{}` has two primary keys", object.name),
                "keep one @primaryKey",
            );
        }
        let Some((field, directive)) = first else {
            match self.model.field("id") {
                Some(id) => {
                    let place = object
                        .fields
                        .iter()
                        .find(|f| f.name == "id")
                        .and_then(|f| f.name.location());
                    self.check_key_field(report, id, place, true);
                    self.model.key = vec![id];
                    let ty = &mut self.model.fields[id.0].ty;
                    if ty.list.is_none() && ty.kind == FieldKind::Scalar(Scalar::String) {
                        ty.kind = FieldKind::Scalar(Scalar::Id);
                        self.text_id = true;
                    }
                }
                None => self.add_implicit_id(report),
            }
            return;
        };
        let args = Args::read(report, directive, &["sortKeyFields"]);
        self.names_its_key = true;
        let Some(partition) = self.model.field(&field.name) else {
            return;
        };
        self.check_key_field(report, partition, directive.location(), true);
        let mut key = vec![partition];
        for name in args.strings(report, "sortKeyFields") {
            let place = args.place_of("sortKeyFields");
            if let Some(id) = self.find_key_field(report, &name, place, "@primaryKey") {
                self.check_key_field(report, id, place, true);
                if key.contains(&id) {
                    report.error(place, format!("`{name}` is in the key twice"), "name each field once");
                }
                key.push(id);
            }
        }
        for id in &key {
            if let Some(field) = self.model.fields.get(id.0).filter(|f| f.default.is_some()) {
                report.error(
                    directive.location(),
                    format!("the key field `{}` has a @default", field.name),
                    "remove the @default",
                );
            }
        }
        self.model.key = key;
    }

    fn add_implicit_id(&mut self, report: &mut Report) {
        if self.member_names().any(|name| name.eq_ignore_ascii_case("id")) {
            report.error(
                self.place,
                format!(
                    "`{}` needs a key, and a field that is not `id` has that name",
                    self.model.name
                ),
                "declare `id: ID!`, or put @primaryKey on the key",
            );
        }
        let ty = FieldType {
            kind: FieldKind::Scalar(Scalar::Id),
            list: None,
            required: true,
        };
        let field = Field {
            name: "id".into(),
            ty,
            default: None,
            auth: None,
            modes: None,
            origin: FieldOrigin::ImplicitId,
            merge: None,
            former: Vec::new(),
        };
        self.model.fields.insert(0, field);
        for member in &mut self.model.order {
            if let Member::Field(id) = member {
                id.0 += 1;
            }
        }
        self.model.order.insert(0, Member::Field(FieldId(0)));
        self.model.key = vec![FieldId(0)];
    }

    pub(super) fn read_indexes(&mut self, report: &mut Report, object: &ObjectTypeDefinition) {
        for field in &object.fields {
            for directive in field.directives.get_all("index") {
                let args = Args::read(report, directive, &["name", "sortKeyFields", "queryField"]);
                let Some(partition) = self.model.field(&field.name) else {
                    continue;
                };
                self.check_key_field(report, partition, directive.location(), false);
                let mut fields = vec![partition];
                for name in args.strings(report, "sortKeyFields") {
                    let place = args.place_of("sortKeyFields");
                    if let Some(id) = self.find_key_field(report, &name, place, "@index") {
                        self.check_key_field(report, id, place, false);
                        if fields.contains(&id) {
                            report.error(place, format!("`{name}` is in the index twice"), "name each field once");
                        }
                        fields.push(id);
                    }
                }
                let words: Vec<&str> = fields.iter().map(|f| self.model.fields[f.0].name.as_str()).collect();
                let made_up = names::index_query(&self.model.plural, &words);
                let name = args.string(report, "name").unwrap_or_else(|| made_up.clone());
                if name.is_empty() || names::graphql(&name).is_empty() {
                    report.error(
                        args.place_of("name"),
                        "an index has an empty name",
                        "name it, for example \"byEmail\"",
                    );
                }
                if self.model.indexes.iter().any(|i| i.name.eq_ignore_ascii_case(&name)) {
                    report.error(
                        args.place_of("name"),
                        format!("`{}` has two indexes called `{name}`", object.name),
                        "rename one",
                    );
                }
                let query_field = match args.raw("queryField") {
                    None => Some(made_up),
                    Some(v) if v.is_null() => None,
                    Some(_) => args.string(report, "queryField"),
                };
                if let Some(query) = &query_field {
                    check_generated_name(report, query, args.place_of("queryField"));
                }
                self.push_index(name, fields, query_field, args.place_of("queryField"));
            }
        }
    }

    /// The stored field that a key or index names.
    fn find_key_field(&self, report: &mut Report, name: &str, place: Place, directive: &str) -> Option<FieldId> {
        let found = self.model.field(name);
        if found.is_none() {
            let is_relation = self.pending.iter().any(|p| p.name == name);
            let (problem, mend) = if is_relation {
                (
                    format!("{directive} goes over `{name}`, a relation"),
                    "name the field that holds its key",
                )
            } else {
                (
                    format!(
                        "{directive} goes over `{name}`, which `{}` does not have",
                        self.model.name
                    ),
                    "declare the field, or correct its name",
                )
            };
            report.error(place, problem, mend);
        }
        found
    }

    fn check_key_field(&self, report: &mut Report, id: FieldId, place: Place, primary: bool) {
        let Some(field) = self.model.fields.get(id.0) else {
            return;
        };
        let name = &field.name;
        if field.ty.list.is_some() {
            report.error(
                place,
                format!("`{name}` is a list and cannot be in a key or index"),
                "use a single value",
            );
        } else if !can_be_key(&field.ty.kind) {
            report.error(
                place,
                format!(
                    "`{name}` is of {} and cannot be in a key or index",
                    field.ty.kind.name()
                ),
                "use a string, a number, an ID or an enum",
            );
        } else if primary && !field.ty.required {
            report.error(
                place,
                format!("the key field `{name}` may be null"),
                format!("write `{name}: {}!`", field.ty.kind.name()),
            );
        }
    }
}

fn can_be_key(kind: &FieldKind) -> bool {
    match kind {
        FieldKind::Enum(_) => true,
        FieldKind::Embedded(_) | FieldKind::Scalar(Scalar::Boolean | Scalar::AwsJson) => false,
        FieldKind::Scalar(_) => true,
    }
}
