//! The link's requests and answers as GraphQL: what a driver sends for the machine's [`crate::Outgoing`], and what it makes
//! of the answers. Pure, so that every driver (the client's, a simulator's) speaks alike.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tombolo_core::id::ReplicaId;
use tombolo_core::wire::batch::{ChangeBatch, Landed, SELECTION};
use tombolo_core::wire::envelope::MutationAnswer;
use tombolo_core::wire::graphql::{GraphqlError, Request};

use crate::input::AnswerBody;
use crate::scope::ScopeCursor;

/// The subscription to the change feed of `scopes`, by name of the replica: the server then lets its cursors follow its
/// own mutations, also where these change nothing in the scopes.
#[must_use]
pub fn subscription(replica: &ReplicaId, scopes: &[ScopeCursor]) -> Request {
    let schema = scopes.first().map(|scope| scope.schema.clone());
    let scopes: Vec<Json> = scopes.iter().map(ScopeCursor::to_json).collect();
    Request {
        extensions: Some(named(Some(replica), schema.as_deref())),
        ..request(
            format!("subscription($scopes: [TomboloScopeInput!]!) {{ tomboloChanges(scopes: $scopes) {SELECTION} }}"),
            json!({ "scopes": scopes }),
        )
    }
}

/// The query for one page of the change feed of `scope`, of at most `rows` rows.
#[must_use]
pub fn page(scope: &ScopeCursor, rows: u64) -> Request {
    let page = request(
        format!(
            "query($scope: TomboloScopeInput!, $limit: Int) {{ tomboloChanges(scope: $scope, limit: $limit) {SELECTION} }}"
        ),
        json!({ "scope": scope.to_json(), "limit": rows }),
    );
    Request {
        extensions: Some(named(None, Some(&scope.schema))),
        ..page
    }
}

/// The same by name of the replica, as a subscription: the server learns what this replica holds, and says which of its
/// mutations have landed.
#[must_use]
pub fn page_of(replica: &ReplicaId, scope: &ScopeCursor, rows: u64) -> Request {
    Request {
        extensions: Some(named(Some(replica), Some(&scope.schema))),
        ..page(scope, rows)
    }
}

fn named(replica: Option<&ReplicaId>, schema: Option<&str>) -> Map<String, Json> {
    let mut ours = Map::new();
    if let Some(replica) = replica {
        ours.insert("replica".to_owned(), json!(replica));
    }
    if let Some(schema) = schema {
        ours.insert("schema".to_owned(), json!(schema));
    }
    Map::from_iter([("tombolo".to_owned(), Json::Object(ours))])
}

/// The smallest request that a server answers.
#[must_use]
pub fn probe() -> Request {
    request("{ __typename }".to_owned(), json!({}))
}

fn request(query: String, variables: Json) -> Request {
    let variables = match variables {
        Json::Object(map) => Some(map),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    };
    Request {
        query,
        variables,
        ..Request::default()
    }
}

/// What the change feed gave.
#[derive(Debug)]
pub enum Page {
    /// A page.
    Batch(ChangeBatch),
    /// The server refused it.
    Refused(Vec<GraphqlError>),
    /// Neither: not what a server of ours says.
    Unreadable(String),
}

/// Reads an answer of the change feed.
#[must_use]
pub fn read_page(payload: &[u8]) -> Page {
    #[derive(Deserialize)]
    struct Answer {
        data: Option<Data>,
        errors: Option<Vec<GraphqlError>>,
        #[serde(default)]
        extensions: Option<Map<String, Json>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        tombolo_changes: Option<ChangeBatch>,
    }
    match serde_json::from_slice::<Answer>(payload) {
        Ok(Answer {
            errors: Some(errors), ..
        }) if !errors.is_empty() => Page::Refused(errors),
        Ok(Answer {
            data: Some(Data {
                tombolo_changes: Some(batch),
            }),
            extensions,
            ..
        }) => Page::Batch(ChangeBatch {
            landed: extensions.and_then(landed),
            ..batch
        }),
        Ok(_) => Page::Unreadable("an answer of the change feed without a page".to_owned()),
        Err(error) => Page::Unreadable(format!("an answer of the change feed cannot be read: {error}")),
    }
}

/// What an answer says has landed; what cannot be read says nothing.
fn landed(mut extensions: Map<String, Json>) -> Option<Landed> {
    let landed = extensions.get_mut("tombolo")?.get_mut("landed")?.take();
    serde_json::from_value(landed).ok()
}

/// Reads the answer of a mutation. What has no outcomes decided nothing, whatever else it says.
#[must_use]
pub fn read_answer(payload: &[u8]) -> AnswerBody {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Option<Vec<GraphqlError>>,
        #[serde(default)]
        extensions: Option<Map<String, Json>>,
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(payload) else {
        return AnswerBody::Undecided(vec![GraphqlError {
            message: "the server's answer cannot be read".to_owned(),
            ..GraphqlError::default()
        }]);
    };
    let outcomes = answer
        .extensions
        .and_then(|mut extensions| extensions.remove("tombolo"))
        .and_then(|ours| serde_json::from_value::<MutationAnswer>(ours).ok());
    match outcomes {
        Some(outcomes) if !outcomes.outcomes.is_empty() => AnswerBody::Outcomes(outcomes),
        _ => AnswerBody::Undecided(answer.errors.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_outcomes_decides_nothing() {
        for payload in [
            "",
            "<html>",
            "{}",
            r#"{"data":{"m0":{"id":"1"}}}"#,
            r#"{"errors":[{"message":"no"}],"extensions":{"tombolo":{"outcomes":[]}}}"#,
            r#"{"data":null,"extensions":{"tombolo":{"outcomes":[{"number":1,"outcome":"unheard of"}]}}}"#,
        ] {
            assert!(
                matches!(read_answer(payload.as_bytes()), AnswerBody::Undecided(_)),
                "{payload}"
            );
        }
        let decided = r#"{"data":null,"extensions":{"tombolo":{"outcomes":[{"number":1,"outcome":"applied"}]}}}"#;
        assert!(matches!(read_answer(decided.as_bytes()), AnswerBody::Outcomes(_)));
    }

    #[test]
    fn what_is_no_page_is_told_apart_from_a_refusal() {
        let refused = br#"{"data":null,"errors":[{"message":"no"}]}"#;
        assert!(matches!(read_page(refused), Page::Refused(errors) if errors.len() == 1));
        for payload in ["", "[]", r#"{"data":{}}"#, r#"{"data":{"tomboloChanges":{"model":1}}}"#] {
            assert!(
                matches!(read_page(payload.as_bytes()), Page::Unreadable(_)),
                "{payload}"
            );
        }
        let page = br#"{"data":{"tomboloChanges":{"model":"A","cursor":"e.1","upToDate":true,"reset":false,
            "fields":["id"],"rows":[["x"]],"left":[]}}}"#;
        assert!(
            matches!(read_page(page), Page::Batch(batch) if batch.rows.get() == r#"[["x"]]"# && batch.landed.is_none())
        );
    }

    #[test]
    fn a_page_says_what_has_landed_and_is_a_page_without_that() {
        let read = |extensions: &str| {
            let page = format!(
                r#"{{"data":{{"tomboloChanges":{{"model":"A","cursor":"e.9","upToDate":true,"reset":false,
                "fields":[],"rows":[],"left":[]}}}}{extensions}}}"#
            );
            match read_page(page.as_bytes()) {
                Page::Batch(batch) => batch.landed,
                other => panic!("{other:?}"),
            }
        };
        let landed = read(
            r#","extensions":{"tombolo":{"landed":{"replica":"r","mutations":[{"number":7,"position":9}],"more":1}}}"#,
        );
        let landed = landed.unwrap();
        assert_eq!((landed.replica.0.as_str(), landed.mutations.len()), ("r", 1));
        assert_eq!((landed.mutations[0].number.0, landed.mutations[0].position.0), (7, 9));
        for nothing in [
            "",
            r#","extensions":null"#,
            r#","extensions":{"tombolo":{}}"#,
            r#","extensions":{"tombolo":{"landed":[1]}}"#,
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
