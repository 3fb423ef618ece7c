//! Connections of MQTT, as the server carries them: whole sessions over streams in memory, on a clock that moves when there
//! is nothing left to do.
//!
//! Bytes that begin as a CONNECT does (`0x10`) are what one client sends, byte for byte, in pieces whose length the last byte
//! tells. Any others are a [`plan`] for a few connections.
//!
//! - `plan`: what clients do;
//! - `client`: one connection and what it has been told, checked as it comes;
//! - `wire`: what a server may write.

mod client;
mod plan;
mod wire;

use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;

use cap::Cap;
use serde_json::json;
use tokio::runtime::Runtime;
use tombolo_core::access::{AuthMode, Identity, User};
use tombolo_core::wire::graphql::Request;
use tombolo_engine::{Engine, Settings};
use tombolo_server::api::Api;
use tombolo_server::auth::{ApiKey, Gate, Keys};
use tombolo_server::guards::Guards;
use tombolo_server::limits::Limits;
use tombolo_server::rates::Rates;
use tombolo_server::routes::App;
use tombolo_server::writer::Writer;
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::{schema, server};

/// Runs that share one server: what mutations leave behind makes further states, but it must not grow without bound.
const RUNS: u32 = 300;

/// Most memory that the server takes for one run: three connections with their windows full of answers about 64 mutations, and
/// what those leave behind. An input has at most 4 KiB.
const RUN_BYTES_MAX: usize = 48 << 20;

/// What is left of it once every connection has ended, on average over the runs of one server.
const RUN_BYTES_LEFT_MAX: usize = 1 << 20;

/// Longest time for a server to let a connection go whose other side is gone: it finishes what is accepted first.
const GONE_MAX: Duration = Duration::from_secs(60);

/// The keys of the two callers, by the callers' names.
pub(crate) const CALLERS: [(&str, &str); 2] = [("one", "mqtt-fuzz-key-of-one"), ("two", "mqtt-fuzz-key-of-two")];

/// The target's allocator: it counts, and refuses beyond what a run may take.
pub type Allocator = Cap<std::alloc::System>;

thread_local! {
    static KEPT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// A server and what it runs on.
struct World {
    runtime: Runtime,
    app: Arc<App>,
    /// What stands in a record that neither caller may read.
    secret: String,
    runs: u32,
    bytes: usize,
}

/// Runs whole connections as the bytes say.
pub fn run(data: &[u8], memory: &'static Allocator) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| let_known_panics_be(memory));
    KEPT.with_borrow_mut(|kept| {
        let mut world = match kept.take() {
            Some(world) if world.runs < RUNS => world,
            _ => World::new(memory),
        };
        world.runs += 1;
        let before = memory.allocated();
        memory
            .set_limit(before + RUN_BYTES_MAX)
            .expect("less than that is in use");
        let turn = plan::Turn {
            app: Arc::clone(&world.app),
            secret: &world.secret,
            number: world.runs,
        };
        world.runtime.block_on(turn.run(data));
        memory.set_limit(usize::MAX).expect("no limit");
        assert!(world.app.mqtt.is_empty(), "a connection that is over has kept its seat");
        let left = memory.allocated().saturating_sub(world.bytes);
        assert!(
            left <= RUN_BYTES_LEFT_MAX * (world.runs as usize + 16),
            "{left} bytes are left of {} runs",
            world.runs
        );
        *kept = Some(world);
    });
}

/// `mqtt-protocol-core` 0.7.9 panics at a second QoS 2 message with packet id 0; the server catches that and ends the connection.
/// Any other panic is a finding, whoever catches it.
fn let_known_panics_be(memory: &'static Allocator) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let known = panic.location().is_some_and(|place| {
            let (file, line) = KNOWN_PANICS;
            place.file().ends_with(file) && line.contains(&place.line())
        });
        if !known {
            // Telling takes memory too.
            let _none = memory.set_limit(usize::MAX);
            report(panic);
        }
    }));
}

/// Where it does, for 3.1.1 and 5: a PUBREC with that id cannot be built.
const KNOWN_PANICS: (&str, [u32; 2]) = ("mqtt-protocol-core-0.7.9/src/mqtt/connection/core.rs", [2898, 3062]);

impl World {
    fn new(memory: &Allocator) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime can be built");
        let bytes = memory.allocated();
        let options = Options {
            epoch: Some("e".to_owned()),
            ..Options::default()
        };
        let store = SqliteStore::open_inline(None, Arc::clone(schema()), &options).expect("memory can be opened");
        let engine = Arc::new(Engine::new(Arc::clone(schema()), store, Settings::default()));
        let keys = CALLERS.map(|(name, key)| ApiKey::from_clear(name, key)).to_vec();
        let app = Arc::new(App::new(
            Gate::new(Keys::new(keys)),
            Limits::default(),
            Rates::new(&Guards::default()),
        ));
        // Not a constant: comparing with one would tell the fuzzer how it goes.
        let secret = format!(
            "{:032x}",
            u128::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        );
        plant(&engine, &secret);
        runtime.block_on(async {
            let (writer, _writing) = Writer::start(Arc::clone(&engine), &app.limits);
            app.open(Api::new(engine, writer));
        });
        app.life.ready();
        Self {
            runtime,
            app,
            secret,
            runs: 0,
            bytes,
        }
    }
}

/// Puts a record there that belongs to somebody else, and todos that queries find.
fn plant(engine: &Engine<SqliteStore>, secret: &str) {
    let create = |identity: &Identity, model: &str, input: serde_json::Value| {
        let request = Request {
            query: format!("mutation($i: Create{model}Input!) {{ create{model}(input: $i) {{ _version }} }}"),
            variables: json!({ "i": input }).as_object().cloned(),
            ..Request::default()
        };
        let prepared = engine.prepare(identity, &request).expect("a good request");
        let fresh = (0..prepared.fresh_ids_needed()).map(|i| format!("fresh-{i}")).collect();
        let verdicts = server::ready(engine.commit(vec![engine.submission(&prepared, fresh)], 1_356_998_400_000));
        let verdict = verdicts.expect("memory can be written").remove(0);
        assert!(
            verdict.results.iter().all(|result| result.record.is_some()),
            "{verdict:?}"
        );
    };
    let owner = Identity::User(Arc::new(User {
        mode: AuthMode::Oidc,
        claims: [("sub", "owner"), ("iss", "https://issuer.example")]
            .into_iter()
            .map(|(claim, value)| (claim.to_owned(), value.into()))
            .collect(),
    }));
    create(&owner, "Own", json!({ "id": "own", "secret": secret }));
    for id in ["a", "b", "c"] {
        create(
            &server::identity(),
            "Todo",
            json!({ "id": id, "title": "wet runway", "list": "l" }),
        );
    }
}
