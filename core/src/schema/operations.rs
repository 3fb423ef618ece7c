//! The operations of a model: named, renamed or switched off by `@model`'s arguments.

use apollo_compiler::Node;
use apollo_compiler::ast::Value as Ast;

use super::directives::{Args, string, strings};
use super::names;
use super::report::Report;
use super::reserved::check_generated_name;

/// The names of a model's operations; `None` or empty where one is switched off.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    pub(super) get: Option<String>,
    pub(super) list: Option<String>,
    pub(super) sync: Option<String>,
    pub(super) create: Option<String>,
    pub(super) update: Option<String>,
    pub(super) delete: Option<String>,
    pub(super) on_create: Vec<String>,
    pub(super) on_update: Vec<String>,
    pub(super) on_delete: Vec<String>,
    /// `subscriptions: { level: public }`: no owner argument.
    pub(super) subscriptions_public: bool,
}

impl Operations {
    pub(super) fn of(name: &str, plural: &str) -> Self {
        let (name, plural) = (names::upper(name), names::upper(plural));
        Self {
            get: Some(format!("get{name}")),
            list: Some(format!("list{plural}")),
            sync: Some(format!("sync{plural}")),
            create: Some(format!("create{name}")),
            update: Some(format!("update{name}")),
            delete: Some(format!("delete{name}")),
            on_create: vec![format!("onCreate{name}")],
            on_update: vec![format!("onUpdate{name}")],
            on_delete: vec![format!("onDelete{name}")],
            subscriptions_public: false,
        }
    }

    pub(super) fn read(&mut self, report: &mut Report, args: &Args<'_>) {
        let rename = |report: &mut Report, value: &Node<Ast>, what: &str, key: &str, slot: &mut Option<String>| {
            match object_field(value, key) {
                None => {}
                Some(v) if v.is_null() => *slot = None,
                Some(v) => {
                    if let Some(name) = string(report, &format!("`{what}.{key}`"), v) {
                        check_generated_name(report, &name, v.location());
                        *slot = Some(name);
                    }
                }
            }
        };
        if let Some(value) = args.raw("queries") {
            if value.is_null() {
                (self.get, self.list, self.sync) = (None, None, None);
            } else {
                check_keys(report, value, "queries", &["get", "list", "sync"]);
                rename(report, value, "queries", "get", &mut self.get);
                rename(report, value, "queries", "list", &mut self.list);
                rename(report, value, "queries", "sync", &mut self.sync);
            }
        }
        if let Some(value) = args.raw("mutations") {
            if value.is_null() {
                (self.create, self.update, self.delete) = (None, None, None);
            } else {
                check_keys(report, value, "mutations", &["create", "update", "delete"]);
                rename(report, value, "mutations", "create", &mut self.create);
                rename(report, value, "mutations", "update", &mut self.update);
                rename(report, value, "mutations", "delete", &mut self.delete);
            }
        }
        if let Some(value) = args.raw("subscriptions") {
            self.read_subscriptions(report, value);
        }
    }

    fn read_subscriptions(&mut self, report: &mut Report, value: &Node<Ast>) {
        let mut off = value.is_null();
        if !off {
            check_keys(
                report,
                value,
                "subscriptions",
                &["level", "onCreate", "onUpdate", "onDelete"],
            );
            match object_field(value, "level") {
                None => {}
                Some(v) if v.is_null() => off = true,
                Some(v) => match string(report, "`subscriptions.level`", v).as_deref() {
                    Some("off") => off = true,
                    Some("public") => self.subscriptions_public = true,
                    Some("on") | None => {}
                    Some(other) => report.error(
                        v.location(),
                        format!("`{other}` is not a subscription level"),
                        "write off, public or on",
                    ),
                },
            }
            for (key, slot) in [
                ("onCreate", &mut self.on_create),
                ("onUpdate", &mut self.on_update),
                ("onDelete", &mut self.on_delete),
            ] {
                if let Some(v) = object_field(value, key) {
                    *slot = strings(report, &format!("`subscriptions.{key}`"), v);
                    for name in slot.iter() {
                        check_generated_name(report, name, v.location());
                    }
                }
            }
        }
        if off {
            (self.on_create, self.on_update, self.on_delete) = (Vec::new(), Vec::new(), Vec::new());
        }
    }
}

pub(super) fn object_field<'a>(value: &'a Node<Ast>, key: &str) -> Option<&'a Node<Ast>> {
    value.as_object()?.iter().find(|(name, _)| name == key).map(|(_, v)| v)
}

pub(super) fn check_keys(report: &mut Report, value: &Node<Ast>, what: &str, known: &[&str]) {
    let Some(fields) = value.as_object() else {
        report.error(
            value.location(),
            format!("`{what}` is not an object"),
            format!("write {{ {}: … }}", known[0]),
        );
        return;
    };
    for (name, v) in fields {
        if !known.contains(&name.as_str()) {
            report.error(
                name.location().or_else(|| v.location()),
                format!("`{what}` has no `{name}`"),
                format!("it takes {}", known.join(", ")),
            );
        }
    }
}
