//! The arguments of lists: key conditions, filter, order, page.

use serde_json::Value as Json;

use super::document::over;
use super::filter::{Filter, FilterColumn, Test};
use super::filter_parse::{bad, not_authorized};
use super::plan::{By, Column, List, Sync};
use super::select::Planner;
use super::sql;
use super::token::{Token, list_hash};
use crate::id::{FieldId, ModelId};
use crate::limits::SORT_FIELDS_MAX;
use crate::schema::{LAST_CHANGED_AT, Model};
use crate::value::Value;
use crate::wire::graphql::GraphqlError;

/// A list as its field asks for it.
pub(super) struct Wanted<'w> {
    pub(super) model: ModelId,
    /// The type and the name of the field, to which page tokens are bound.
    pub(super) of: &'w str,
    pub(super) field: &'w str,
    /// What must hold of every record, beside the arguments.
    pub(super) fixed: Vec<Filter>,
    /// The fields that the sort key condition is about, and that come first in the order.
    pub(super) sort: &'w [FieldId],
    /// The order, if it is not sort fields and primary key.
    pub(super) order: Option<Vec<Column>>,
    pub(super) arguments: &'w [(String, Json)],
    pub(super) sync: bool,
}

impl Wanted<'_> {
    fn argument(&self, name: &str) -> Option<&Json> {
        argument(self.arguments, name)
    }
}

/// An argument that was given and is not null.
pub(super) fn argument<'j>(arguments: &'j [(String, Json)], name: &str) -> Option<&'j Json> {
    arguments
        .iter()
        .find(|(given, value)| given == name && !value.is_null())
        .map(|(_, value)| value)
}

impl Planner<'_> {
    /// Plans a list. Second, the parent that a page token of a nested list belongs to.
    pub(super) fn list(&self, wanted: &Wanted<'_>) -> Result<(List, Option<String>), GraphqlError> {
        let model = self.schema.model(wanted.model);
        let mut filters = wanted.fixed.clone();
        if let Some(name) = model.sort_key_argument(wanted.sort)
            && let Some(json) = wanted.argument(&name)
        {
            filters.push(self.sort_condition(wanted.model, wanted.sort, &name, json)?);
        }
        if let Some(json) = wanted.argument("filter") {
            filters.push(Filter::parse(self.schema, wanted.model, json, self.access)?);
        }
        let order = wanted.order.clone().unwrap_or_else(|| {
            let mut order: Vec<Column> = wanted.sort.iter().map(|f| Column::Field(*f)).collect();
            for column in sql::key(model) {
                if !order.contains(&column) {
                    order.push(column);
                }
            }
            order
        });
        let descending = wanted.argument("sortDirection").and_then(Json::as_str) == Some("DESC");
        let order = self.ordered(wanted, By::all(order, descending))?;
        for by in &order {
            if let Column::Field(field) = by.column
                && !self.access.can_read(wanted.model, field)
            {
                return Err(not_authorized(&model.field_at(field).name, &model.name));
            }
        }
        let limits = &self.parsed.limits;
        let limit = match wanted.argument("limit") {
            None => limits.list_limit_default,
            Some(json) => match json.as_i64().map(usize::try_from) {
                Some(Ok(limit)) if limit > 0 => limit.min(limits.list_limit_max),
                _ => return Err(bad(format!("`limit` is {json}; it is a number of records from 1 up"))),
            },
        };
        let token_hash = list_hash(wanted.of, wanted.field, wanted.arguments);
        let token = match wanted.argument("nextToken") {
            None => None,
            Some(Json::String(text)) => Some(Token::decode(text, &token_hash, self.schema, model, &order)?),
            Some(_) => return Err(bad("`nextToken` is a string")),
        };
        let (after, parent, started_at) = match token {
            Some(token) => (
                Some(token.after),
                Some(token.parent.unwrap_or_default()),
                token.started_at,
            ),
            None => (None, None, None),
        };
        let sync = wanted.sync.then(|| Sync {
            last_sync: wanted.argument("lastSync").and_then(Json::as_i64).filter(|at| *at > 0),
            started_at,
        });
        let list = List {
            filter: match filters.len() {
                0 => None,
                1 => filters.pop(),
                _ => Some(Filter::All(filters)),
            },
            order,
            limit,
            skip: 0,
            probe: false,
            after,
            token: None,
            token_hash,
            sync,
        };
        Ok((list, parent))
    }

    /// The order that `sort` asks for, with `rest` behind it, whose key makes it total; `rest` without `sort`.
    fn ordered(&self, wanted: &Wanted<'_>, rest: Vec<By>) -> Result<Vec<By>, GraphqlError> {
        let model = self.schema.model(wanted.model);
        // A list whose key has a field called `sort` has no order of ours: what is given is the key's value or condition.
        let Some(Json::Array(steps)) = wanted.argument("sort") else {
            return Ok(rest);
        };
        if steps.len() > SORT_FIELDS_MAX {
            return Err(over(format!(
                "`sort` has {} steps; the most is {SORT_FIELDS_MAX} (SORT_FIELDS_MAX): the key settles what is left",
                steps.len()
            )));
        }
        let mut order: Vec<By> = Vec::with_capacity(steps.len() + rest.len());
        for step in steps.iter().filter(|step| !step.is_null()) {
            let name = step.get("field").and_then(Json::as_str).unwrap_or_default();
            let column = match name {
                LAST_CHANGED_AT => Some(Column::LastChangedAt),
                name => model
                    .field(name)
                    .filter(|field| model.field_at(*field).is_sortable())
                    .map(Column::Field),
            };
            let column =
                column.ok_or_else(|| bad(format!("`sort` names no field that {} can be sorted by", model.name)))?;
            if order.iter().any(|by| by.column == column) {
                return Err(bad(format!("`sort` names `{name}` twice: leave the second out")));
            }
            order.push(By {
                column,
                descending: step.get("direction").and_then(Json::as_str) == Some("DESC"),
            });
        }
        for by in rest {
            if order.iter().all(|known| known.column != by.column) {
                order.push(by);
            }
        }
        Ok(order)
    }

    /// The condition on a sort key: on its one field, or on the tuple of its fields.
    fn sort_condition(&self, id: ModelId, fields: &[FieldId], name: &str, json: &Json) -> Result<Filter, GraphqlError> {
        if let [field] = fields {
            return Filter::key_condition(self.schema, id, *field, json, self.access);
        }
        let Json::Object(entries) = json else {
            return Err(bad(format!(
                "`{name}` is an object of operators such as {{\"eq\": {{…}}}}"
            )));
        };
        let model = self.schema.model(id);
        let mut all = Vec::new();
        for (operator, value) in entries.iter().filter(|(_, v)| !v.is_null()) {
            let tuple = |value: &Json| self.tuple(id, model, fields, name, value);
            all.push(match operator.as_str() {
                "eq" => Filter::All(tuple(value)?.into_iter().map(|(f, v)| is(f, Test::Eq(v))).collect()),
                "lt" => beyond(&tuple(value)?, false, false),
                "le" => beyond(&tuple(value)?, false, true),
                "gt" => beyond(&tuple(value)?, true, false),
                "ge" => beyond(&tuple(value)?, true, true),
                "between" => match value.as_array().map(Vec::as_slice) {
                    Some([low, high]) => Filter::All(vec![
                        beyond(&tuple(low)?, true, true),
                        beyond(&tuple(high)?, false, true),
                    ]),
                    _ => {
                        return Err(bad(format!(
                            "`between` of `{name}` takes a list of exactly two: low, high"
                        )));
                    }
                },
                "beginsWith" => {
                    let tuple = tuple(value)?;
                    let last = tuple.len() - 1;
                    let each = tuple.into_iter().enumerate().map(|(i, (field, value))| match value {
                        Value::Text(prefix) if i == last => is(field, Test::BeginsWith(prefix)),
                        value => is(field, Test::Eq(value)),
                    });
                    Filter::All(each.collect())
                }
                other => return Err(bad(format!("`{name}` has no operator `{other}`"))),
            });
        }
        Ok(Filter::All(all))
    }

    /// The leading fields of a composite sort key that `json` gives; at least one.
    fn tuple(
        &self,
        id: ModelId,
        model: &Model,
        fields: &[FieldId],
        name: &str,
        json: &Json,
    ) -> Result<Vec<(FieldId, Value)>, GraphqlError> {
        let mut given = Vec::new();
        for (i, field) in fields.iter().enumerate() {
            let member = &model.field_at(*field).name;
            match json.get(member).filter(|v| !v.is_null()) {
                None => continue,
                Some(_) if given.len() < i => {
                    return Err(bad(format!(
                        "`{name}` gives `{member}` without the fields before it in the key"
                    )));
                }
                Some(value) => match Filter::equality(self.schema, id, *field, value, self.access)? {
                    Filter::Test {
                        test: Test::Eq(value), ..
                    } => given.push((*field, value)),
                    _ => continue,
                },
            }
        }
        if given.is_empty() {
            return Err(bad(format!(
                "`{name}` gives none of the fields of the key; begin with `{}`",
                fields.first().map_or("", |f| model.field_at(*f).name.as_str())
            )));
        }
        Ok(given)
    }
}

fn is(field: FieldId, test: Test) -> Filter {
    Filter::test(FilterColumn::Field(field), test)
}

/// The records whose fields, taken as a tuple, lie beyond `tuple` (or on it).
fn beyond(tuple: &[(FieldId, Value)], above: bool, inclusive: bool) -> Filter {
    let mut ways = Vec::new();
    for i in 0..tuple.len() {
        let mut all: Vec<Filter> = tuple[..i].iter().map(|(f, v)| is(*f, Test::Eq(v.clone()))).collect();
        let (field, value) = (tuple[i].0, tuple[i].1.clone());
        let last = i + 1 == tuple.len();
        all.push(is(
            field,
            match (above, inclusive && last) {
                (true, false) => Test::Gt(value),
                (true, true) => Test::Ge(value),
                (false, false) => Test::Lt(value),
                (false, true) => Test::Le(value),
            },
        ));
        ways.push(Filter::All(all));
    }
    Filter::Any(ways)
}
