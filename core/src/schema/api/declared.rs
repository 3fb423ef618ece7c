//! What the file declares beside models: types, inputs and root fields go into the API as they stand.

use std::collections::BTreeSet;

use apollo_compiler::Name;
use apollo_compiler::ast::{DirectiveList, FieldDefinition, Type};

use crate::schema::model::{MutationRoot, QueryRoot, Scalar, SubscriptionRoot};
use crate::schema::modes;
use crate::schema::read::is_root;
use crate::schema::report::Report;
use crate::schema::reserved::reserved;

use super::Writer;

/// Directives that mean something to those who read the API, beside the mode directives.
const KEPT_DIRECTIVES: [&str; 2] = ["deprecated", "aws_subscribe"];

impl Writer<'_> {
    /// Root fields that the file declares itself.
    pub(super) fn custom_roots(
        &mut self,
        report: &mut Report,
        query: &mut Vec<String>,
        mutation: &mut Vec<String>,
        subscription: &mut Vec<String>,
    ) {
        for object in self.input.declared.objects.iter().filter(|o| is_root(&o.name)) {
            for field in &object.fields {
                let name = field.name.to_string();
                let taken = match object.name.as_str() {
                    "Query" => self.roots.query.insert(name.clone(), QueryRoot::Custom).is_some(),
                    "Mutation" => self.roots.mutation.insert(name.clone(), MutationRoot::Custom).is_some(),
                    _ => self
                        .roots
                        .subscription
                        .insert(name.clone(), SubscriptionRoot::Custom)
                        .is_some(),
                };
                if taken {
                    report.error(
                        field.name.location(),
                        format!("`{}.{name}` is generated already", object.name),
                        "rename it, or rename the generated one in @model",
                    );
                }
                if reserved(&name) {
                    report.error(
                        field.name.location(),
                        format!("`{name}` begins with `tombolo`, which is reserved"),
                        "rename it",
                    );
                }
                let line = plain_field(field).to_string();
                match object.name.as_str() {
                    "Query" => query.push(line),
                    "Mutation" => mutation.push(line),
                    _ => subscription.push(line),
                }
            }
        }
    }

    /// Types of the file that are not models, as they stand but for directives that mean nothing outside.
    pub(super) fn write_declared(&mut self, report: &mut Report) {
        let declared = self.input.declared;
        let mut texts: Vec<(Name, String)> = Vec::new();
        for one in &declared.objects {
            if is_root(&one.name) || one.directives.has("model") {
                continue;
            }
            let mut plain = one.clone();
            plain.directives = kept(&one.directives);
            plain.fields = one.fields.iter().map(|f| plain_field(f).into()).collect();
            texts.push((one.name.clone(), plain.to_string()));
        }
        for one in &declared.interfaces {
            let mut plain = one.clone();
            plain.directives = kept(&one.directives);
            plain.fields = one.fields.iter().map(|f| plain_field(f).into()).collect();
            texts.push((one.name.clone(), plain.to_string()));
        }
        for one in &declared.unions {
            let mut plain = one.clone();
            plain.directives = DirectiveList::new();
            texts.push((one.name.clone(), plain.to_string()));
        }
        for one in &declared.enums {
            let mut plain = one.clone();
            plain.directives = DirectiveList::new();
            for value in &mut plain.values {
                let keep = kept(&value.directives);
                value.make_mut().directives = keep;
            }
            texts.push((one.name.clone(), plain.to_string()));
        }
        for one in &declared.inputs {
            let mut plain = one.clone();
            plain.directives = DirectiveList::new();
            for field in &mut plain.fields {
                let keep = kept(&field.directives);
                field.make_mut().directives = keep;
            }
            texts.push((one.name.clone(), plain.to_string()));
        }
        for one in &declared.scalars {
            texts.push((one.name.clone(), format!("scalar {}", one.name)));
        }
        for (name, text) in texts {
            if reserved(&name) {
                report.error(
                    name.location(),
                    format!("`{name}` begins with `Tombolo`, which is reserved"),
                    "rename the type",
                );
            }
            self.claim(report, &name, name.location());
            self.out.push_str(text.trim_end());
            self.out.push_str("\n\n");
        }
    }

    /// Declared types may name generated ones, so this waits until all names are known.
    pub(super) fn check_references(&mut self, report: &mut Report) {
        let declared = self.input.declared;
        let names = &self.names;
        let mut check = |ty: &Type| {
            let name = ty.inner_named_type();
            if !names.contains_key(name.as_str()) && Scalar::named(name).is_none() {
                report.error(
                    name.location(),
                    format!("the type `{name}` is unknown"),
                    "declare it, or correct its spelling",
                );
            }
        };
        let plain = declared
            .objects
            .iter()
            .filter(|o| !o.directives.has("model"))
            .flat_map(|o| &o.fields);
        for field in plain.chain(declared.interfaces.iter().flat_map(|i| &i.fields)) {
            check(&field.ty);
            field.arguments.iter().for_each(|a| check(&a.ty));
        }
        declared
            .inputs
            .iter()
            .flat_map(|i| &i.fields)
            .for_each(|f| check(&f.ty));
        for member in declared.unions.iter().flat_map(|u| &u.members) {
            check(&Type::Named(member.clone()));
        }
        let interfaces: BTreeSet<&str> = declared.interfaces.iter().map(|i| i.name.as_str()).collect();
        for name in declared.objects.iter().flat_map(|o| &o.implements_interfaces) {
            if !interfaces.contains(name.as_str()) {
                report.error(
                    name.location(),
                    format!("`{name}` is not an interface"),
                    "declare it, or drop `implements`",
                );
            }
        }
    }
}

fn kept(list: &DirectiveList) -> DirectiveList {
    let mut out = DirectiveList::new();
    let is_kept = |name: &str| KEPT_DIRECTIVES.contains(&name) || modes::is_mode(name);
    for directive in list.iter().filter(|directive| is_kept(&directive.name)) {
        out.push(directive.clone());
    }
    out
}

fn plain_field(field: &FieldDefinition) -> FieldDefinition {
    let mut plain = field.clone();
    plain.directives = kept(&field.directives);
    for argument in &mut plain.arguments {
        let keep = kept(&argument.directives);
        argument.make_mut().directives = keep;
    }
    plain
}
