use graphql_client::GraphQLQuery;
# #[allow(clippy::upper_case_acronyms)]
# type ID = String;

#[derive(GraphQLQuery)]
#[graphql(schema_path = "doc/api.graphql", query_path = "doc/notes.graphql", response_derives = "Debug")]
struct GetNote;
#[derive(GraphQLQuery)]
#[graphql(schema_path = "doc/api.graphql", query_path = "doc/notes.graphql", response_derives = "Debug")]
struct AddNote;

