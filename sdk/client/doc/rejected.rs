# use serde_json::json;
# tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
# let folder = tempfile::tempdir().unwrap();
# let schema = "type Note @model(conflict: OPTIMISTIC_CONCURRENCY) { id: ID! text: String! }";
# let server = tombolo::testing::Server::start(schema).unwrap();
# server.ask("mutation { createNote(input: { id: \"n1\", text: \"dry\" }) { id } }", json!(null)).unwrap();
# let client = tombolo::Client::builder()
#     .schema(schema)
#     .path(folder.path().join("replica.db"))
#     .transport(server.phone("anna"))
#     .open()
#     .await?;
# let mut shown = client.watch("{ getNote(id: \"n1\") { text } }", json!(null))?;
# while !shown.next().await.unwrap()?.data().contains("dry") {}
# client.set_online(false).await?;
# let update = "mutation($text: String!) { updateNote(input: { id: \"n1\", text: $text }) { id } }";
# let number = client.mutate(update, json!({ "text": "mine" })).await?.numbers[0];
# server.ask(update, json!({ "text": "theirs" })).unwrap();
# client.set_online(true).await?;
# while !shown.next().await.unwrap()?.data().contains("theirs") {}
# drop(shown);
