//! The conformance suite that every [`Store`] must pass. A store's tests say
//! `tombolo_engine::store_suite!(Place::new());` with a [`Place`] that makes stores; each case becomes a test.
//!
//! Cases speak to the trait alone, except those in [`sessions`], which run a whole [`crate::Engine`] over the store.

#![allow(clippy::missing_panics_doc, reason = "a failed case panics; that is what it is for")]
#![allow(clippy::unwrap_used, reason = "this is test code that others link")]

pub mod clocks;
pub mod embedded;
pub mod feed;
pub mod hidden;
pub mod moved;
pub mod mutations;
pub mod numbers;
pub mod once;
pub mod resets;
pub mod resume;
pub mod retention;
pub mod rules;
pub mod sessions;
pub mod traces;
pub mod wander;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use serde_json::{Value as Json, json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{ModelId, MutationNumber, Position, ReplicaId, Version};
use tombolo_core::query::{Filter, MutationInput};
use tombolo_core::schema::{Model, MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::MutationEnvelope;

use crate::store::{ChangePage, MutationResult, PageRequest, Store, Submission, Verdict};

/// The schema of every case.
pub const SCHEMA: &str = r#"
enum Colour { RED GREEN }
type Spot { x: Int y: Int name: String }
type Todo @model @auth(rules: [{ allow: public }]) {
  id: ID!
  title: String!
  note: String
  tags: [String]
  spot: Spot
  colour: Colour
  rank: Int @default(value: "3")
  done: Boolean
  price: Float
  list: ID @index(name: "byList", queryField: "todosByList")
}
type Line @model @auth(rules: [{ allow: public }]) {
  order: ID! @primaryKey(sortKeyFields: ["number"])
  number: Int!
  text: String
}
type Strict @model(conflict: OPTIMISTIC_CONCURRENCY) @auth(rules: [{ allow: public }]) {
  id: ID!
  text: String
}
type Asked @model(conflict: CUSTOM) @auth(rules: [{ allow: public }]) {
  id: ID!
  text: String
  note: String
}
type Guarded @model @auth(rules: [{ allow: public }]) {
  id: ID!
  text: String
  secret: String @auth(rules: [{ allow: owner }])
}
type Closed @model @auth(rules: [{ allow: owner }]) {
  id: ID!
}
"#;

/// Makes stores for cases.
pub trait Place {
    /// The store's type.
    type Store: Store;

    /// A new, empty store.
    fn fresh(&self, schema: &Arc<Schema>) -> Self::Store;

    /// The same store after its process died: `store` is dropped. `None` if nothing survives that.
    fn reopen(&self, store: Self::Store, schema: &Arc<Schema>) -> Option<Self::Store>;

    /// Whether [`Place::reopen`] gives one back.
    fn reopen_keeps(&self) -> bool {
        true
    }
}

/// Runs a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Runs two futures at the same time on this thread.
pub async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(move |cx| {
        let poll = |future: Pin<&mut A>, cx: &mut Context<'_>| future.poll(cx);
        if first.is_none()
            && let Poll::Ready(output) = poll(a.as_mut(), cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                first = one;
                second = other;
                Poll::Pending
            }
        }
    })
    .await
}

/// The suite's schema, read.
#[must_use]
pub fn schema() -> Arc<Schema> {
    Arc::new(Schema::parse(SCHEMA, "suite.graphql").unwrap())
}

/// A store, its schema, and the words that cases are told in.
pub struct World<S> {
    /// The store.
    pub store: S,
    /// Its schema.
    pub schema: Arc<Schema>,
    now_ms: std::cell::Cell<i64>,
}

/// When worlds begin: 2013-01-01.
const BEGIN_MS: i64 = 1_356_998_400_000;

/// A day.
const DAY_MS: i64 = 24 * 3600 * 1000;

impl<S: Store> World<S> {
    /// A world over a new store of `place`.
    pub fn new<P: Place<Store = S>>(place: &P) -> Self {
        let schema = schema();
        Self {
            store: place.fresh(&schema),
            schema,
            now_ms: std::cell::Cell::new(BEGIN_MS),
        }
    }

    /// The same after the process died.
    pub fn reopen<P: Place<Store = S>>(self, place: &P) -> Option<Self> {
        let store = place.reopen(self.store, &self.schema)?;
        Some(Self {
            store,
            schema: self.schema,
            now_ms: self.now_ms,
        })
    }

    /// Sets the clock.
    pub fn set_now(&self, now_ms: i64) {
        self.now_ms.set(now_ms);
    }

    /// A model by name.
    pub fn model(&self, name: &str) -> ModelId {
        self.schema.model_named(name).unwrap()
    }

    fn definition(&self, model: &str) -> &Model {
        &self.schema[self.model(model)]
    }

    /// A filter from its JSON.
    pub fn filter(&self, model: &str, filter: &Json) -> Filter {
        let access = Access::of(&self.schema, &Identity::Local);
        Filter::parse(&self.schema, self.model(model), filter, &access).unwrap()
    }

    /// A mutation of `model` with `values`, which may hold `_version`.
    pub fn mutation(&self, kind: MutationKind, model: &str, values: Json) -> MutationInput {
        let definition = self.definition(model);
        let mut input = MutationInput {
            model: self.model(model),
            kind,
            values: Vec::new(),
            operations: Vec::new(),
            base_version: None,
            condition: None,
            condition_json: None,
        };
        for (name, json) in values.as_object().unwrap() {
            if name == "_version" {
                input.base_version = json.as_i64().map(Version);
                continue;
            }
            let field = definition.field(name).unwrap();
            let value = match json {
                Json::Null => Value::Null,
                json => definition.field_at(field).ty.parse_json(&self.schema, json).unwrap(),
            };
            input.values.push((field, value));
        }
        input
    }

    /// `create`, with values.
    pub fn create(&self, model: &str, values: Json) -> MutationInput {
        self.mutation(MutationKind::Create, model, values)
    }

    /// `update`, with values.
    pub fn update(&self, model: &str, values: Json) -> MutationInput {
        self.mutation(MutationKind::Update, model, values)
    }

    /// `delete`, with values.
    pub fn delete(&self, model: &str, values: Json) -> MutationInput {
        self.mutation(MutationKind::Delete, model, values)
    }

    /// Writes a batch at the world's time.
    pub fn write(&self, batch: Vec<Submission>) -> Vec<Verdict> {
        block_on(self.store.write(batch.into(), self.now_ms.get())).unwrap()
    }

    /// Writes one mutation of nobody's.
    pub fn plain(&self, mutation: MutationInput) -> MutationResult {
        one(self.write(vec![plain(mutation)]))
    }

    /// Writes one mutation of a replica.
    pub fn send(&self, envelope: MutationEnvelope, mutation: MutationInput) -> Verdict {
        self.write(vec![submission(envelope, vec![mutation])]).remove(0)
    }

    /// One page of a scope after a position.
    pub fn page(&self, model: &str, filter: Option<&Json>, after: Option<i64>, rows_max: usize) -> ChangePage {
        let fields = ["id", "order", "number", "title", "list"];
        block_on(
            self.store.changes(PageRequest {
                model: self.model(model),
                filter: filter.map(|filter| self.filter(model, filter)),
                after: after.map(Position),
                rows_max,
                bytes_max: 1 << 20,
                fields: fields
                    .iter()
                    .filter_map(|name| self.definition(model).field(name))
                    .collect(),
                masks: Vec::new(),
                replica: Some(ReplicaId("r".to_owned())),
            }),
        )
        .unwrap()
    }

    /// Registers a scope's filter.
    pub fn watch(&self, model: &str, filter: &Json) -> Position {
        let columns = self.filter(model, filter).columns();
        block_on(self.store.watch_fields(self.model(model), columns)).unwrap()
    }

    /// The newest position.
    pub fn head(&self) -> i64 {
        block_on(self.store.head()).unwrap().position.0
    }
}

/// The one result of the one verdict.
#[must_use]
pub fn one(verdicts: Vec<Verdict>) -> MutationResult {
    assert_eq!(verdicts.len(), 1);
    let verdict = verdicts.into_iter().next().unwrap();
    assert_eq!((verdict.undecided, verdict.results.len()), (None, 1));
    verdict.results.into_iter().next().unwrap()
}

/// A mutation of nobody's.
#[must_use]
pub fn plain(mutation: MutationInput) -> Submission {
    Submission {
        envelope: None,
        mutations: vec![mutation],
        atomic: false,
        fresh_ids: vec!["fresh".into()],
        refusal: None,
        ..Submission::default()
    }
}

/// An envelope with nothing but who and which.
#[must_use]
pub fn envelope(replica: &str, number: u64) -> MutationEnvelope {
    MutationEnvelope {
        replica: ReplicaId(replica.into()),
        number: MutationNumber(number),
        depends_on: vec![],
        seen: vec![],
        schema: String::new(),
        settled_through: 0,
        atomic: false,
        void: false,
        moved_from: vec![],
        base: None,
        resent: false,
    }
}

/// Mutations of a replica.
#[must_use]
pub fn submission(envelope: MutationEnvelope, mutations: Vec<MutationInput>) -> Submission {
    let atomic = envelope.atomic;
    Submission {
        envelope: Some(envelope),
        mutations,
        atomic,
        fresh_ids: vec!["fresh".into()],
        refusal: None,
        ..Submission::default()
    }
}

/// Rows, or keys, of a page as JSON.
#[must_use]
pub fn rows(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap()
}

/// The first column of each row.
#[must_use]
pub fn ids(bytes: &[u8]) -> Vec<String> {
    let first = |row: &Json| row[0].as_str().unwrap_or_default().to_owned();
    rows(bytes).as_array().unwrap().iter().map(first).collect()
}

/// A `Todo` with this id and title.
#[must_use]
pub fn todo(id: &str, title: &str) -> Json {
    json!({ "id": id, "title": title })
}

/// Makes a test of each case of the suite; the argument is an expression that gives a [`Place`](crate::suite::Place).
#[macro_export]
macro_rules! store_suite {
    ($place:expr) => {
        $crate::store_suite!(@cases $place, mutations:
            a_created_record_has_version_1_defaults_and_times,
            a_record_is_created_once,
            an_id_is_made_when_none_is_given,
            an_update_changes_what_it_names,
            a_stale_update_is_merged_by_field,
            a_stale_update_is_refused_where_the_model_says_so,
            a_deleted_record_stays_as_a_tombstone,
            a_stale_delete_is_refused,
            what_does_not_exist_is_not_changed,
            a_condition_is_asked_of_the_stored_record,
            a_required_field_is_never_emptied,
            values_come_back_as_they_were_sent,
            a_key_of_two_fields,
            positions_are_gap_free_and_in_order,
            time_never_goes_back,
            a_request_without_envelope_may_hold_several,
        );
        $crate::store_suite!(@cases $place, once:
            a_resend_changes_nothing_and_says_the_same,
            a_resend_after_a_restart,
            a_number_is_not_lent_to_another_record,
            a_number_is_not_lent_to_another_mutation_of_its_record,
            an_upgrade_between_two_sends_makes_no_other_mutation,
            a_mutation_given_up_is_void_unless_it_was_decided,
            what_an_older_server_cannot_read_waits,
            a_transaction_half_forgotten_is_still_known,
            what_was_seen_of_one_record_is_not_seen_of_another,
            an_edit_of_ones_own_creation_does_not_overwrite_what_others_did,
            a_resend_in_the_same_batch,
            a_resend_is_answered_with_the_record_as_it_is_now,
            a_rejection_is_final,
            a_refused_request_is_remembered,
            what_depends_on_a_rejected_one_is_rejected,
            what_depends_on_an_unknown_one_waits,
            own_earlier_mutations_are_no_conflict,
            an_atomic_request_applies_whole,
            an_atomic_request_fails_whole,
            settled_outcomes_are_forgotten_and_not_repeated,
            what_is_settled_needs_no_outcome,
            replicas_do_not_share_numbers,
            two_batches_at_once_both_count,
        );
        $crate::store_suite!(@cases $place, numbers:
            an_edit_upon_a_forgotten_mutation_of_ones_own_overwrites_nobody,
            an_edit_upon_a_refused_mutation_of_ones_own_overwrites_nobody,
            what_is_seen_of_a_forgotten_mutation_is_judged_by_the_version_that_is_named,
            a_number_is_not_lent_to_another_request_that_is_refused,
        );
        $crate::store_suite!(@cases $place, moved:
            what_was_carried_out_under_an_earlier_number_is_answered_with_that,
            what_was_decided_under_a_later_number_is_known_by_the_earlier_one,
            what_was_refused_under_an_earlier_number_is_carried_out,
            what_may_have_been_carried_out_under_an_earlier_number_is_not_repeated,
            a_transaction_that_moved_is_known_as_a_whole,
            earlier_names_are_bounded,
        );
        $crate::store_suite!(@cases $place, embedded:
            an_older_apps_embedded_value_keeps_what_the_app_does_not_know,
        );
        $crate::store_suite!(@cases $place, feed:
            a_page_holds_rows_in_feed_order,
            pages_end_to_end_hold_everything_once,
            a_page_stops_at_its_bytes,
            a_changed_record_moves_to_the_end,
            a_filter_is_applied_before_the_limit,
            a_record_that_leaves_the_scope_is_named,
            leaving_is_remembered_over_a_restart,
            a_record_that_left_and_came_back_is_a_row,
            a_tombstone_is_a_row,
            a_tombstone_leaves_a_scope_of_the_living,
            many_departures_take_several_pages,
            departures_of_other_models_are_not_told,
            the_epoch_survives_a_restart_and_tells_stores_apart,
        );
        $crate::store_suite!(@cases $place, retention:
            an_old_tombstone_goes_and_the_watermark_rises_over_it,
            what_a_replica_has_not_passed_is_kept_for_it,
            a_place_that_is_not_shown_again_holds_nothing_back,
            departures_go_like_tombstones,
            outcomes_stay_until_they_are_settled_or_the_replica_is_written_off,
            a_replica_that_was_written_off_repeats_nothing,
            what_a_written_off_replica_was_decided_is_remembered_for_ever,
            an_atomic_request_of_a_written_off_replica_is_refused_whole,
            whoever_was_heard_of_is_not_written_off,
            pruning_goes_in_bounded_steps,
            a_policy_without_patience_is_still_safe,
            a_renewed_identity_is_a_new_one,
        );
        $crate::store_suite!(@cases $place, clocks:
            a_clock_that_is_ahead_while_it_is_pruned_writes_nobody_off,
            a_clock_that_was_ahead_stops_no_pruning,
            a_clock_that_began_in_1970_writes_nobody_off,
            a_server_that_stood_still_writes_nobody_off,
            a_clock_that_goes_back_and_forth_prunes_nothing_early,
            a_clock_that_goes_back_prunes_nothing_early,
        );
        $crate::store_suite!(@cases $place, resets:
            a_cursor_below_the_watermark_begins_again,
            pruning_leaves_a_base_sync_alone,
            a_cursor_that_was_shown_holds_back_the_pruning,
            a_scope_that_is_new_after_a_prune_is_complete,
            a_cursor_beyond_the_head_renews_the_history,
            made_up_cursors_renew_the_history_once,
        );
        $crate::store_suite!(@cases $place, sessions:
            a_mutation_is_answered_with_its_outcome,
            a_session_catches_up_and_stays_live,
            a_session_tells_its_own_replica_even_of_nothing,
            a_cursor_of_another_history_starts_again,
            a_scope_that_a_record_leaves_says_so_live,
            a_session_behind_the_ring_reads_the_store,
            a_model_subscription_gets_what_matches,
            a_slow_model_subscription_ends_with_an_error,
            a_flood_ends_only_whoever_missed_something,
            a_commit_wakes_only_the_interested,
            a_request_that_cannot_be_carried_out_is_rejected_for_good,
            one_page_by_query,
            scopes_take_turns,
            a_page_of_other_changes_hides_none_of_its_own,
            a_session_is_told_which_of_its_own_mutations_have_landed,
        );
        $crate::store_suite!(@cases $place, resume:
            what_the_ring_has_is_told_change_by_change,
            after_a_restart_each_record_is_told_once,
            what_was_there_before_a_subscription_is_not_missed,
            a_subscription_that_goes_on_does_not_end_of_slowness,
            another_history_cannot_be_gone_on_with,
            a_deletion_that_is_no_longer_kept_is_not_passed_over,
            the_feed_goes_on_from_its_cursors,
        );
        $crate::store_suite!(@cases $place, rules:
            queries_give_what_is_ones_own,
            a_field_is_shown_to_its_keeper_alone,
            mutations_of_others_are_refused_and_tell_nothing,
            a_record_can_be_given_away,
            a_creation_sent_again_changes_no_record_that_is_not_his_to_change,
            subscriptions_bring_what_is_ones_own,
            the_feed_brings_what_is_ones_own_and_takes_it_away,
            a_cursor_under_other_rules_begins_anew,
            traces_are_for_those_who_read_everything,
            a_replica_and_its_numbers_are_its_users,
        );
        $crate::store_suite!(@cases $place, hidden:
            an_outcome_told_again_shows_nothing_new,
            what_has_landed_is_told_to_its_own_user,
            a_taken_id_is_said_to_be_taken_and_no_more,
            a_field_that_comes_into_sight_begins_the_scope_anew,
            a_base_sync_hides_what_a_row_keeps_from_its_reader,
            an_owner_argument_tells_nothing_of_a_hidden_owner,
            a_guess_at_a_field_that_may_only_be_written_tells_nothing,
            a_name_that_looks_like_anothers_is_not_that_one,
            each_operation_asks_its_own_rules,
            a_key_does_not_speak_for_a_users_replica,
            a_moved_mutation_that_cannot_be_compared_is_not_said_to_be_done,
            a_policy_holds_under_an_earlier_schema,
        );
        $crate::store_suite!(@cases $place, wander:
            a_phone_holds_what_its_user_may_read,
        );
        $crate::store_suite!(@cases $place, traces:
            a_merge_leaves_a_trace_of_what_was_dropped,
            a_rejection_keeps_what_was_sent,
            what_was_simply_applied_leaves_no_trace,
            a_resend_is_told_the_same_trace,
            a_request_that_cannot_be_read_is_kept,
            a_transaction_that_fails_leaves_what_was_sent,
            traces_are_read_in_pages,
            a_question_writes_nothing,
            an_answer_is_written,
            an_answer_for_an_older_version_asks_again,
            a_transaction_asks_about_all_its_records_at_once,
            a_resolver_may_reject_and_remove,
            a_deletion_is_asked_about,
            a_transaction_waits_for_its_answers,
            a_trace_shows_only_what_may_be_read,
        );
    };
    (@cases $place:expr, $module:ident: $($case:ident),* $(,)?) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::suite::$module::$case(&$place);
                }
            )*
        }
    };
}
