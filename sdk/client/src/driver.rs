//! The one task that talks to the network: it carries out the machine's orders over a transport and reports what comes.
//! It decides nothing; when to try again is the machine's.

mod http;
mod pages;
mod socket;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HttpLink;
use pages::{Pages, Wanted};
use socket::Socket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tombolo_core::id::MutationNumber;
use tombolo_machine::{AnswerBody, FeedNumber, Input, Outgoing, ScopeCursor};
use tombolo_transport::{CloseReason, Credential, Incoming, Link, Transport};

use crate::mishap::Mishaps;
use crate::writer::{Clock, LinkNumber, Order, Report};
use crate::{close_reason, limits};
use tombolo_machine::messages::{self, Page};

/// The credential as the app last gave it.
pub(crate) type SharedCredential = Arc<Mutex<Credential>>;

/// What a panic is told to be of.
const PLACE: &str = "the task of the link";

pub(crate) struct Driver {
    line: Line,
    clock: Clock,
    orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::Sender<Report>,
    mishaps: Mishaps,
    /// The link that was ordered last.
    number: LinkNumber,
    connection: Connection,
    pages: Pages,
    /// Work of the present link; ends with it.
    tasks: JoinSet<Done>,
    wake_at: Option<Duration>,
    /// Bytes that the transport had brought when the last message or progress was reported.
    received: u64,
}

/// The way to the server, for the driver and its tasks.
#[derive(Clone)]
struct Line {
    /// `None` as long as the app has given none.
    transport: Option<Arc<dyn Transport>>,
    credential: SharedCredential,
}

enum Connection {
    None,
    Opening,
    Socket(Socket),
    Http(HttpLink),
}

/// What a task of the link has to say at its end.
enum Done {
    /// A socket is open.
    Opened(Box<dyn Link>),
    /// No socket, but HTTP answers.
    OpenedHttp,
    /// Neither.
    NotOpened(CloseReason),
    /// A page that was asked for over HTTP.
    Page {
        scope: Box<ScopeCursor>,
        result: Result<Page, CloseReason>,
    },
    /// A mutation sent over HTTP.
    Answered {
        number: MutationNumber,
        result: Result<AnswerBody, CloseReason>,
    },
    /// A round over the change feed by HTTP; the scopes stand there now.
    Polled {
        feed: FeedNumber,
        result: Result<Vec<ScopeCursor>, CloseReason>,
    },
}

/// The writer is gone: the client has been closed.
struct WriterGone;

impl Line {
    fn credential(&self) -> Credential {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn request(&self, request: tombolo_core::wire::graphql::Request) -> Result<Vec<u8>, CloseReason> {
        let credential = self.credential();
        match &self.transport {
            Some(transport) => transport.request(&credential, request).await,
            None => Err(no_transport()),
        }
    }

    fn received(&self) -> u64 {
        self.transport.as_ref().map_or(0, |transport| transport.received())
    }

    fn rest(&self) {
        if let Some(transport) = &self.transport {
            transport.rest();
        }
    }

    async fn page(&self, request: tombolo_core::wire::graphql::Request) -> Result<Page, CloseReason> {
        Ok(messages::read_page(&self.request(request).await?))
    }

    /// Opens a socket; where something answers but gives none, asks whether HTTP gets through.
    async fn open(self) -> Done {
        let credential = self.credential();
        let opened = match &self.transport {
            Some(transport) => transport.open(&credential).await,
            None => Err(no_transport()),
        };
        let reason = match opened {
            Ok(link) => return Done::Opened(link),
            Err(reason) => reason,
        };
        match reason {
            CloseReason::Refused { .. } | CloseReason::Protocol { .. } | CloseReason::TimedOut { .. } => {
                match self.request(messages::probe()).await {
                    Ok(_) => Done::OpenedHttp,
                    Err(unauthorized @ CloseReason::Unauthorized { .. }) => Done::NotOpened(unauthorized),
                    Err(_) => Done::NotOpened(reason),
                }
            }
            CloseReason::Unreachable { .. }
            | CloseReason::Unauthorized { .. }
            | CloseReason::Incompatible { .. }
            | CloseReason::TooLarge { .. }
            | CloseReason::Closed { .. }
            | CloseReason::Local => Done::NotOpened(reason),
        }
    }
}

impl Driver {
    pub(crate) fn new(
        transport: Option<Arc<dyn Transport>>,
        credential: SharedCredential,
        clock: Clock,
        orders: mpsc::UnboundedReceiver<Order>,
        reports: mpsc::Sender<Report>,
        mishaps: Mishaps,
    ) -> Self {
        Self {
            line: Line { transport, credential },
            clock,
            orders,
            reports,
            mishaps,
            number: LinkNumber::default(),
            connection: Connection::None,
            pages: Pages::default(),
            tasks: JoinSet::new(),
            wake_at: None,
            received: 0,
        }
    }

    /// Runs until the writer ends.
    pub(crate) async fn run(mut self) {
        let mishaps = self.mishaps.clone();
        let mut panics = 0;
        loop {
            let turned = match mishaps.contain_async(PLACE, self.turn()).await {
                None => mishaps
                    .contain_async(PLACE, self.begin_anew())
                    .await
                    .inspect(|_| panics += 1),
                turned => turned,
            };
            if panics >= limits::LINK_PANICS_MAX || !matches!(turned, Some(Ok(()))) {
                break;
            }
        }
        let _told = mishaps.contain_async(PLACE, self.disconnect()).await;
    }

    /// After a panic: what was open is lost, whatever was being done, and the machine looks at what is due.
    async fn begin_anew(&mut self) -> Result<(), WriterGone> {
        self.disconnect().await;
        let reason = CloseReason::Protocol {
            detail: "a mistake in Tombolo".into(),
        };
        self.report(Input::LinkClosed(close_reason::of(&reason))).await?;
        self.report(Input::Wake).await
    }

    /// Waits for one thing to happen and handles it.
    async fn turn(&mut self) -> Result<(), WriterGone> {
        let now = (self.clock)().monotonic;
        let due = self.wake_at.into_iter().chain(self.connection.due()).min();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(order) => self.carry_out(order).await,
                None => Err(WriterGone),
            },
            message = self.connection.receive() => self.message(message).await,
            Some(done) = self.tasks.join_next() => match done {
                Ok(done) => self.done(done).await,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => {
                        self.mishaps.tell(PLACE, panic.as_ref());
                        self.lost(CloseReason::Protocol { detail: "a mistake in Tombolo".into() }).await
                    }
                    Err(_) => Ok(()),
                },
            },
            () = timer => self.time(due).await,
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<(), WriterGone> {
        match order {
            Order::Open(number) => {
                // First, so that what goes wrong from here on is told of this one.
                self.number = number;
                self.disconnect().await;
                self.connection = Connection::Opening;
                self.tasks.spawn(self.line.clone().open());
            }
            Order::Close => self.disconnect().await,
            Order::Go(transport) => {
                // What is open goes on until the machine has it closed.
                self.line.rest();
                self.received = transport.received();
                self.line.transport = Some(transport);
            }
            Order::WakeAt(moment) => self.wake_at = Some(moment),
            Order::Park(parked) => {
                // Unlike at a lost link, waits until nothing of it is left.
                self.tasks.shutdown().await;
                self.disconnect().await;
                self.wake_at = None;
                self.line.rest();
                // The caller may have given up waiting.
                let _ = parked.send(());
            }
            Order::Send(message) => self.send(message),
        }
        Ok(())
    }

    fn send(&mut self, message: Outgoing) {
        match (&mut self.connection, message) {
            // The machine has not heard yet that the link is gone.
            (Connection::None | Connection::Opening, _) => {}
            (
                _,
                Outgoing::FetchPage {
                    feed,
                    scope,
                    replica,
                    rows,
                },
            ) => {
                let how = Wanted { feed, replica, rows };
                self.pages.want(how, scope, &self.line, &mut self.tasks);
            }
            (Connection::Socket(socket), Outgoing::Subscribe { feed, replica, scopes }) => {
                socket.subscribe(feed, &replica, &scopes);
            }
            (Connection::Socket(socket), Outgoing::Unsubscribe { feed }) => socket.unsubscribe(feed),
            (Connection::Socket(socket), Outgoing::Mutation { number, request }) => socket.mutate(number, request),
            (Connection::Http(link), Outgoing::Subscribe { feed, replica, scopes }) => {
                link.subscribe(feed, replica, scopes, (self.clock)().monotonic);
            }
            (Connection::Http(link), Outgoing::Unsubscribe { feed }) => link.unsubscribe(feed),
            (Connection::Http(link), Outgoing::Mutation { number, request }) => {
                link.mutate(number, request, &self.line, &mut self.tasks);
            }
        }
    }

    async fn message(&mut self, message: Incoming) -> Result<(), WriterGone> {
        let Connection::Socket(socket) = &mut self.connection else {
            return Ok(());
        };
        self.received = self.line.received();
        match socket.read(message) {
            Ok(Some(input)) => self.report(input).await,
            Ok(None) => Ok(()),
            Err(reason) => self.lost(reason).await,
        }
    }

    async fn done(&mut self, done: Done) -> Result<(), WriterGone> {
        match done {
            Done::Opened(link) => {
                let transport = link.transport();
                self.connection = Connection::Socket(Socket::new(link));
                self.opened(transport).await
            }
            Done::OpenedHttp => {
                tracing::info!("no socket gets through; going by HTTP requests");
                self.connection = Connection::Http(HttpLink::new((self.clock)().monotonic));
                self.opened("http").await
            }
            Done::NotOpened(reason) => self.lost(reason).await,
            Done::Page { scope, result } => {
                let Some((wanted, scope, result)) = self.pages.arrived(*scope, result, &self.line, &mut self.tasks)
                else {
                    return Ok(());
                };
                self.page(wanted, scope, result).await
            }
            Done::Answered { number, result } => match result {
                Ok(answer) => {
                    if let Connection::Http(link) = &mut self.connection {
                        link.look_again((self.clock)().monotonic);
                    }
                    self.report(Input::Answers(vec![(number, answer)])).await
                }
                Err(reason) => self.lost(reason).await,
            },
            Done::Polled { feed, result } => match result {
                Ok(scopes) => {
                    if let Connection::Http(link) = &mut self.connection {
                        link.polled(feed, scopes, (self.clock)().monotonic);
                    }
                    Ok(())
                }
                Err(reason) => self.lost(reason).await,
            },
        }
    }

    async fn page(
        &mut self,
        wanted: Wanted,
        scope: ScopeCursor,
        result: Result<Page, CloseReason>,
    ) -> Result<(), WriterGone> {
        match (result, &mut self.connection) {
            (Ok(page), _) => match page_input(wanted.feed, page) {
                Ok(input) => self.report(input).await,
                Err(reason) => self.lost(reason).await,
            },
            // HTTP does not get through, but the socket is there: the same question over the socket.
            (Err(reason), Connection::Socket(socket)) if !reason.needs_sign_in() => {
                tracing::debug!(%reason, "a page did not come by HTTP; asking for it over the socket");
                socket.fetch(wanted.feed, &scope, wanted.rows);
                Ok(())
            }
            (Err(reason), _) => self.lost(reason).await,
        }
    }

    async fn time(&mut self, due: Option<Duration>) -> Result<(), WriterGone> {
        if self.wake_at.is_some() && self.wake_at == due {
            self.wake_at = None;
            let received = self.line.received();
            if received.saturating_sub(self.received) >= limits::PROGRESS_BYTES_MIN {
                // The message under way is a large one on a slow line: no reason to give the link up.
                self.received = received;
                self.report(Input::Received).await?;
            }
            return self.report(Input::Wake).await;
        }
        let now = (self.clock)().monotonic;
        let Connection::Http(link) = &mut self.connection else {
            return Ok(());
        };
        if link.is_over(now) {
            return self.lost(CloseReason::Local).await;
        }
        link.poll(&self.line, self.number, self.reports.clone(), &mut self.tasks);
        Ok(())
    }

    /// The link is gone: forgets it and tells the machine.
    async fn lost(&mut self, reason: CloseReason) -> Result<(), WriterGone> {
        if matches!(self.connection, Connection::None) {
            return Ok(());
        }
        self.disconnect().await;
        self.report(Input::LinkClosed(close_reason::of(&reason))).await
    }

    async fn disconnect(&mut self) {
        let before = std::mem::replace(&mut self.connection, Connection::None);
        self.pages = Pages::default();
        // Aborts and forgets: what an old link still had to say is nobody's business.
        self.tasks = JoinSet::new();
        if let Connection::Socket(mut socket) = before {
            socket.close().await;
        }
    }

    async fn opened(&mut self, transport: &'static str) -> Result<(), WriterGone> {
        self.tell(Input::LinkOpened, Some(transport)).await
    }

    async fn report(&mut self, input: Input) -> Result<(), WriterGone> {
        self.tell(input, None).await
    }

    async fn tell(&mut self, input: Input, transport: Option<&'static str>) -> Result<(), WriterGone> {
        let report = Report {
            link: self.number,
            transport,
            input,
        };
        self.reports.send(report).await.map_err(|_| WriterGone)
    }
}

impl Connection {
    /// The next message of an open socket; without one it waits for ever.
    async fn receive(&mut self) -> Incoming {
        match self {
            Self::Socket(socket) => socket.receive().await,
            Self::None | Self::Opening | Self::Http(_) => std::future::pending().await,
        }
    }

    fn due(&self) -> Option<Duration> {
        match self {
            Self::Http(link) => Some(link.due()),
            Self::None | Self::Opening | Self::Socket(_) => None,
        }
    }
}

/// A link is wanted only of a client that has been given a way to the server.
fn no_transport() -> CloseReason {
    CloseReason::Unreachable {
        detail: "the client was given no URL and no transport".into(),
    }
}

/// A page as the machine's input.
fn page_input(feed: FeedNumber, page: Page) -> Result<Input, CloseReason> {
    match page {
        Page::Batch(batch) => Ok(Input::Batch { feed, batch }),
        Page::Refused(errors) => Ok(Input::FeedRefused { feed, errors }),
        Page::Unreadable(detail) => Err(CloseReason::Protocol { detail: detail.into() }),
    }
}
