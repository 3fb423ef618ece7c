//! Filters from JSON: the generated inputs `ModelXFilterInput`, `ModelXConditionInput` and `ModelSubscriptionXFilterInput`.
//!
//! The JSON may have passed GraphQL's validation (an argument) or not (a scope's filter), so everything is checked here
//! again; each message says what was expected.

use serde_json::Value as Json;

use super::filter::{AttributeType, Filter, FilterColumn, SizeTest, Test};
use super::filter_sql::own_type;
use crate::access::Access;
use crate::id::{FieldId, ModelId};
use crate::limits::FILTER_NODES_MAX;
use crate::schema::{FieldKind, FieldType, Model, Scalar, Schema};
use crate::value::Value;
use crate::wire::graphql::{ErrorType, GraphqlError};

impl Filter {
    /// Reads a filter of `model`. Takes all three generated shapes; `null` entries count as absent.
    ///
    /// # Errors
    /// `BadRequest` for what is no filter of the model, `Unauthorized` for a field that may not be read, `LimitExceeded`
    /// for more than [`FILTER_NODES_MAX`] nodes.
    pub fn parse(schema: &Schema, model: ModelId, json: &Json, access: &Access) -> Result<Self, GraphqlError> {
        let mut parser = Parser {
            schema,
            id: model,
            model: schema.model(model),
            access,
            nodes: 0,
        };
        parser.object(json)
    }

    /// The filter that tests `field` for equality with `json`: a subscription's plain argument, a key in a query.
    pub(super) fn equality(
        schema: &Schema,
        model: ModelId,
        field: FieldId,
        json: &Json,
        access: &Access,
    ) -> Result<Self, GraphqlError> {
        let parser = Parser {
            schema,
            id: model,
            model: schema.model(model),
            access,
            nodes: 0,
        };
        parser.readable(field)?;
        let ty = parser.model.field_at(field).ty.with_required(false);
        let value = parser.value(&parser.model.field_at(field).name, &ty, json)?;
        Ok(Self::test(FilterColumn::Field(field), Test::Eq(value)))
    }

    /// A key condition (`ModelStringKeyConditionInput` and its like) on one field.
    pub(super) fn key_condition(
        schema: &Schema,
        model: ModelId,
        field: FieldId,
        json: &Json,
        access: &Access,
    ) -> Result<Self, GraphqlError> {
        let mut parser = Parser {
            schema,
            id: model,
            model: schema.model(model),
            access,
            nodes: 0,
        };
        parser.field(FilterColumn::Field(field), json)
    }
}

pub(super) fn bad(message: impl Into<String>) -> GraphqlError {
    GraphqlError::new(ErrorType::BadRequest, message)
}

pub(super) fn not_authorized(field: &str, of: &str) -> GraphqlError {
    GraphqlError::new(
        ErrorType::Unauthorized,
        format!("Not Authorized to access {field} on type {of}"),
    )
}

struct Parser<'a> {
    schema: &'a Schema,
    id: ModelId,
    model: &'a Model,
    access: &'a Access,
    nodes: usize,
}

impl Parser<'_> {
    fn count(&mut self) -> Result<(), GraphqlError> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX {
            return Err(GraphqlError::new(
                ErrorType::LimitExceeded,
                // AppSync's words first: upon them DataStore subscribes without its filter, and filters for itself.
                format!(
                    "Filters exceed maximum attributes limit: the filter has more than {FILTER_NODES_MAX} tests and connectives (FILTER_NODES_MAX); use `in` or \
                     `between` where they serve, or split the query"
                ),
            ));
        }
        Ok(())
    }

    fn readable(&self, field: FieldId) -> Result<(), GraphqlError> {
        if self.access.can_read(self.id, field) {
            Ok(())
        } else {
            Err(not_authorized(&self.model.field_at(field).name, &self.model.name))
        }
    }

    fn object(&mut self, json: &Json) -> Result<Filter, GraphqlError> {
        self.count()?;
        let Json::Object(entries) = json else {
            return Err(bad(format!(
                "a filter of {} is an object such as {{\"{}\": {{\"eq\": …}}}}",
                self.model.name,
                self.model.fields.first().map_or("id", |f| f.name.as_str())
            )));
        };
        let mut all = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            if value.is_null() {
                continue;
            }
            all.push(match name.as_str() {
                "and" => Filter::All(self.list(name, value)?),
                "or" => Filter::Any(self.list(name, value)?),
                "not" => Filter::Not(Box::new(self.object(value)?)),
                "_deleted" => self.field(FilterColumn::Deleted, value)?,
                name => {
                    let Some(field) = self.model.field(name) else {
                        if let Some((_, kind)) = self.model.absent.iter().find(|(absent, _)| absent == name) {
                            all.push(self.absent(name, kind, value)?);
                            continue;
                        }
                        return Err(bad(format!(
                            "{} has no stored field `{name}` to filter on",
                            self.model.name
                        )));
                    };
                    self.field(FilterColumn::Field(field), value)?
                }
            });
        }
        Ok(match all.len() {
            1 => all.swap_remove(0),
            _ => Filter::All(all),
        })
    }

    fn list(&mut self, name: &str, json: &Json) -> Result<Vec<Filter>, GraphqlError> {
        match json {
            Json::Array(items) => items
                .iter()
                .filter(|item| !item.is_null())
                .map(|item| self.object(item))
                .collect(),
            // GraphQL takes a single value for a list of one.
            Json::Object(_) => Ok(vec![self.object(json)?]),
            _ => Err(bad(format!("`{name}` in a filter is a list of filters"))),
        }
    }

    /// The tests of one column: `{"eq": 1}`.
    fn field(&mut self, column: FilterColumn, json: &Json) -> Result<Filter, GraphqlError> {
        let (name, ty) = match column {
            FilterColumn::Field(field) => {
                self.readable(field)?;
                let field = self.model.field_at(field);
                if matches!(field.ty.kind, FieldKind::Embedded(_)) {
                    return Err(bad(format!(
                        "`{}` of {} is an embedded value; filters look at scalars, enums and lists of them",
                        field.name, self.model.name
                    )));
                }
                (field.name.clone(), field.ty.with_required(false))
            }
            FilterColumn::Deleted => (
                "_deleted".to_owned(),
                FieldType::single(FieldKind::Scalar(Scalar::Boolean)),
            ),
        };
        let Json::Object(entries) = json else {
            return Err(bad(format!(
                "the filter on `{name}` is an object of operators such as {{\"eq\": …}}"
            )));
        };
        let mut tests = Vec::with_capacity(entries.len());
        for (operator, value) in entries {
            self.count()?;
            tests.push(Filter::test(column, self.operator(&name, &ty, operator, value)?));
        }
        Ok(match tests.len() {
            1 => tests.swap_remove(0),
            _ => Filter::All(tests),
        })
    }

    /// The tests of a name that no record has a value for: constants.
    fn absent(&mut self, name: &str, kind: &FieldKind, json: &Json) -> Result<Filter, GraphqlError> {
        let Json::Object(entries) = json else {
            return Err(bad(format!(
                "the filter on `{name}` is an object of operators such as {{\"eq\": …}}"
            )));
        };
        let ty = FieldType::single(kind.clone());
        let mut hold = true;
        for (operator, value) in entries {
            self.count()?;
            hold &= self.operator(name, &ty, operator, value)?.holds(&Value::Null, false);
        }
        Ok(if hold {
            Filter::All(Vec::new())
        } else {
            Filter::Any(Vec::new())
        })
    }

    fn operator(&mut self, name: &str, ty: &FieldType, operator: &str, json: &Json) -> Result<Test, GraphqlError> {
        let of_text = own_type(ty) == AttributeType::String;
        let item = FieldType::single(ty.kind.clone());
        let here = || format!("`{operator}` on `{name}`");
        if json.is_null() && !matches!(operator, "eq" | "ne") {
            return Err(bad(format!(
                "{} needs a value; leave the operator out, or use `attributeExists` to find absent fields",
                here()
            )));
        }
        Ok(match operator {
            "eq" => Test::Eq(self.whole_or_item(name, ty, &item, json)?),
            "ne" => Test::Ne(self.whole_or_item(name, ty, &item, json)?),
            // An order over lists has no meaning: comparing a list with an item is false, as in DynamoDB.
            "lt" => Test::Lt(self.value(name, &item, json)?),
            "le" => Test::Le(self.value(name, &item, json)?),
            "gt" => Test::Gt(self.value(name, &item, json)?),
            "ge" => Test::Ge(self.value(name, &item, json)?),
            "between" => match json {
                Json::Array(ends) if ends.len() == 2 => Test::Between(
                    self.present(name, &item, &ends[0])?,
                    self.present(name, &item, &ends[1])?,
                ),
                _ => return Err(bad(format!("{} takes a list of exactly two values: low, high", here()))),
            },
            "contains" if ty.list.is_some() || of_text => Test::Contains(self.part(name, ty, &item, json)?),
            "notContains" if ty.list.is_some() || of_text => Test::NotContains(self.part(name, ty, &item, json)?),
            "beginsWith" if of_text || ty.list.is_some() => match json {
                Json::String(prefix) => Test::BeginsWith(prefix.clone()),
                _ => return Err(bad(format!("{} takes a string", here()))),
            },
            "in" => Test::In(self.values(name, &item, json)?),
            "notIn" => Test::NotIn(self.values(name, &item, json)?),
            "attributeExists" => match json {
                Json::Bool(exists) => Test::Exists(*exists),
                _ => return Err(bad(format!("{} takes true or false", here()))),
            },
            "attributeType" => Test::Type(json.as_str().and_then(attribute_type).ok_or_else(|| {
                bad(format!(
                    "{} takes one of binary, binarySet, bool, list, map, number, numberSet, string, stringSet, _null",
                    here()
                ))
            })?),
            "size" if ty.list.is_some() || of_text => return self.size(name, json),
            _ => return Err(bad(format!("`{name}` ({ty}) has no filter operator `{operator}`"))),
        })
    }

    fn value(&self, name: &str, ty: &FieldType, json: &Json) -> Result<Value, GraphqlError> {
        ty.parse_json(self.schema, json)
            .map_err(|e| bad(format!("the filter on `{name}`: {e}")))
    }

    fn present(&self, name: &str, ty: &FieldType, json: &Json) -> Result<Value, GraphqlError> {
        self.value(name, &ty.with_required(true), json)
    }

    /// For a list field `eq` takes a whole list (enum lists) or an item, which equals no list.
    fn whole_or_item(&self, name: &str, ty: &FieldType, item: &FieldType, json: &Json) -> Result<Value, GraphqlError> {
        let ty = if json.is_array() { ty } else { item };
        self.value(name, ty, json)
    }

    /// What `contains` looks for: any text inside a text, an item inside a list.
    fn part(&self, name: &str, ty: &FieldType, item: &FieldType, json: &Json) -> Result<Value, GraphqlError> {
        match json {
            Json::String(text) if ty.list.is_none() => Ok(Value::Text(text.clone())),
            _ => self.present(name, item, json),
        }
    }

    fn values(&mut self, name: &str, item: &FieldType, json: &Json) -> Result<Vec<Value>, GraphqlError> {
        let items = match json {
            Json::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut values = Vec::with_capacity(items.len());
        for one in items {
            self.count()?;
            values.push(self.present(name, item, one)?);
        }
        Ok(values)
    }

    fn size(&mut self, name: &str, json: &Json) -> Result<Test, GraphqlError> {
        let wrong = || {
            bad(format!(
                "`size` on `{name}` takes exactly one of eq, ne, lt, le, gt, ge (a whole number) or between (two)"
            ))
        };
        let Json::Object(entries) = json else {
            return Err(wrong());
        };
        let mut given = entries.iter().filter(|(_, v)| !v.is_null());
        let (Some((operator, value)), None) = (given.next(), given.next()) else {
            return Err(wrong());
        };
        let int = |json: &Json| json.as_i64().ok_or_else(wrong);
        Ok(Test::Size(match operator.as_str() {
            "eq" => SizeTest::Eq(int(value)?),
            "ne" => SizeTest::Ne(int(value)?),
            "lt" => SizeTest::Lt(int(value)?),
            "le" => SizeTest::Le(int(value)?),
            "gt" => SizeTest::Gt(int(value)?),
            "ge" => SizeTest::Ge(int(value)?),
            "between" => match value.as_array().map(Vec::as_slice) {
                Some([low, high]) => SizeTest::Between(int(low)?, int(high)?),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        }))
    }
}

fn attribute_type(name: &str) -> Option<AttributeType> {
    Some(match name {
        "binary" => AttributeType::Binary,
        "binarySet" => AttributeType::BinarySet,
        "bool" => AttributeType::Bool,
        "list" => AttributeType::List,
        "map" => AttributeType::Map,
        "number" => AttributeType::Number,
        "numberSet" => AttributeType::NumberSet,
        "string" => AttributeType::String,
        "stringSet" => AttributeType::StringSet,
        "_null" => AttributeType::Null,
        _ => return None,
    })
}
