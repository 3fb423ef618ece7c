//! Two real processes on one replica's file, as an app and its extension: one has the link, both write, either may be killed
//! or suspended at any moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};
use tombolo_e2e::{PATIENCE, SCHEMA, Site};

/// A process with a client (`src/bin/app.rs`), killed when dropped.
struct App {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl App {
    fn start(file: &Path, site: &Site, account: &str) -> Self {
        let app = Self::try_start(file, site, account);
        app.unwrap_or_else(|said| panic!("it did not open: {said}"))
    }

    fn try_start(file: &Path, site: &Site, account: &str) -> Result<Self, Json> {
        let schema = site.folder().join("schema.graphql");
        std::fs::write(&schema, SCHEMA).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_app"))
            .args([file, &schema])
            .args([&site.url(), account])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut app = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        let said = app.hear();
        if said["open"].is_null() { Err(said) } else { Ok(app) }
    }

    fn hear(&mut self) -> Json {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn ask(&mut self, line: &str) -> Json {
        self.tell(line);
        self.hear()
    }

    /// Asks until the answer is as wanted.
    fn until(&mut self, line: &str, wanted: &Json) {
        let begun = std::time::Instant::now();
        loop {
            let said = self.ask(line);
            if said == *wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{line}: {said}, not {wanted}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn ids(&mut self) -> usize {
        self.ask("notes")["listNotes"]["items"].as_array().unwrap().len()
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a process has open of a folder's files, seen from outside.
#[cfg(target_os = "linux")]
fn open_files(app: &App, folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(format!("/proc/{}/fd", app.child.id()))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|file| file.starts_with(folder))
        .collect()
}

fn folder_of(site: &Site) -> PathBuf {
    let folder = site.folder().join("phone");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn elsewhere() -> Json {
    json!({ "link": "Elsewhere" })
}

fn live() -> Json {
    json!({ "link": "Live" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_extension_queues_the_app_sends_and_both_see_what_comes() {
    let site = Site::new().await;
    let file = folder_of(&site).join("replica.db");
    let mut app = App::start(&file, &site, "");
    app.until("link", &live());
    let mut extension = App::start(&file, &site, "");
    assert_eq!(extension.ask("link"), elsewhere());
    for i in 0..20 {
        let (one, two) = (app.ask(&format!("create a{i}")), extension.ask(&format!("create e{i}")));
        assert_ne!(one, two, "numbers");
    }
    assert_eq!(extension.ask("settle")["settled"], true);
    assert_eq!(app.ask("settle")["settled"], true);
    site.write("createNote", json!({ "id": "theirs", "text": "t" })).await;
    app.until("link", &live());
    while app.ids() < 41 || extension.ids() < 41 {}
    let notes = site.records("Note", "_version").await;
    assert_eq!(notes.len(), 41);
    assert!(notes.values().all(|note| note["_version"] == 1), "twice: {notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_one_with_the_link_is_killed_the_other_sends_what_it_had_in_flight() {
    let site = Site::new().await;
    let file = folder_of(&site).join("replica.db");
    let mut made = 0;
    let mut survivor = App::start(&file, &site, "");
    for round in 0..12 {
        // The survivor has the link or gets it; the one that comes is killed, or the survivor is, in turns.
        let mut other = App::start(&file, &site, "");
        for i in 0..(10 + round) {
            let one = if i % 2 == 0 { &mut survivor } else { &mut other };
            assert!(one.ask(&format!("create r{round:02}i{i:02}"))["number"].is_u64());
            made += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(round * 7 % 40));
        survivor.kill();
        survivor = other;
    }
    assert_eq!(survivor.ask("settle")["settled"], true);
    survivor.until("link", &live());
    // What the other wrote last it sees when it next looks at the file, and may have called itself settled before.
    let begun = std::time::Instant::now();
    let mut notes = site.records("Note", "_version").await;
    while notes.len() < made && begun.elapsed() < PATIENCE {
        notes = site.records("Note", "_version").await;
    }
    assert_eq!(notes.len(), made, "lost");
    assert!(notes.values().all(|note| note["_version"] == 1), "twice: {notes:?}");
    assert_eq!(survivor.ids(), made);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_app_holds_nothing_may_be_killed_and_the_extension_goes_on() {
    let site = Site::new().await;
    let folder = folder_of(&site);
    let file = folder.join("replica.db");
    let mut app = App::start(&file, &site, "");
    app.until("link", &live());
    app.ask("create before");
    assert!(!open_files(&app, &folder).is_empty() && !tcp_of(&app).is_empty());
    let mut extension = App::start(&file, &site, "");
    assert_eq!(app.ask("suspend")["suspended"], true);
    assert_eq!(open_files(&app, &folder), Vec::<PathBuf>::new());
    // A kept HTTP connection is closed by a task of the HTTP library's own.
    let begun = std::time::Instant::now();
    while !tcp_of(&app).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", tcp_of(&app));
        tokio::task::yield_now().await;
    }
    assert_eq!(app.ask("create refused")["error"], "suspended");
    // The extension queues and sends while the app sleeps.
    extension.ask("create meanwhile");
    extension.until("link", &live());
    assert_eq!(extension.ask("settle")["settled"], true);
    // The system ends the app, which loses nothing.
    app.kill();
    let mut app = App::start(&file, &site, "");
    assert_eq!(app.ids(), 2);
    assert_eq!(site.records("Note", "").await.len(), 2);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_wakes_sees_what_the_extension_did() {
    let site = Site::new().await;
    let file = folder_of(&site).join("replica.db");
    let mut app = App::start(&file, &site, "");
    app.until("link", &live());
    for round in 0..5 {
        app.ask(&format!("create a{round}"));
        assert_eq!(app.ask("suspend")["suspended"], true);
        let mut extension = App::start(&file, &site, "");
        extension.ask(&format!("create e{round}"));
        assert_eq!(app.ask("resume")["suspended"], false);
        extension.kill();
        assert_eq!(app.ids(), 2 * (round + 1));
    }
    assert_eq!(app.ask("settle")["settled"], true);
    let notes = site.records("Note", "_version").await;
    assert_eq!(notes.len(), 10);
    assert!(notes.values().all(|note| note["_version"] == 1), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_in_one_process_ends_the_other_and_keeps_the_file_for_its_account() {
    let site = Site::new().await;
    let file = folder_of(&site).join("replica.db");
    let mut app = App::start(&file, &site, "ada");
    app.ask("offline");
    let mut extension = App::start(&file, &site, "ada");
    extension.ask("offline");
    extension.ask("create unsent");
    assert_eq!(
        app.ask("sign-out keep"),
        json!({ "sent": 0, "kept": 1, "discarded": 0 })
    );
    assert_eq!(extension.ask("create late")["error"], "signed_out");
    let refused = App::try_start(&file, &site, "bob").map(drop).unwrap_err();
    assert_eq!(refused["error"], "wrong_account");
    assert_eq!(site.records("Note", "").await.len(), 0);
    let mut back = App::start(&file, &site, "ada");
    assert_eq!(back.ask("settle")["settled"], true);
    assert_eq!(
        site.records("Note", "").await.into_keys().collect::<Vec<_>>(),
        ["unsent"]
    );
    // And for good: with the other process still there, which then finds nothing.
    let mut extension = App::start(&file, &site, "ada");
    assert_eq!(back.ask("sign-out discard")["discarded"], 0);
    assert_eq!(extension.ask("notes")["error"], "signed_out");
    assert!(!file.exists());
}

/// Established TCP connections of a process, as the kernel lists them.
#[cfg(target_os = "linux")]
fn tcp_of(app: &App) -> Vec<String> {
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", app.child.id()))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|file| Some(file.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", app.child.id())).unwrap();
    table
        .lines()
        .filter(|line| {
            line.split_whitespace()
                .nth(9)
                .is_some_and(|inode| own.iter().any(|o| o == inode))
        })
        .map(str::to_owned)
        .collect()
}
