# tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
# let folder = tempfile::tempdir().unwrap();
# let client = tombolo::Client::builder()
#     .schema("type Note @model { id: ID! text: String! }")
#     .path(folder.path().join("replica.db"))
#     .transport(tombolo::transport::loopback::serve(|_, _| Ok(Box::pin(futures_util::stream::pending()))))
#     .offline(true)
#     .open()
#     .await?;
