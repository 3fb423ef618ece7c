# client.close().await;
# Ok::<(), tombolo::Error>(())
# }).unwrap();
