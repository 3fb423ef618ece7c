//! Several transports in the app's order: which failures go on to the next, what is remembered, and the way back. The clock
//! is the test's: it stands still while anything can be done and jumps when nothing can.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tombolo_core::wire::graphql::Request;
use tombolo_transport::{
    BoxFuture, CloseReason, Credential, Fallback, Incoming, Link, OperationId, Outgoing, SendError, Transport, limits,
    loopback,
};

/// What a network does to a way.
#[derive(Clone, Debug)]
enum Does {
    Carries,
    /// Ends every attempt with this.
    Refuses(CloseReason),
    /// Swallows everything from the first packet on.
    Swallows,
    /// Lets a link be opened and then brings nothing.
    OpensSilent,
    /// Lets a link be opened and cuts it at the first message.
    OpensCut,
    /// Carries the first operation of a link and nothing after it.
    CarriesOne,
}

/// A way that a test blocks and opens.
#[derive(Clone)]
struct Way {
    name: &'static str,
    does: Arc<Mutex<Does>>,
    opened: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    received: Arc<AtomicU64>,
}

impl Way {
    fn new(name: &'static str, does: Does) -> Self {
        Self {
            name,
            does: Arc::new(Mutex::new(does)),
            opened: Arc::default(),
            asked: Arc::default(),
            received: Arc::default(),
        }
    }

    fn set(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// How often a link was tried since this was last asked.
    fn tried(&self) -> usize {
        self.opened.swap(0, Ordering::SeqCst)
    }
}

impl Transport for Way {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let does = self.does.lock().unwrap().clone();
        Box::pin(async move {
            let carries = match does {
                Does::Refuses(reason) => return Err(reason),
                Does::Swallows => return std::future::pending().await,
                Does::Carries => usize::MAX,
                Does::CarriesOne => 1,
                Does::OpensSilent | Does::OpensCut => 0,
            };
            let cuts = matches!(does, Does::OpensCut);
            let served = loopback::serve(|_, request| Ok(loopback::one(request.query.into_bytes())));
            let inner = served.open(credential).await?;
            Ok(Box::new(WayLink {
                name: self.name,
                inner,
                carries,
                cuts,
                closed: None,
            }) as Box<dyn Link>)
        })
    }

    fn request<'a>(&'a self, _: &'a Credential, _: Request) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = match self.does.lock().unwrap().clone() {
            Does::Refuses(reason) => Err(reason),
            _ => Ok(self.name.as_bytes().to_vec()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }
}

struct WayLink {
    name: &'static str,
    inner: Box<dyn Link>,
    carries: usize,
    cuts: bool,
    closed: Option<CloseReason>,
}

impl Link for WayLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if self.carries > 0 {
            self.carries -= 1;
            return self.inner.send(message);
        }
        if self.cuts {
            self.closed = Some(cut());
        }
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        match &self.closed {
            Some(reason) => Box::pin(std::future::ready(Incoming::Closed(reason.clone()))),
            None => self.inner.receive(),
        }
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }

    fn transport(&self) -> &'static str {
        self.name
    }
}

fn cut() -> CloseReason {
    CloseReason::Unreachable { detail: "cut".into() }
}

fn ask(id: u64) -> Outgoing {
    Outgoing::Start {
        id: OperationId(id),
        request: query("{ a }"),
    }
}

fn query(text: &str) -> Request {
    Request {
        query: text.into(),
        ..Request::default()
    }
}

fn ways(first: Does, second: Does) -> (Way, Way, Fallback) {
    let (first, second) = (Way::new("first", first), Way::new("second", second));
    let both = Fallback::new(first.clone()).or(second.clone());
    (first, second, both)
}

async fn open(transport: &Fallback) -> Box<dyn Link> {
    transport.open(&Credential::None).await.unwrap()
}

/// What a new link goes by.
async fn goes_by(transport: &Fallback) -> &'static str {
    let mut link = open(transport).await;
    link.send(ask(1)).unwrap();
    let heard = tokio::time::timeout(LONG, link.receive()).await;
    assert!(
        matches!(heard, Ok(Incoming::Next { .. })),
        "{}: {heard:?}",
        link.transport()
    );
    link.close().await;
    link.transport()
}

/// An operation that nobody answers, until the owner of the link gives it up after `wait`.
async fn give_up(transport: &Fallback, wait: Duration) {
    let mut link = open(transport).await;
    link.send(ask(1)).unwrap();
    assert!(tokio::time::timeout(wait, link.receive()).await.is_err());
    link.close().await;
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn what_another_way_may_do_better_goes_on_to_it_and_what_it_may_not_does_not() {
    let detail = || std::borrow::Cow::Borrowed("x");
    for (reason, goes_on) in [
        (CloseReason::Unreachable { detail: detail() }, true),
        (CloseReason::Refused { status: 400 }, true),
        (CloseReason::Refused { status: 405 }, true),
        (CloseReason::Refused { status: 407 }, true),
        (CloseReason::Refused { status: 503 }, true),
        (CloseReason::Protocol { detail: detail() }, true),
        (CloseReason::TimedOut { what: "connecting" }, true),
        (CloseReason::Closed { code: 1006 }, true),
        (CloseReason::Unauthorized { code: 401 }, false),
        (CloseReason::Unauthorized { code: 403 }, false),
        (CloseReason::Unauthorized { code: 4403 }, false),
        (CloseReason::Incompatible { detail: detail() }, false),
        (CloseReason::TooLarge { limit_bytes: 1 }, false),
        (CloseReason::Closed { code: 1012 }, false),
    ] {
        let (_first, second, both) = ways(Does::Refuses(reason.clone()), Does::Carries);
        let opened = both.open(&Credential::None).await;
        assert_eq!(second.tried(), usize::from(goes_on), "{reason:?}");
        match opened {
            Ok(link) => assert!(goes_on && link.transport() == "second"),
            Err(told) => assert_eq!((told, goes_on), (reason, false)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_choice_is_taken_while_it_carries() {
    let (_first, second, both) = ways(Does::Carries, Does::Carries);
    for _ in 0..3 {
        assert_eq!(goes_by(&both).await, "first");
    }
    assert_eq!(second.tried(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_swallows_everything_has_its_share_of_the_time_and_no_more() {
    let (_first, _second, both) = ways(Does::Swallows, Does::Carries);
    let begun = Instant::now();
    assert_eq!(goes_by(&both).await, "second");
    assert_eq!(begun.elapsed(), limits::FALLBACK_OPEN_MAX / 2);

    // All of them together stay within the whole, however many there are.
    let many = (0..5).fold(Fallback::new(Way::new("0", Does::Swallows)), |all, _| {
        all.or(Way::new("n", Does::Swallows))
    });
    let begun = Instant::now();
    let told = many.open(&Credential::None).await.err().unwrap();
    assert_eq!(told, CloseReason::TimedOut { what: "connecting" });
    assert!(
        begun.elapsed() <= limits::FALLBACK_OPEN_MAX + Duration::from_millis(20),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_midway_is_gone_on_with_by_the_next() {
    let (first, second, both) = ways(Does::Swallows, Does::Swallows);
    let credential = Credential::None;
    let given_up = tokio::time::timeout(limits::FALLBACK_OPEN_MAX * 3 / 4, both.open(&credential)).await;
    assert!(given_up.is_err());
    assert_eq!((first.tried(), second.tried()), (1, 1));
    second.set(Does::Carries);
    let begun = Instant::now();
    assert_eq!(goes_by(&both).await, "second");
    assert_eq!((first.tried(), begun.elapsed()), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_the_way_that_worked_last_for_a_time_and_then_with_the_first_choice() {
    let (first, second, both) = ways(Does::Refuses(cut()), Does::Carries);
    assert_eq!(goes_by(&both).await, "second");
    first.set(Does::Carries);
    first.tried();
    tokio::time::advance(limits::FALLBACK_RETURN_AFTER - Duration::from_secs(1)).await;
    assert_eq!((goes_by(&both).await, first.tried()), ("second", 0));
    tokio::time::advance(Duration::from_secs(1)).await;
    second.tried();
    assert_eq!((goes_by(&both).await, second.tried()), ("first", 0));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_failed_the_first_choice_is_asked_first_and_says_why() {
    let (first, second, both) = ways(
        Does::Refuses(CloseReason::Refused { status: 405 }),
        Does::Refuses(cut()),
    );
    for _ in 0..2 {
        let told = both.open(&Credential::None).await.err().unwrap();
        assert_eq!(told, CloseReason::Refused { status: 405 });
        assert_eq!((first.tried(), second.tried()), (1, 1), "each once for a call");
    }
    first.set(Does::Carries);
    assert_eq!((goes_by(&both).await, second.tried()), ("first", 0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_shown_to_one_way_alone_and_changes_nothing() {
    let (first, second, both) = ways(Does::Refuses(cut()), Does::Carries);
    assert_eq!(goes_by(&both).await, "second");
    second.set(Does::Refuses(CloseReason::Unauthorized { code: 401 }));
    first.tried();
    assert!(both.open(&Credential::None).await.is_err());
    assert_eq!(first.tried(), 0);
    second.set(Does::Carries);
    assert_eq!((goes_by(&both).await, first.tried()), ("second", 0));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_opens_and_brings_nothing_counts_against_its_way() {
    let (first, _second, both) = ways(Does::OpensSilent, Does::Carries);
    give_up(&both, limits::FALLBACK_SILENT_AFTER).await;
    assert_eq!((goes_by(&both).await, first.tried()), ("second", 1));
    // Dropped instead of closed.
    let (_first, _second, both) = ways(Does::OpensSilent, Does::Carries);
    let mut link = open(&both).await;
    link.send(ask(1)).unwrap();
    assert!(tokio::time::timeout(LONG, link.receive()).await.is_err());
    drop(link);
    assert_eq!(goes_by(&both).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_before_it_brought_anything_counts_against_its_way() {
    let (_first, _second, both) = ways(Does::OpensCut, Does::Carries);
    let mut link = open(&both).await;
    link.send(ask(1)).unwrap();
    assert_eq!(link.receive().await, Incoming::Closed(cut()));
    assert_eq!(goes_by(&both).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_owes_nothing_or_is_given_up_early_or_brings_bytes_says_nothing_against_its_way() {
    let (first, _second, both) = ways(Does::OpensSilent, Does::Carries);
    // Nothing was asked.
    let mut link = open(&both).await;
    assert!(tokio::time::timeout(LONG, link.receive()).await.is_err());
    drop(link);
    // The app went offline before an answer could have come.
    give_up(&both, limits::FALLBACK_SILENT_AFTER - Duration::from_millis(1)).await;
    // A large message on a slow line.
    let mut link = open(&both).await;
    link.send(ask(1)).unwrap();
    first
        .received
        .fetch_add(limits::FALLBACK_SILENCE_BYTES_MAX, Ordering::SeqCst);
    assert!(tokio::time::timeout(LONG, link.receive()).await.is_err());
    drop(link);
    first.set(Does::Carries);
    assert_eq!(goes_by(&both).await, "first");
}

#[tokio::test(start_paused = true)]
async fn a_way_that_carries_a_little_is_left_after_several_links_in_a_row_and_not_after_one() {
    let (first, _second, both) = ways(Does::CarriesOne, Does::Carries);
    async fn ends_owing(both: &Fallback) {
        let mut link = open(both).await;
        link.send(ask(1)).unwrap();
        while !matches!(link.receive().await, Incoming::Complete { .. }) {}
        link.send(ask(2)).unwrap();
        assert!(tokio::time::timeout(LONG, link.receive()).await.is_err());
        link.close().await;
    }
    for _ in 1..limits::FALLBACK_OWING_LINKS_MAX {
        ends_owing(&both).await;
    }
    // One that owes nothing begins the count anew.
    first.set(Does::Carries);
    assert_eq!(goes_by(&both).await, "first");
    first.set(Does::CarriesOne);
    for _ in 1..limits::FALLBACK_OWING_LINKS_MAX {
        ends_owing(&both).await;
    }
    assert_eq!(goes_by(&both).await, "first");
    for _ in 0..limits::FALLBACK_OWING_LINKS_MAX {
        ends_owing(&both).await;
    }
    assert_eq!(goes_by(&both).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_link_by_another_way_ends_when_the_first_choice_is_open_again() {
    let (first, second, both) = ways(Does::Refuses(cut()), Does::Carries);
    let mut link = open(&both).await;
    let begun = Instant::now();
    first.tried();
    // Blocked at the first look, open at the second.
    let opens = async {
        tokio::time::sleep(limits::FALLBACK_RETURN_AFTER + Duration::from_secs(1)).await;
        assert_eq!(first.tried(), 1);
        first.set(Does::Carries);
        std::future::pending::<()>().await
    };
    let closed = tokio::select! {
        closed = link.receive() => closed,
        () = opens => unreachable!(),
    };
    assert_eq!(closed, Incoming::Closed(CloseReason::Local));
    assert_eq!(link.receive().await, closed, "for ever");
    assert_eq!(begun.elapsed(), limits::FALLBACK_RETURN_AFTER * 2);
    link.close().await;
    second.tried();
    assert_eq!((goes_by(&both).await, second.tried()), ("first", 0));
}

#[tokio::test(start_paused = true)]
async fn a_first_choice_that_opens_and_carries_nothing_is_no_reason_to_leave_a_link_that_does() {
    let (first, _second, both) = ways(Does::Refuses(cut()), Does::Carries);
    let mut link = open(&both).await;
    for does in [Does::OpensSilent, Does::OpensCut, Does::Swallows] {
        first.set(does);
        first.tried();
        let waited = tokio::time::timeout(limits::FALLBACK_RETURN_AFTER + LONG, link.receive()).await;
        assert!(waited.is_err(), "{waited:?}");
        assert_eq!(first.tried(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_choice_that_deceives_is_left_alone_for_longer_each_time_up_to_a_limit() {
    let (first, second, both) = ways(Does::OpensSilent, Does::Carries);
    let mut after = limits::FALLBACK_RETURN_AFTER;
    for _ in 0..6 {
        give_up(&both, LONG).await;
        assert_eq!(goes_by(&both).await, "second");
        first.tried();
        tokio::time::advance(after - Duration::from_secs(1)).await;
        assert_eq!((goes_by(&both).await, first.tried()), ("second", 0));
        tokio::time::advance(Duration::from_secs(1)).await;
        after = (after * 2).min(limits::FALLBACK_RETURN_MAX);
    }
    assert_eq!(after, limits::FALLBACK_RETURN_MAX);
    // One link that carries and all is forgiven.
    first.set(Does::Carries);
    second.tried();
    assert_eq!((goes_by(&both).await, second.tried()), ("first", 0));
    first.set(Does::OpensSilent);
    give_up(&both, LONG).await;
    assert_eq!(goes_by(&both).await, "second");
    tokio::time::advance(limits::FALLBACK_RETURN_AFTER).await;
    first.set(Does::Carries);
    assert_eq!(goes_by(&both).await, "first");
}

#[tokio::test(start_paused = true)]
async fn the_look_at_the_first_choice_survives_a_receive_that_is_dropped_and_holds_nothing_up() {
    let (first, _second, both) = ways(Does::Refuses(cut()), Does::Carries);
    let mut link = open(&both).await;
    first.set(Does::Swallows);
    // It is being looked at for half of the time to open a link; meanwhile the link carries.
    tokio::time::advance(limits::FALLBACK_RETURN_AFTER).await;
    for id in 0..20 {
        assert!(
            tokio::time::timeout(Duration::from_millis(100), link.receive())
                .await
                .is_err()
        );
        link.send(ask(id)).unwrap();
        while !matches!(link.receive().await, Incoming::Complete { .. }) {}
    }
    assert_eq!(first.tried(), 2, "at the beginning, and one look");
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_it_begins_with_the_first_choice() {
    let (first, _second, both) = ways(Does::Refuses(cut()), Does::Carries);
    assert_eq!(goes_by(&both).await, "second");
    first.set(Does::Carries);
    both.rest();
    assert_eq!(goes_by(&both).await, "first");
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_by_the_way_that_worked_and_by_the_others_where_that_is_blocked() {
    let (first, second, both) = ways(Does::Refuses(CloseReason::Refused { status: 405 }), Does::Carries);
    assert_eq!(
        both.request(&Credential::None, query("{ a }")).await.unwrap(),
        b"second"
    );
    assert_eq!(goes_by(&both).await, "second");
    first.asked.store(0, Ordering::SeqCst);
    assert_eq!(
        both.request(&Credential::None, query("{ a }")).await.unwrap(),
        b"second"
    );
    assert_eq!(first.asked.load(Ordering::SeqCst), 0);
    second.set(Does::Refuses(CloseReason::Unauthorized { code: 401 }));
    assert!(both.request(&Credential::None, query("{ a }")).await.is_err());
    assert_eq!(
        first.asked.load(Ordering::SeqCst),
        0,
        "a refused credential is shown once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mutation_goes_by_several_ways_only_under_its_number() {
    let (_first, second, both) = ways(Does::Refuses(cut()), Does::Carries);
    let mutation = query("mutation { a }");
    assert_eq!(both.request(&Credential::None, mutation.clone()).await, Err(cut()));
    assert_eq!(second.asked.load(Ordering::SeqCst), 0);
    let extensions = serde_json::json!({ "tombolo": { "replica": "r", "number": 7 } });
    let numbered = Request {
        extensions: extensions.as_object().cloned(),
        ..mutation
    };
    assert_eq!(both.request(&Credential::None, numbered).await.unwrap(), b"second");
}
