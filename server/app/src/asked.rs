//! A GraphQL request in the query of a URL.

use axum::extract::Query;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tombolo_core::wire::graphql::Request;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// The request in `query`, which stands behind the `?`; what is wrong with it if it is none.
pub(crate) fn by_query(query: &str) -> Result<Request, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("The query string cannot be read: {why}.");
    let path: PathAndQuery = format!("/?{query}").parse().map_err(|why| unreadable(&why))?;
    let parameters = Query::<Parameters>::try_from_uri(&Uri::from(path));
    let Query(parameters) = parameters.map_err(|rejection| unreadable(&rejection.body_text()))?;
    Ok(Request {
        query: parameters
            .query
            .filter(|q| !q.is_empty())
            .ok_or("The parameter `query` is missing: GET /graphql?query={__typename}, or POST a JSON body.")?,
        operation_name: parameters.operation_name.filter(|n| !n.is_empty()),
        variables: object("variables", parameters.variables)?,
        extensions: object("extensions", parameters.extensions)?,
    })
}

/// A parameter that is left out, empty or `null` is none.
fn object<T: DeserializeOwned>(name: &str, text: Option<String>) -> Result<Option<T>, String> {
    let read = |text: String| {
        serde_json::from_str::<Option<T>>(&text)
            .map_err(|e| format!("The parameter `{name}` is not a JSON object: {e}."))
    };
    Ok(text.filter(|text| !text.is_empty()).map(read).transpose()?.flatten())
}
