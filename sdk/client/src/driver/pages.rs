//! Catch-up pages over HTTP, one read ahead for each scope: while the writer applies a page, the next is on its way.

use std::collections::HashMap;

use tokio::task::JoinSet;
use tombolo_core::id::ReplicaId;
use tombolo_machine::{FeedNumber, ScopeCursor};
use tombolo_transport::CloseReason;

use super::{Done, Line};
use tombolo_machine::messages::{self, Page};

/// A page and what it answers.
type Arrived = (Wanted, ScopeCursor, Result<Page, CloseReason>);

/// How the machine asked for a page.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) feed: FeedNumber,
    pub(super) replica: ReplicaId,
    pub(super) rows: u64,
}

/// The pages of one link, by model: at most one on its way or kept for each.
#[derive(Default)]
pub(super) struct Pages {
    ahead: HashMap<String, Ahead>,
    /// What the machine waits for.
    wanted: HashMap<String, (Wanted, ScopeCursor)>,
}

struct Ahead {
    scope: ScopeCursor,
    /// `None` while it is on its way.
    result: Option<Result<Page, CloseReason>>,
}

impl Pages {
    /// The machine asks for a page: it is on its way, is here, or is asked for now.
    pub(super) fn want(&mut self, how: Wanted, scope: ScopeCursor, line: &Line, tasks: &mut JoinSet<Done>) {
        self.wanted.insert(scope.model.clone(), (how.clone(), scope.clone()));
        match self.ahead.remove(&scope.model) {
            Some(ahead) if ahead.scope == scope => match ahead.result {
                None => {
                    self.ahead.insert(scope.model.clone(), ahead);
                }
                // It goes through the tasks so that there is one way for pages to arrive.
                Some(result) => {
                    let scope = Box::new(scope);
                    tasks.spawn(async move { Done::Page { scope, result } });
                }
            },
            _ => ask(scope, &how, line, tasks),
        }
    }

    /// A page has come. Gives it back if the machine waits for it, else keeps it; asks for the one after it.
    pub(super) fn arrived(
        &mut self,
        scope: ScopeCursor,
        result: Result<Page, CloseReason>,
        line: &Line,
        tasks: &mut JoinSet<Done>,
    ) -> Option<Arrived> {
        let Some((how, _)) = self
            .wanted
            .get(&scope.model)
            .filter(|(_, wanted)| *wanted == scope)
            .cloned()
        else {
            // Not asked for yet: kept if it is the next one, dropped if its scope has changed meanwhile.
            if let Some(ahead) = self.ahead.get_mut(&scope.model).filter(|ahead| ahead.scope == scope) {
                ahead.result = Some(result);
            }
            return None;
        };
        self.wanted.remove(&scope.model);
        self.ahead.remove(&scope.model);
        if let Ok(Page::Batch(batch)) = &result
            && !batch.up_to_date
        {
            let next = ScopeCursor {
                cursor: Some(batch.cursor.clone()),
                ..scope.clone()
            };
            self.ahead.insert(
                scope.model.clone(),
                Ahead {
                    scope: next.clone(),
                    result: None,
                },
            );
            ask(next, &how, line, tasks);
        }
        Some((how, scope, result))
    }
}

fn ask(scope: ScopeCursor, how: &Wanted, line: &Line, tasks: &mut JoinSet<Done>) {
    let (line, request) = (line.clone(), messages::page_of(&how.replica, &scope, how.rows));
    tasks.spawn(async move {
        let result = line.page(request).await;
        Done::Page {
            scope: Box::new(scope),
            result,
        }
    });
}
