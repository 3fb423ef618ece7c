//! Schemas of Amplify's first transformer: `@key`, `@connection` and `@versioned` are put into the words of the second,
//! each with a warning that says them, before anything else looks at the file.
//!
//! Foreign keys that the first transformer made up keep their names, since records and apps have them: with a named
//! connection it is that of the child's field (`commentPostId`), without a name that of the parent's (`postCommentsId`).

use apollo_compiler::ast::{Argument, Directive, FieldDefinition, ObjectTypeDefinition, Type, Value as Ast};
use apollo_compiler::{Name, Node};

use super::directives::Args;
use super::names;
use super::read::Declared;
use super::relations::HIDDEN_INDEX;
use super::report::{Place, Report};

/// Translates what is there of the first transformer.
pub(super) fn translate(report: &mut Report, declared: &mut Declared) {
    for object in declared.objects.iter_mut().filter(|o| o.directives.has("model")) {
        versioned(report, object);
        keys(report, object);
    }
    let all = connections(report, declared);
    for one in &all {
        let Some(directive) = relation(report, declared, &all, one) else {
            // What is wrong has been said; without the field nothing more is.
            declared.objects[one.object]
                .fields
                .retain(|f| f.name != one.field.as_str());
            continue;
        };
        say(report, one.place, "connection", &directive, "there");
        let field = field_mut(&mut declared.objects[one.object], &one.field);
        if let Some(old) = field.and_then(|f| f.directives.0.iter_mut().find(|d| d.name == "connection")) {
            *old = old.same_location(directive);
        }
    }
}

fn say(report: &mut Report, place: Place, old: &str, new: &Directive, at: &str) {
    report.warn(
        place,
        format!("@{old} is of Amplify's first transformer and is read as {new}"),
        format!("write {new} {at}"),
    );
}

fn versioned(report: &mut Report, object: &mut ObjectTypeDefinition) {
    if let Some(directive) = object.directives.get("versioned") {
        report.warn(
            directive.location(),
            "@versioned is of Amplify's first transformer and says nothing more: every model is versioned",
            "remove it",
        );
    }
    object.directives.0.retain(|d| d.name != "versioned");
}

/// `@key` on a model: its primary key without a name, an index with one.
fn keys(report: &mut Report, object: &mut ObjectTypeDefinition) {
    let (keys, others): (Vec<_>, Vec<_>) = object.directives.0.drain(..).partition(|d| d.name == "key");
    object.directives.0 = others;
    for key in keys {
        let args = Args::read(report, &key, &["name", "fields", "queryField"]);
        let name = args.string(report, "name");
        let query = args.string(report, "queryField");
        let fields = args.strings(report, "fields");
        let Some((first, sort)) = fields.split_first() else {
            report.error(
                args.place_of("fields"),
                "@key names no fields",
                "write @primaryKey or @index on the field that the key begins with",
            );
            continue;
        };
        let mut arguments = Vec::new();
        let directive = match &name {
            None => "primaryKey",
            Some(name) => {
                arguments.push(("name", text(name)));
                "index"
            }
        };
        if !sort.is_empty() {
            arguments.push(("sortKeyFields", texts(sort)));
        }
        if name.is_some() {
            arguments.push(("queryField", query.as_deref().map_or(Ast::Null, text)));
        } else if query.is_some() {
            report.error(
                args.place_of("queryField"),
                "@key without a name is the primary key, which has no queryField",
                "remove it, or name the key to make it an index",
            );
        }
        let made = make(&key, directive, arguments);
        let owner = object.name.clone();
        let Some(field) = field_mut(object, first) else {
            report.error(
                args.place_of("fields"),
                format!("@key goes over `{first}`, which `{owner}` does not have"),
                "declare the field, or correct its name",
            );
            continue;
        };
        say(report, key.location(), "key", &made, &format!("on `{first}`"));
        field.directives.push(key.same_location(made));
    }
}

/// One `@connection` as it stands.
struct Connection {
    object: usize,
    model: String,
    field: String,
    target: String,
    list: bool,
    required: bool,
    name: Option<String>,
    key_name: Option<String>,
    fields: Vec<String>,
    key_field: Option<String>,
    sort_field: Option<String>,
    limit: Option<Node<Ast>>,
    directive: Node<Directive>,
    place: Place,
}

fn connections(report: &mut Report, declared: &Declared) -> Vec<Connection> {
    let known = ["name", "keyName", "fields", "keyField", "sortField", "limit"];
    let mut out = Vec::new();
    for (i, object) in declared.objects.iter().enumerate() {
        for field in object.fields.iter().filter(|_| object.directives.has("model")) {
            let Some(directive) = field.directives.get("connection") else {
                continue;
            };
            let args = Args::read(report, directive, &known);
            out.push(Connection {
                object: i,
                model: object.name.to_string(),
                field: field.name.to_string(),
                target: field.ty.inner_named_type().to_string(),
                list: field.ty.is_list(),
                required: field.ty.is_non_null(),
                name: args.string(report, "name"),
                key_name: args.string(report, "keyName"),
                fields: args.strings(report, "fields"),
                key_field: args.string(report, "keyField"),
                sort_field: args.string(report, "sortField"),
                limit: args.raw("limit").cloned(),
                directive: directive.clone(),
                place: directive.location(),
            });
        }
    }
    out
}

/// What a connection is in the second transformer's words; fields and indexes that it needs are added to the file.
fn relation(report: &mut Report, declared: &mut Declared, all: &[Connection], one: &Connection) -> Option<Directive> {
    let made = |name: &str, mut arguments: Vec<(&'static str, Ast)>| {
        if let (true, Some(limit)) = (one.list && name == "hasMany", &one.limit) {
            arguments.push(("limit", (**limit).clone()));
        }
        Some(make(&one.directive, name, arguments))
    };
    if !declared.objects.iter().any(|o| o.name == one.target.as_str()) {
        // Whoever resolves relations will say so.
        return made(if one.list { "hasMany" } else { "hasOne" }, Vec::new());
    }
    if !one.fields.is_empty() {
        let fields = ("fields", texts(&one.fields));
        return match (one.list, &one.key_name) {
            (true, Some(index)) => made("hasMany", vec![("indexName", text(index)), fields]),
            (true, None) => made("hasMany", vec![fields]),
            (false, _) => {
                let back = all
                    .iter()
                    .any(|o| o.model == one.target && o.target == one.model && o.list);
                made(if back { "belongsTo" } else { "hasOne" }, vec![fields])
            }
        };
    }
    if one.key_name.is_some() {
        report.error(
            one.place,
            format!("the @connection of `{}` has a keyName but no fields", one.field),
            "add fields: [\"id\"], the key of this model",
        );
        return None;
    }
    let opposite = all.iter().find(|o| {
        let same = o.model == one.model && o.field == one.field;
        one.name.is_some() && o.name == one.name && o.model == one.target && o.target == one.model && !same
    });
    match (one.list, opposite) {
        (true, Some(opposite)) if opposite.list => {
            report.error(
                one.place,
                format!("the @connection of `{}` has a list on both sides", one.field),
                "write @manyToMany(relationName: \"…\") on both, or a model of the pairs",
            );
            None
        }
        (true, opposite) => {
            if opposite.is_none() && one.key_field.is_none() && one.sort_field.is_none() {
                return made("hasMany", Vec::new());
            }
            let (key, kind) = own_key(report, declared, &one.model, one.place)?;
            let foreign = foreign_key(one, opposite, &key);
            let child = declared.objects.iter().position(|o| o.name == one.target.as_str())?;
            let required = opposite.is_some_and(|o| o.required);
            add_field(
                report,
                &mut declared.objects[child],
                &foreign,
                kind,
                required,
                one.place,
            )?;
            let stem = one
                .name
                .clone()
                .unwrap_or_else(|| format!("{}.{}", one.model, one.field));
            let index = format!("{HIDDEN_INDEX}{stem}");
            let mut arguments = vec![("name", text(&index)), ("queryField", Ast::Null)];
            let sort = one
                .sort_field
                .as_ref()
                .or_else(|| opposite.and_then(|o| o.sort_field.as_ref()));
            if let Some(sort) = sort {
                arguments.push(("sortKeyFields", texts(std::slice::from_ref(sort))));
            }
            let made_index = make(&one.directive, "index", arguments);
            if let Some(field) = field_mut(&mut declared.objects[child], &foreign) {
                field.directives.push(one.directive.same_location(made_index));
            }
            made("hasMany", vec![("indexName", text(&index)), ("fields", texts(&[key]))])
        }
        (false, opposite) => {
            let listed = opposite.filter(|o| o.list);
            if listed.is_none() && one.key_field.is_none() {
                return made("hasOne", Vec::new());
            }
            let (key, kind) = own_key(report, declared, &one.target, one.place)?;
            let foreign = foreign_key(one, opposite, &key);
            add_field(
                report,
                &mut declared.objects[one.object],
                &foreign,
                kind,
                one.required,
                one.place,
            )?;
            let name = if listed.is_some() { "belongsTo" } else { "hasOne" };
            made(name, vec![("fields", texts(&[foreign]))])
        }
    }
}

/// The field that holds the other record's key: `keyField` of either side, else the name that the transformer made up.
fn foreign_key(one: &Connection, opposite: Option<&Connection>, key: &str) -> String {
    let given = one
        .key_field
        .as_ref()
        .or_else(|| opposite.and_then(|o| o.key_field.as_ref()));
    let child = match opposite {
        Some(opposite) if one.list => opposite,
        _ => one,
    };
    given
        .cloned()
        .unwrap_or_else(|| names::camel(&[&child.model, &child.field, key]))
}

/// The one field of a model's key, and its type.
fn own_key(report: &mut Report, declared: &Declared, model: &str, place: Place) -> Option<(String, Name)> {
    let object = declared.objects.iter().find(|o| o.name == model)?;
    let keyed = object.fields.iter().find(|f| f.directives.has("primaryKey"));
    let sorted = keyed
        .and_then(|f| f.directives.get("primaryKey"))
        .is_some_and(|d| d.specified_argument_by_name("sortKeyFields").is_some());
    if sorted {
        report.error(
            place,
            format!("a @connection without fields holds the key of `{model}`, which has several fields"),
            "name an index and the fields of the key: @hasMany(indexName: \"…\", fields: […])",
        );
        return None;
    }
    Some(match keyed.or_else(|| object.fields.iter().find(|f| f.name == "id")) {
        Some(field) => (field.name.to_string(), field.ty.inner_named_type().clone()),
        None => ("id".to_owned(), Name::new_unchecked("ID")),
    })
}

fn add_field(
    report: &mut Report,
    object: &mut ObjectTypeDefinition,
    name: &str,
    kind: Name,
    required: bool,
    place: Place,
) -> Option<()> {
    if object.fields.iter().any(|f| f.name == name) {
        return Some(());
    }
    let Ok(name) = Name::new(name) else {
        report.error(place, format!("`{name}` is not a name in GraphQL"), "correct keyField");
        return None;
    };
    object.fields.push(Node::new(FieldDefinition {
        description: None,
        name,
        arguments: Vec::new(),
        ty: if required {
            Type::NonNullNamed(kind)
        } else {
            Type::Named(kind)
        },
        directives: apollo_compiler::ast::DirectiveList::new(),
    }));
    Some(())
}

fn field_mut<'o>(object: &'o mut ObjectTypeDefinition, name: &str) -> Option<&'o mut FieldDefinition> {
    object.fields.iter_mut().find(|f| f.name == name).map(Node::make_mut)
}

/// A directive whose parts stand where `old` stands.
fn make(old: &Node<Directive>, name: &str, arguments: Vec<(&'static str, Ast)>) -> Directive {
    Directive {
        name: Name::new_unchecked(name),
        arguments: arguments
            .into_iter()
            .map(|(name, value)| {
                old.same_location(Argument {
                    name: Name::new_static_unchecked(name),
                    value: old.same_location(value),
                })
            })
            .collect(),
    }
}

fn text(text: &str) -> Ast {
    Ast::String(text.to_owned())
}

fn texts(all: &[String]) -> Ast {
    Ast::List(all.iter().map(|one| Node::new(text(one))).collect())
}
