//! Opening a replica.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::ReplicaId;
use tombolo_core::query::{Cache, Filter, QueryLimits};
use tombolo_core::schema::Schema;
use tombolo_machine::{Now, Scope};
use tombolo_store::{Durability, Options};
use tombolo_transport::{Credential, Endpoint, Fallback, Network, Transport};

use crate::client::Client;
use crate::credential::{Ask, keep_asking};
use crate::driver::{Driver, SharedCredential};
use crate::hub::{Hub, Standing};
use crate::import::ImportOrder;
use crate::inner::Inner;
use crate::mishap::Mishaps;
use crate::opening::Start;
use crate::readers::Questions;
use crate::records::Documents;
use crate::writer::{Clock, Ends, Place};
use crate::{Error, limits, readers};

/// What a client is opened with. Made by [`Client::builder`].
///
/// ```
/// # use serde_json::json;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// use tombolo::{Client, Durability, Scope};
///
/// let wet = Scope { model: "Note".into(), filter: Some(json!({ "text": { "beginsWith": "wet" } })) };
/// let client = Client::builder()
///     .schema("type Note @model { id: ID! text: String! }")
///     .path(folder.path().join("replica.db"))
///     .scopes([wet])
///     .durability(Durability::Normal)
///     .account("ada@example.com")
///     .open()
///     .await?;
/// assert_eq!(client.scopes()[0].model, "Note");
/// client.close().await;
/// # Ok::<(), tombolo::Error>(())
/// # }).unwrap();
/// ```
#[must_use]
pub struct Builder {
    schema: Option<SchemaSource>,
    path: Option<PathBuf>,
    url: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    fallbacks: Vec<Arc<dyn Transport>>,
    credential: Credential,
    durability: Durability,
    scopes: Option<Vec<Scope>>,
    online: bool,
    author: Option<String>,
    account: Option<String>,
    make_folder: bool,
    pub(crate) ask: Option<Ask>,
    import: Option<PathBuf>,
    remove_import: bool,
    mishaps: Mishaps,
    seed: Option<u64>,
    clock: Option<Clock>,
}

enum SchemaSource {
    Text { sdl: String, file: String },
    Path(PathBuf),
    Parsed(Arc<Schema>),
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            schema: None,
            path: None,
            url: None,
            transport: None,
            fallbacks: Vec::new(),
            credential: Credential::None,
            durability: Durability::Full,
            scopes: None,
            online: true,
            author: None,
            account: None,
            make_folder: false,
            ask: None,
            import: None,
            remove_import: false,
            mishaps: Mishaps::default(),
            seed: None,
            clock: None,
        }
    }

    /// The schema as SDL text. This or [`Builder::schema_path`] is required.
    pub fn schema(mut self, sdl: impl Into<String>) -> Self {
        self.schema = Some(SchemaSource::Text {
            sdl: sdl.into(),
            file: "schema.graphql".to_owned(),
        });
        self
    }

    /// The schema as a file of SDL.
    pub fn schema_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.schema = Some(SchemaSource::Path(path.into()));
        self
    }

    /// A schema that is parsed already.
    pub fn schema_parsed(mut self, schema: Arc<Schema>) -> Self {
        self.schema = Some(SchemaSource::Parsed(schema));
        self
    }

    /// The database file, made if it is not there; required. One for each signed-in account, see [`Builder::account`] and
    /// [`crate::Accounts`]. Two small files, `PATH.lock` and `PATH.open`, stand beside it.
    ///
    /// Several processes may open one file (an app and its extension): all of them read and write, one has the link and
    /// sends what every one of them queued. See [`LinkStatus::Elsewhere`](crate::LinkStatus).
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The server's GraphQL address, `http(s)://host/graphql`. The socket's address is derived from it. Without one the
    /// client stays offline.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Another way to the server than [`Builder::url`]: a loopback in tests, TLS settings of your own.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Another way to the same server, tried where [`Builder::url`] or [`Builder::transport`] is blocked: MQTT where no
    /// WebSocket gets through, for example. Called again, one more, tried after those before it.
    ///
    /// What counts as blocked, and when the first choice is tried again: [`crate::transport::fallback`]. See also
    /// [`Client::set_transport`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use tombolo::transport::{Endpoint, Network};
    ///
    /// let client = tombolo::Client::builder()
    ///     .schema("type Note @model { id: ID! text: String! }")
    ///     .path(folder.path().join("replica.db"))
    ///     .url("https://api.example.com/graphql")
    ///     .fallback(Network::new(Endpoint::parse("https://api.example.com:8443/graphql")?))
    ///     .offline(true)
    ///     .open()
    ///     .await?;
    /// client.close().await;
    /// # Ok::<(), tombolo::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn fallback(mut self, transport: impl Transport) -> Self {
        self.fallbacks.push(Arc::new(transport));
        self
    }

    /// The API key to present. See also [`Client::set_api_key`].
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.credential = Credential::ApiKey(key.into());
        self
    }

    /// The signed-in user's token to present, as it came from its issuer. See also [`Client::set_token`].
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credential = Credential::Token(token.into());
        self
    }

    /// Whether a mutation survives a power cut when its call returns. Default: it does ([`Durability::Full`]). It survives
    /// a kill of the process in any case.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Which records this replica holds at first. Default: every model, whole.
    ///
    /// This is for a new file; afterwards the file knows its scopes, as changed by [`Client::set_scope`] and
    /// [`Client::remove_scope`]. A model that the schema gains later is treated as in a new file: it gets the scope
    /// listed here or, without a list, a whole one.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = Some(scopes.into_iter().collect());
        self
    }

    /// Opens without a link; [`Client::set_online`] and [`Client::sync_once`] make one. Default: false.
    pub fn offline(mut self, offline: bool) -> Self {
        self.online = !offline;
        self
    }

    /// Whose file this is. A file that has no account yet becomes this one's; one of another account is refused
    /// ([`OpenError::WrongAccount`](crate::OpenError)), also when no account is named. [`crate::Accounts`] gives each account
    /// a file of its own.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// The folder of the file is made if it is not there.
    pub(crate) fn make_folder(mut self) -> Self {
        self.make_folder = true;
        self
    }

    /// Who makes the mutations of this client: kept with each of them. A mutation of one author is never sent by a client of
    /// another one; it waits for its own. Default: the account, if one is named.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// A file of Amplify DataStore to take over: its records, what they were synced at, and what it has not sent yet. Told
    /// of both its adapters' files (iOS and Android, Flutter's among them) by their tables. No file there is no error, and is
    /// logged. On iOS it is `NAME.db` in the documents' folder, NAME being the app's `CFBundleName`; on Android
    /// `getDatabasePath("AmplifyDatastore.db")`.
    ///
    /// It is done once, at the first opening that finds the file, in one transaction; give the path at each opening. The old
    /// file is only read and stays where it is, with a small mark beside it (`PATH.tombolo`), by which no other replica takes
    /// it over again. DataStore must not be running any more. What was taken, what was left and why, and what is still to be
    /// settled says [`Client::datastore_import`]; the mutations are in [`Client::outbox`] in their order. If the file cannot be
    /// taken over the client opens all the same, and tries again at its next opening.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let (folder, documents) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    /// # let documents = documents.path();
    /// let client = tombolo::Client::builder()
    ///     .schema("type Note @model { id: ID! text: String! }")
    ///     .path(folder.path().join("replica.db"))
    ///     .import_datastore(documents.join("Notes.db"))
    ///     .open()
    ///     .await?;
    /// if let Some(report) = client.datastore_import() {
    ///     println!("{} records, {} mutations", report.records, report.mutations);
    ///     for problem in &report.problems {
    ///         println!("{} {:?} {:?}: {}", problem.table, problem.row, problem.column, problem.problem);
    ///     }
    /// }
    /// client.close().await;
    /// # Ok::<(), tombolo::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn import_datastore(mut self, path: impl Into<PathBuf>) -> Self {
        self.import = Some(path.into());
        self
    }

    /// Whether the file of [`Builder::import_datastore`] is removed once each mutation that was taken from it has reached its
    /// final state and the app has taken note of those that were refused. Default: false, it stays until the app removes it.
    ///
    /// It stays in any case while it alone has something: a mutation that could not be taken, or a record of which it did not
    /// know whether the server has it ([`ImportReport::may_be_removed`](crate::ImportReport::may_be_removed)).
    pub fn remove_datastore_when_settled(mut self, remove: bool) -> Self {
        self.remove_import = remove;
        self
    }

    /// Is told, in words for developers, of a panic on one of the client's own threads: a mistake of ours. It is called there, and
    /// should only note it. What was committed is in the file. A query that panics ends with [`Error::Closed`], and the client goes on;
    /// a link that does is opened again, up to [`limits::LINK_PANICS_MAX`] times; where the thread that writes does, the client is closed: calls say so, live queries end, and
    /// the file can be opened anew. Default: a line in the log alone.
    ///
    /// ```
    /// let builder = tombolo::Client::builder().on_panic(|words| eprintln!("tell the makers of Tombolo: {words}"));
    /// # drop(builder);
    /// ```
    pub fn on_panic(mut self, told: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.mishaps = Mishaps(Some(Arc::new(told)));
        self
    }

    /// Seed of the back-off's jitter; random by default.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The clock that the sync machine is told.
    #[doc(hidden)]
    pub fn clock(mut self, clock: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Opens the replica. Returns as soon as the file is open; the link comes up by itself.
    ///
    /// Must be called within a tokio runtime with time and I/O enabled; the link's task runs there.
    ///
    /// # Errors
    /// [`Error::Incomplete`], [`Error::Schema`] and [`Error::Endpoint`] are mistakes in the call; [`Error::Open`] says
    /// why the file cannot be used (of another account, of another program, of a newer release, open with another schema).
    pub async fn open(self) -> Result<Client, Error> {
        let schema = match self.schema {
            Some(SchemaSource::Text { sdl, file }) => Arc::new(Schema::parse(&sdl, &file)?),
            Some(SchemaSource::Path(path)) => {
                let file = path.display().to_string();
                let sdl = std::fs::read_to_string(&path).map_err(|source| Error::SchemaFile {
                    path: file.clone(),
                    source,
                })?;
                Arc::new(Schema::parse(&sdl, &file)?)
            }
            Some(SchemaSource::Parsed(schema)) => schema,
            None => {
                return Err(Error::Incomplete(
                    "a client needs a schema: call `schema` or `schema_path`",
                ));
            }
        };
        let path = self
            .path
            .ok_or(Error::Incomplete("a client needs a file for its data: call `path`"))?;
        let first = match (self.transport, &self.url) {
            (Some(transport), _) => Some(transport),
            (None, Some(url)) => Some(Arc::new(Network::new(Endpoint::parse(url)?)) as Arc<dyn Transport>),
            (None, None) => None,
        };
        let transport = in_order(first.into_iter().chain(self.fallbacks));
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::Incomplete("a client needs a tokio runtime: call `open` within one"))?;
        if self
            .account
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.len() > limits::ACCOUNT_BYTES_MAX)
        {
            return Err(Error::Incomplete(
                "the name of an account has 1 to 512 bytes (ACCOUNT_BYTES_MAX): call `account` with one",
            ));
        }
        let author = self.author.or_else(|| self.account.clone());
        let clock = self.clock.unwrap_or_else(system_clock);
        let seed = self.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);

        let hub = Arc::new(Hub::new());
        let (calls, calls_end) = mpsc::channel(limits::WAITING_CALLS_MAX);
        let (reports, reports_end) = mpsc::channel(limits::WAITING_INPUTS_MAX);
        let (orders, orders_end) = mpsc::unbounded_channel();
        let questions = Questions::default();
        let (opened, opening) = oneshot::channel();

        // The writer's thread opens the file too: neither that nor a migration holds up the caller's runtime.
        let start = Start {
            place: Place {
                path,
                options: Options {
                    durability: self.durability,
                    account: self.account.clone(),
                    ..Options::new(ReplicaId(uuid::Uuid::new_v4().to_string()))
                },
            },
            make_folder: self.make_folder,
            schema: Arc::clone(&schema),
            scopes: self.scopes,
            seed,
            author: author.clone(),
            import: self.import.map(|path| ImportOrder {
                path,
                remove: self.remove_import,
            }),
            online: self.online && transport.is_some(),
        };
        let mishaps = self.mishaps;
        let ends = Ends {
            clock: Arc::clone(&clock),
            hub: Arc::clone(&hub),
            orders,
            questions: Arc::clone(&questions),
        };
        let (mishap, left, asked) = (mishaps.clone(), Arc::clone(&hub), Arc::clone(&questions));
        let write = move || match start.open(ends) {
            Ok((writer, readers, salvage)) => {
                if opened.send(Ok((readers, salvage))).is_ok() {
                    writer.run(calls_end, reports_end);
                }
            }
            // The caller may have given up waiting.
            Err(error) => drop(opened.send(Err(error))),
        };
        std::thread::Builder::new()
            .name("tombolo-writer".to_owned())
            .spawn(move || {
                if mishap.contain("the thread that writes", write).is_none() {
                    left.set_standing(Standing::Closed);
                    // Its readers end when nobody can ask them any more.
                    drop(asked.lock().unwrap_or_else(PoisonError::into_inner).take());
                    left.close();
                }
            })
            .map_err(Error::Thread)?;
        let (readers, salvage) = opening.await.map_err(|_| Error::Closed)??;
        readers::start(readers, &questions, &mishaps).map_err(Error::Thread)?;

        let credential: SharedCredential = Arc::new(Mutex::new(self.credential));
        let can_link = transport.is_some();
        let driver = Driver::new(
            transport,
            Arc::clone(&credential),
            clock,
            orders_end,
            reports,
            mishaps.clone(),
        );
        runtime.spawn(driver.run());
        let client = Client::new(Inner {
            access: Access::of(&schema, &Identity::Local),
            schema,
            query_limits: QueryLimits::replica(),
            record_documents: Documents::default(),
            documents: Cache::default(),
            calls,
            questions,
            hub,
            credential,
            online: AtomicBool::new(self.online),
            can_link: AtomicBool::new(can_link),
            salvage,
            author,
            account: self.account,
            asks: self.ask.is_some(),
            turns: tokio::sync::Mutex::default(),
            mishaps,
        });
        if let Some(ask) = self.ask {
            runtime.spawn(keep_asking(Arc::downgrade(&client.inner), client.status(), ask));
        }
        Ok(client)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("path", &self.path)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// One transport that tries these in their order.
fn in_order(ways: impl IntoIterator<Item = Arc<dyn Transport>>) -> Option<Arc<dyn Transport>> {
    let mut ways = ways.into_iter();
    let first = ways.next()?;
    let Some(second) = ways.next() else {
        return Some(first);
    };
    let two = Fallback::of(first).or_shared(second);
    Some(Arc::new(ways.fold(two, Fallback::or_shared)))
}

fn system_clock() -> Clock {
    let origin = Instant::now();
    Arc::new(move || Now {
        monotonic: origin.elapsed(),
        wall_ms: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
    })
}

/// Refuses a scope that the schema does not bear.
pub(crate) fn check_scope(schema: &Schema, scope: &Scope) -> Result<(), Error> {
    let model = schema
        .model_named(&scope.model)
        .ok_or_else(|| Error::UnknownModel(scope.model.clone()))?;
    if let Some(filter) = &scope.filter {
        let access = Access::of(schema, &Identity::Local);
        Filter::parse(schema, model, filter, &access).map_err(|e| Error::Request(vec![e]))?;
    }
    Ok(())
}
