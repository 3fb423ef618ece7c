//! Accounts: one file each, sign-out in three ways, authors, a credential that expires.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{CREATE, PATIENCE, Server, read, settle, until};
use serde_json::json;
use tombolo::transport::Credential;
use tombolo::{Accounts, Builder, Client, Event, LinkStatus, SignOut, SignedOut};

const IDS: &str = "{ listNotes { items { id } } }";

fn on(server: &Server, accounts: &Accounts, account: &str) -> Builder {
    server
        .client(std::path::Path::new("unused"))
        .path(accounts.path(account))
        .account(account)
}

fn setup() -> (tempfile::TempDir, Accounts, Server) {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::in_folder(folder.path());
    (folder, accounts, Server::new())
}

async fn create(client: &Client, id: &str) {
    client.mutate(CREATE, json!({ "id": id, "text": "t" })).await.unwrap();
}

fn files(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn accounts_share_nothing_and_a_file_opens_for_its_own_alone() {
    let (folder, accounts, server) = setup();
    let ada = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    create(&ada, "hers").await;
    let bob = on(&server, &accounts, "bob").offline(true).open().await.unwrap();
    assert_eq!(read(&bob, IDS).await["listNotes"]["items"], json!([]));
    bob.close().await;
    ada.close().await;
    let hers = accounts.path("ada");
    for wrong in [
        server.client(&hers).path(&hers).account("bob"),
        server.client(&hers).path(&hers),
    ] {
        let refused = wrong.offline(true).open().await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.can_retry()),
            ("wrong_account", false),
            "{refused}"
        );
        // The folder's name is random and may spell anything.
        let words = refused.to_string().replace(&*folder.path().to_string_lossy(), "");
        assert!(!words.contains("bob"), "{words}");
    }
    let ada = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    assert_eq!(ada.outbox().await.unwrap()[0].author.as_deref(), Some("ada"));
    ada.close().await;
    let nobody = on(&server, &accounts, "").open().await.unwrap_err();
    assert_eq!(nobody.code(), "incomplete");
}

#[tokio::test]
async fn signing_out_sends_first_and_then_leaves_nothing_behind() {
    let (folder, accounts, server) = setup();
    let client = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    create(&client, "a").await;
    create(&client, "b").await;
    let how = SignOut::SendFirst { budget: PATIENCE };
    let out = client.sign_out(how).await.unwrap();
    assert_eq!(
        out,
        SignedOut {
            sent: 2,
            kept: 0,
            discarded: 0
        }
    );
    assert_eq!(server.applied(), 2);
    assert_eq!(files(&folder), [""; 0]);
    assert_eq!(client.outbox().await.unwrap_err().code(), "signed_out");
    assert_eq!(client.sign_out(how).await.unwrap_err().code(), "signed_out");
}

#[tokio::test]
async fn what_cannot_be_sent_is_kept_sealed_until_its_account_comes_back() {
    let (_folder, accounts, server) = setup();
    server.set(|b| b.reachable = false);
    let client = on(&server, &accounts, "ada").open().await.unwrap();
    create(&client, "a").await;
    let mut watch = client.watch(IDS, json!(null)).unwrap();
    assert!(watch.next().await.is_some());
    let how = SignOut::SendFirst {
        budget: Duration::from_millis(50),
    };
    let out = client.sign_out(how).await.unwrap();
    assert_eq!((out.sent, out.kept, out.discarded), (0, 1, 0));
    assert!(watch.next().await.is_none(), "live queries end");
    let listed = accounts.list().unwrap();
    assert_eq!(
        (
            listed.len(),
            listed[0].account.as_str(),
            listed[0].sealed,
            listed[0].unsent
        ),
        (1, "ada", true, 1)
    );
    server.set(|b| b.reachable = true);
    let refused = on(&server, &accounts, "ada").account("bob").open().await.unwrap_err();
    assert_eq!(refused.code(), "wrong_account");
    let client = on(&server, &accounts, "ada").open().await.unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    assert!(!accounts.list().unwrap()[0].sealed);
    client.close().await;
}

#[tokio::test]
async fn discarding_says_how_many_were_thrown_away() {
    let (folder, accounts, server) = setup();
    let client = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    for id in ["a", "b", "c"] {
        create(&client, id).await;
    }
    let out = client.sign_out(SignOut::Discard).await.unwrap();
    assert_eq!((out.sent, out.kept, out.discarded), (0, 0, 3));
    assert_eq!(files(&folder), [""; 0]);
    let client = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    assert!(client.outbox().await.unwrap().is_empty());
    client.close().await;
}

#[tokio::test]
async fn only_a_file_with_an_account_can_be_kept_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    create(&client, "a").await;
    let refused = client.sign_out(SignOut::KeepSealed).await.unwrap_err();
    assert_eq!(refused.code(), "incomplete");
    assert_eq!(client.outbox().await.unwrap().len(), 1, "still signed in");
    assert_eq!(client.sign_out(SignOut::Discard).await.unwrap().discarded, 1);
}

#[tokio::test]
async fn signing_out_ends_every_client_on_the_file() {
    let (_folder, accounts, server) = setup();
    let app = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    let extension = on(&server, &accounts, "ada").offline(true).open().await.unwrap();
    let mut events = extension.events();
    create(&extension, "from the extension").await;
    assert_eq!(app.sign_out(SignOut::KeepSealed).await.unwrap().kept, 1);
    // Whichever comes first: its next call, or its next look at the file.
    let ended = tokio::time::timeout(PATIENCE, async {
        while events.recv().await.unwrap() != Event::SignedOut {}
    });
    ended.await.unwrap();
    let refused = extension.mutate(CREATE, json!({ "text": "late" })).await.unwrap_err();
    assert_eq!(refused.code(), "signed_out");
    assert_eq!(
        extension.query(IDS, json!(null)).await.unwrap_err().code(),
        "signed_out"
    );
    assert_eq!(accounts.list().unwrap()[0].unsent, 1);
}

#[tokio::test]
async fn a_mutation_of_another_author_waits_for_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let of = |author: &str| server.client(folder.path()).author(author);
    let ada = of("ada").offline(true).open().await.unwrap();
    create(&ada, "hers").await;
    ada.close().await;
    let bob = of("bob").open().await.unwrap();
    create(&bob, "his").await;
    until(&bob, |status| status.up_to_date && status.pending == 1).await;
    assert_eq!(server.applied(), 1);
    let left = bob.outbox().await.unwrap();
    assert_eq!((left.len(), left[0].author.as_deref()), (1, Some("ada")));
    bob.close().await;
    let ada = of("ada").open().await.unwrap();
    settle(&ada).await;
    assert_eq!(server.applied(), 2);
    ada.close().await;
}

#[tokio::test]
async fn a_credential_that_expires_pauses_the_link_asks_once_and_local_life_goes_on() {
    let (_folder, accounts, server) = setup();
    let client = on(&server, &accounts, "ada").open().await.unwrap();
    settle(&client).await;
    let mut events = client.events();
    // The key is withdrawn; the next link finds out.
    server.set(|b| b.key = "fresh".into());
    client.set_online(false).await.unwrap();
    client.set_online(true).await.unwrap();
    until(&client, |status| status.link == LinkStatus::Paused).await;
    let mut watch = client.watch(IDS, json!(null)).unwrap();
    assert!(watch.next().await.unwrap().unwrap().data().contains("[]"));
    for id in ["a", "b"] {
        create(&client, id).await;
        assert!(watch.next().await.unwrap().unwrap().data().contains(id));
        // Neither work nor a network is a reason to ask again.
        client.set_online(true).await.unwrap();
    }
    assert!(client.sync_once(PATIENCE).await.unwrap_err().needs_sign_in());
    assert_eq!(client.status().borrow().link, LinkStatus::Paused);
    let mut asked = || {
        let told = std::iter::from_fn(|| events.try_recv().ok());
        told.filter(|event| *event == Event::NeedToken).count()
    };
    assert_eq!(asked(), 1);
    // Another one that is refused is asked about once more; then a good one goes on.
    client.set_api_key("stale").await.unwrap();
    until(&client, |status| {
        status.link == LinkStatus::Opening || status.link == LinkStatus::Paused
    })
    .await;
    until(&client, |status| status.link == LinkStatus::Paused).await;
    client.set_api_key("fresh").await.unwrap();
    settle(&client).await;
    assert_eq!(asked(), 1);
    assert_eq!(server.applied(), 2);
    client.close().await;
}

/// What the app gives when it is asked, in turn; nothing more after the last.
fn answers(
    given: &[&'static str],
) -> (
    Arc<AtomicUsize>,
    impl Fn() -> std::future::Ready<Option<Credential>> + Send + Sync + 'static,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, given) = (Arc::clone(&asked), given.to_vec());
    let ask = move || {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(given.get(turn).map(|key| Credential::ApiKey((*key).to_owned())))
    };
    (asked, ask)
}

#[tokio::test]
async fn the_app_is_asked_for_a_credential_once_for_each_refusal_and_sync_goes_on_with_it() {
    let (_folder, accounts, server) = setup();
    let (asked, ask) = answers(&["second", "third"]);
    let client = on(&server, &accounts, "ada").credentials(ask).open().await.unwrap();
    settle(&client).await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "a credential that is taken is none to ask about"
    );
    for (round, key) in ["second", "third"].into_iter().enumerate() {
        server.set(|b| b.key = key.into());
        client.set_online(false).await.unwrap();
        create(&client, key).await;
        client.sync_once(PATIENCE).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), round + 1);
        client.set_online(true).await.unwrap();
        settle(&client).await;
    }
    assert_eq!(server.applied(), 2);
    client.close().await;
}

#[tokio::test]
async fn an_app_that_has_no_credential_or_panics_leaves_the_link_to_rest_until_it_gives_one() {
    let (_folder, accounts, server) = setup();
    server.set(|b| b.key = "fresh".into());
    let panics = || async { panic!("the sign-in is broken") };
    let client = on(&server, &accounts, "ada").credentials(panics).open().await.unwrap();
    until(&client, |status| status.link == LinkStatus::Paused).await;
    create(&client, "a").await;
    client.set_api_key("fresh").await.unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    client.close().await;
}
