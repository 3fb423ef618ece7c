//! What is merged and what is rejected leaves a trace; what a resolver is to settle is asked first.

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::id::ReplicaId;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};
use tombolo_core::wire::graphql::{ErrorType, Request};
use tombolo_core::wire::trace::Trace;

use super::{Place, World, block_on, envelope, one, plain, submission, todo};
use crate::decide::ask::{Action, Question, Resolution};
use crate::service::{Engine, Settings};
use crate::store::{Store, Submission, TracePage, TraceRequest, Verdict};

impl<S: Store> World<S> {
    fn trace_page(&self, request: TraceRequest) -> TracePage {
        block_on(self.store.traces(request)).unwrap()
    }

    /// All traces, the oldest first.
    fn traces(&self) -> Vec<Trace> {
        let all = TraceRequest {
            limit: 1_000,
            ..TraceRequest::default()
        };
        let mut traces: Vec<Trace> = self.trace_page(all).traces.into_iter().map(|kept| kept.trace).collect();
        traces.reverse();
        traces
    }

    /// A `Todo` at version 2, whose title somebody has changed.
    fn changed_todo(&self) {
        self.plain(self.create("Todo", todo("a", "one")));
        self.plain(self.update("Todo", json!({ "id": "a", "title": "two" })));
    }

    /// The update of an older `Asked`: a conflict for the resolver.
    fn asked(&self) -> Submission {
        self.plain(self.create("Asked", json!({ "id": "a", "text": "one", "note": "n" })));
        self.plain(self.update("Asked", json!({ "id": "a", "text": "two" })));
        let late = self.update("Asked", json!({ "id": "a", "text": "late", "_version": 1 }));
        let mut asked = submission(envelope("r", 1), vec![late]);
        asked.context.base = vec![json!({ "text": "one" }).as_object().cloned()];
        asked
    }

    fn answer(&self, mut asked: Submission, question: &Question, answer: Json) -> (Submission, Verdict) {
        let resolution = question.resolution(&self.schema, answer.to_string().as_bytes());
        asked.context.resolve(resolution);
        let verdict = self.write(vec![asked.clone()]).remove(0);
        (asked, verdict)
    }
}

fn late(world: &World<impl Store>, number: u64) -> Submission {
    let update = world.update("Todo", json!({ "id": "a", "title": "three", "_version": 1 }));
    submission(envelope("r", number), vec![update])
}

fn question(verdict: Verdict) -> Question {
    let mut questions = questions(verdict);
    assert_eq!(questions.len(), 1);
    questions.remove(0)
}

fn questions(verdict: Verdict) -> Vec<Question> {
    assert_eq!((verdict.results.len(), verdict.undecided), (0, None));
    verdict.ask
}

/// Law: a merge says which field was in conflict, which rule decided, and what was given up.
pub fn a_merge_leaves_a_trace_of_what_was_dropped(place: &impl Place) {
    let world = World::new(place);
    world.changed_todo();
    let mut late = late(&world, 7);
    late.context.base = vec![json!({ "title": "one" }).as_object().cloned()];
    late.context.identity = Some(Identity::ApiKey { name: "phones".into() });
    let result = one(world.write(vec![late]));
    assert_eq!(result.outcome, OutcomeKind::Merged);
    let traces = world.traces();
    assert_eq!(traces.len(), 1);
    let json = serde_json::to_value(&traces[0]).unwrap();
    assert_eq!(
        json,
        json!({
            "at": super::BEGIN_MS, "replica": "r", "number": 7, "author": "phones",
            "model": "Todo", "key": ["a"], "kind": "update", "outcome": "merged", "strategy": "AUTOMERGE",
            "fields": [{ "field": "title", "rule": "AUTOMERGE_SCALAR", "base": "one", "server": "two",
                         "incoming": "three", "result": "two" }],
            "payload": { "kind": "update", "values": { "id": "a", "title": "three" }, "baseVersion": 1 },
            "position": 3,
        })
    );
    // The sender is told the same.
    assert_eq!(result.trace.as_deref(), Some(&traces[0]));
}

/// Law: a rejection keeps what was sent, so that nobody's work is lost.
pub fn a_rejection_keeps_what_was_sent(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Strict", json!({ "id": "s", "text": "one" })));
    world.plain(world.update("Strict", json!({ "id": "s", "text": "two" })));
    let stale = world.update("Strict", json!({ "id": "s", "text": "mine", "_version": 1 }));
    world.send(envelope("r", 1), stale);
    // Without a conflict as well, and a plain client's.
    world.plain(world.create("Strict", json!({ "id": "s", "text": "again" })));
    let traces = world.traces();
    assert_eq!(traces.len(), 2);
    let conflict = &traces[0];
    assert_eq!(conflict.outcome, OutcomeKind::Rejected);
    assert_eq!(conflict.code, Some(ErrorType::ConflictUnhandled));
    assert_eq!(conflict.strategy.as_deref(), Some("OPTIMISTIC_CONCURRENCY"));
    assert_eq!(conflict.payload.values["text"], "mine");
    assert_eq!(conflict.position, None);
    assert_eq!(
        (conflict.fields[0].server.clone(), conflict.fields[0].result.clone()),
        (json!("two"), json!("two"))
    );
    let create = &traces[1];
    assert_eq!((&create.replica, &create.number), (&None, &None));
    assert_eq!(create.code, Some(ErrorType::ConditionalCheckFailedException));
    assert_eq!(create.payload.values["text"], "again");
    assert_eq!(create.fields, []);
}

/// Law: what was applied as it was sent leaves none.
pub fn what_was_simply_applied_leaves_no_trace(place: &impl Place) {
    let world = World::new(place);
    world.changed_todo();
    let note = world.update("Todo", json!({ "id": "a", "note": "n", "_version": 1 }));
    world.send(envelope("r", 1), note);
    assert_eq!(world.traces(), []);
}

/// Law: a mutation that comes again is told what it was told before, and leaves nothing more.
pub fn a_resend_is_told_the_same_trace(place: &impl Place) {
    let world = World::new(place);
    world.changed_todo();
    let first = one(world.write(vec![late(&world, 1)]));
    let world = match world.reopen(place) {
        Some(world) => world,
        None => return,
    };
    let again = one(world.write(vec![late(&world, 1)]));
    assert!(first.trace.is_some());
    assert_eq!(first.trace, again.trace);
    assert_eq!(world.traces().len(), 1);
}

/// Law: a request that cannot be read is kept whole, with the first of its mutations.
pub fn a_request_that_cannot_be_read_is_kept(place: &impl Place) {
    let world = World::new(place);
    let engine = Engine::new(world.schema.clone(), world.store, Settings::default());
    let request = Request {
        query: "mutation { a: createNope(input: {}) { id } b: createNope(input: {}) { id } }".into(),
        variables: json!({ "x": 1 }).as_object().cloned(),
        extensions: json!({ "tombolo": { "replica": "r", "number": 1, "atomic": true } })
            .as_object()
            .cloned(),
        ..Request::default()
    };
    let mine = Identity::ApiKey { name: "mine".into() };
    let prepared = engine.prepare(&mine, &request).unwrap();
    let submission = engine.submission(&prepared, Vec::new());
    block_on(engine.commit(vec![submission], super::BEGIN_MS)).unwrap();
    let kept = json!({ "query": request.query, "variables": { "x": 1 } });
    let shown = conflicts(&engine, &mine);
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (&shown[1]["number"], &shown[1]["payload"]["request"]),
        (&json!(1), &kept)
    );
    assert_eq!(shown[0]["payload"].get("request"), None);
    // Nobody else sees what could not be read: no rule says that they may.
    assert_eq!(
        conflicts(&engine, &Identity::ApiKey { name: "other".into() }),
        Vec::<Json>::new()
    );
}

/// Law: of a transaction that failed each mutation leaves a trace; none is left of what was taken back.
pub fn a_transaction_that_fails_leaves_what_was_sent(place: &impl Place) {
    let world = World::new(place);
    world.changed_todo();
    let atomic = |envelope: Option<MutationEnvelope>| Submission {
        envelope,
        atomic: true,
        ..submission(
            super::envelope("r", 1),
            vec![
                world.update("Todo", json!({ "id": "a", "title": "three", "_version": 1 })),
                world.create("Todo", todo("a", "again")),
            ],
        )
    };
    let numbered = MutationEnvelope {
        atomic: true,
        ..envelope("r", 1)
    };
    for envelope in [Some(numbered), None] {
        let before = world.traces().len();
        world.write(vec![atomic(envelope)]);
        let traces = world.traces().split_off(before);
        let told: Vec<_> = traces
            .iter()
            .map(|trace| {
                (
                    trace.outcome,
                    trace.payload.values["title"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let rejected = |title: &str| (OutcomeKind::Rejected, title.to_owned());
        assert_eq!(told, [rejected("three"), rejected("again")]);
        assert_eq!(traces[0].code, Some(ErrorType::DependencyRejected));
        assert_eq!(traces[1].code, Some(ErrorType::ConditionalCheckFailedException));
    }
}

/// Law: pages of what was asked for follow one another without gaps, the newest first.
pub fn traces_are_read_in_pages(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    for number in 1..=5 {
        let replica = if number % 2 == 0 { "even" } else { "odd" };
        world.send(envelope(replica, number), world.create("Todo", todo("a", "again")));
    }
    world.send(envelope("odd", 6), world.create("Strict", json!({ "id": "s" })));
    world.send(envelope("odd", 7), world.create("Strict", json!({ "id": "s" })));
    let numbers = |mut request: TraceRequest| {
        let (mut numbers, mut pages) = (Vec::new(), 0);
        loop {
            let page = world.trace_page(request.clone());
            assert!(page.traces.len() <= request.limit);
            numbers.extend(page.traces.iter().map(|kept| kept.trace.number.unwrap().0));
            pages += 1;
            match page.next {
                Some(next) => request.before = Some(next),
                None => return (numbers, pages),
            }
        }
    };
    let all = TraceRequest {
        limit: 2,
        ..TraceRequest::default()
    };
    assert_eq!(numbers(all.clone()), (vec![7, 5, 4, 3, 2, 1], 3));
    let odd = TraceRequest {
        replica: Some(ReplicaId("odd".into())),
        ..all.clone()
    };
    assert_eq!(numbers(odd), (vec![7, 5, 3, 1], 2));
    let strict = TraceRequest {
        model: Some("Strict".into()),
        ..all.clone()
    };
    assert_eq!(numbers(strict).0, [7]);
    let merged = TraceRequest {
        outcome: Some(OutcomeKind::Merged),
        ..all
    };
    assert_eq!(numbers(merged).0, Vec::<u64>::new());
}

/// Law: a conflict for the resolver decides nothing and writes nothing; others of the batch are decided.
pub fn a_question_writes_nothing(place: &impl Place) {
    let world = World::new(place);
    let asked = world.asked();
    let head = world.head();
    let mut verdicts = world.write(vec![asked, plain(world.create("Todo", todo("other", "t")))]);
    assert_eq!(verdicts.pop().unwrap().results[0].outcome, OutcomeKind::Applied);
    let question = question(verdicts.remove(0));
    assert_eq!(world.head(), head + 1);
    assert_eq!(world.traces(), []);
    let json = question.to_json(&world.schema);
    assert_eq!(json["server"]["text"], "two");
    assert_eq!(json["server"]["_version"], 2);
    assert_eq!(
        (&json["model"], &json["key"], &json["kind"]),
        (&json!("Asked"), &json!(["a"]), &json!("update"))
    );
    assert_eq!(json["base"], json!({ "text": "one" }));
    assert_eq!(json["incoming"], json!({ "id": "a", "text": "late" }));
    assert_eq!(json["conflicts"], json!(["text"]));
}

/// Law: what the resolver answers is written, and told as its doing; a resend is not asked again.
pub fn an_answer_is_written(place: &impl Place) {
    let world = World::new(place);
    let asked = world.asked();
    let question = question(world.write(vec![asked.clone()]).remove(0));
    let item = json!({ "action": "resolve", "item": { "id": "a", "text": "both", "_version": 9 } });
    let (asked, verdict) = world.answer(asked, &question, item);
    let result = one(vec![verdict]);
    assert_eq!(result.outcome, OutcomeKind::Merged);
    let text = world.definition("Asked").field("text").unwrap();
    let record = result.record.unwrap();
    assert_eq!(
        (record.value(text).to_json(), record.meta.version.0),
        (json!("both"), 3)
    );
    let trace = world.traces().remove(0);
    assert_eq!(trace.strategy.as_deref(), Some("CUSTOM"));
    let field = serde_json::to_value(&trace.fields[0]).unwrap();
    let told = json!({ "field": "text", "rule": "CUSTOM", "base": "one", "server": "two", "incoming": "late", "result": "both" });
    assert_eq!(field, told);
    // Without an answer in it: the outcome is kept.
    let again = Submission {
        context: crate::decide::ask::Context::default(),
        ..asked
    };
    assert_eq!(one(world.write(vec![again])).outcome, OutcomeKind::Merged);
}

/// Law: a transaction asks about all records that are in conflict at once, and of one record about one mutation after the
/// other; answers to some of them count as soon as there are all; one that fails anyway asks nobody.
pub fn a_transaction_asks_about_all_its_records_at_once(place: &impl Place) {
    let world = World::new(place);
    for id in ["a", "b", "c"] {
        world.plain(world.create("Asked", json!({ "id": id, "text": "one" })));
        world.plain(world.update("Asked", json!({ "id": id, "text": "two" })));
    }
    let late = |id: &str, text: &str| world.update("Asked", json!({ "id": id, "text": text, "_version": 1 }));
    let request = |number: u64, last: &str| {
        let mut envelope = envelope("r", number);
        envelope.atomic = true;
        let mutations = [late("a", "1"), late("b", "2"), late("a", "3"), late(last, "4")];
        submission(envelope, mutations.into())
    };
    let places = |questions: &[Question]| questions.iter().map(|question| question.place).collect::<Vec<_>>();
    let answer = |question: &Question| {
        let item = json!({ "action": "resolve", "item": { "text": format!("of {}", question.place) } });
        question.resolution(&world.schema, item.to_string().as_bytes())
    };
    let doomed = world.write(vec![request(1, "nowhere")]).remove(0);
    assert_eq!(
        (doomed.ask.len(), doomed.results.len()),
        (0, 4),
        "it is rejected, whatever anybody says"
    );

    let mut request = request(11, "c");
    let first = questions(world.write(vec![request.clone()]).remove(0));
    assert_eq!(places(&first), [0, 1, 3]);
    // Two of three are answered, and somebody changes a record meanwhile.
    first[..2]
        .iter()
        .for_each(|question| request.context.resolve(answer(question)));
    world.plain(world.update("Asked", json!({ "id": "b", "text": "five" })));
    let second = questions(world.write(vec![request.clone()]).remove(0));
    assert_eq!(
        places(&second),
        [1, 2, 3],
        "what is answered stays answered, and lets the next of its record be seen"
    );
    second
        .iter()
        .for_each(|question| request.context.resolve(answer(question)));
    let head = world.head();
    let verdict = world.write(vec![request]).remove(0);
    assert_eq!(verdict.results.len(), 4);
    assert!(
        verdict
            .results
            .iter()
            .all(|result| result.outcome == OutcomeKind::Merged)
    );
    assert_eq!(world.head(), head + 4);

    // A plain request of several roots asks in the same way.
    let plain = Submission {
        envelope: None,
        ..submission(envelope("r", 99), vec![late("a", "x"), late("b", "x")])
    };
    assert_eq!(places(&questions(world.write(vec![plain]).remove(0))), [0, 1]);
}

/// Law: an answer that was given for an older version of the record is not used: the question comes again.
pub fn an_answer_for_an_older_version_asks_again(place: &impl Place) {
    let world = World::new(place);
    let asked = world.asked();
    let first = question(world.write(vec![asked.clone()]).remove(0));
    world.plain(world.update("Asked", json!({ "id": "a", "text": "three" })));
    let item = json!({ "action": "resolve", "item": { "text": "both" } });
    let (asked, verdict) = world.answer(asked, &first, item.clone());
    let second = question(verdict);
    assert_eq!(second.to_json(&world.schema)["server"]["text"], "three");
    let (_, verdict) = world.answer(asked, &second, item);
    assert_eq!(one(vec![verdict]).outcome, OutcomeKind::Merged);
}

/// Law: a resolver may reject, may delete, and may speak nonsense, which rejects; what was sent is kept each time.
pub fn a_resolver_may_reject_and_remove(place: &impl Place) {
    for (answer, outcome, code) in [
        (
            json!({ "action": "reject", "message": "no" }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictUnhandled),
        ),
        (json!({ "action": "REMOVE" }), OutcomeKind::Merged, None),
        (
            json!({ "action": "dance" }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictError),
        ),
        (
            json!({ "action": "resolve" }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictError),
        ),
        (
            json!({ "action": "resolve", "item": { "text": 3 } }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictError),
        ),
        (
            json!({ "action": "resolve", "item": { "nope": 3 } }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictError),
        ),
        (
            json!({ "action": "resolve", "item": { "id": "b" } }),
            OutcomeKind::Rejected,
            Some(ErrorType::ConflictError),
        ),
        (json!(null), OutcomeKind::Rejected, Some(ErrorType::ConflictError)),
    ] {
        let world = World::new(place);
        let asked = world.asked();
        let question = question(world.write(vec![asked.clone()]).remove(0));
        let (_, verdict) = world.answer(asked, &question, answer.clone());
        let result = one(vec![verdict]);
        assert_eq!(result.outcome, outcome, "{answer}");
        assert_eq!(result.reason.map(|reason| reason.code), code, "{answer}");
        let record = result.record.unwrap();
        assert_eq!(record.meta.deleted, outcome == OutcomeKind::Merged, "{answer}");
        let trace = world.traces().remove(0);
        assert_eq!(trace.payload.values["text"], "late");
        assert_eq!(trace.fields[0].result, json!("two"));
    }
}

/// Law: a deletion of what has been edited since is a question too; the resolver may keep the record.
pub fn a_deletion_is_asked_about(place: &impl Place) {
    let world = World::new(place);
    world.asked();
    let delete = world.delete("Asked", json!({ "id": "a", "_version": 1 }));
    let asked = submission(envelope("r", 2), vec![delete]);
    let question = question(world.write(vec![asked.clone()]).remove(0));
    assert_eq!(question.to_json(&world.schema)["kind"], "delete");
    let item = json!({ "action": "resolve", "item": { "note": "kept" } });
    let (_, verdict) = world.answer(asked, &question, item);
    let record = one(vec![verdict]).record.unwrap();
    assert!(!record.meta.deleted);
    let note = world.definition("Asked").field("note").unwrap();
    assert_eq!(record.value(note).to_json(), "kept");
}

/// Law: a question inside a transaction takes the whole of it back; with an answer all of it is applied.
pub fn a_transaction_waits_for_its_answers(place: &impl Place) {
    let numbered = MutationEnvelope {
        atomic: true,
        ..envelope("r", 1)
    };
    for envelope in [None, Some(numbered)] {
        let world = World::new(place);
        let asked = world.asked();
        let head = world.head();
        let mut both = Submission {
            envelope,
            atomic: true,
            mutations: vec![world.create("Todo", todo("t", "first")), asked.mutations[0].clone()],
            ..asked
        };
        let question = question(world.write(vec![both.clone()]).remove(0));
        assert_eq!((question.place, world.head()), (1, head));
        both.context.resolve(Resolution {
            place: 1,
            on_version: question.stored.meta.version,
            action: Action::Remove,
        });
        let verdict = world.write(vec![both]).remove(0);
        assert_eq!(verdict.results[0].outcome, OutcomeKind::Applied);
        assert_eq!(verdict.results[1].outcome, OutcomeKind::Merged);
        assert_eq!(world.head(), head + 2);
    }
}

fn conflicts<S: Store>(engine: &Engine<S>, identity: &Identity) -> Vec<Json> {
    let query = "{ tomboloConflicts { items { id number model code fields { field incoming } payload } nextToken } }";
    let request = Request {
        query: query.into(),
        ..Request::default()
    };
    let prepared = engine.prepare(identity, &request).unwrap();
    let bytes = block_on(engine.query(&prepared)).unwrap().into_bytes(None);
    let answer: Json = serde_json::from_slice(&bytes).unwrap();
    let page = &answer["data"]["tomboloConflicts"];
    assert_eq!(page["nextToken"], Json::Null);
    page["items"].as_array().unwrap().clone()
}

/// Law: nobody sees in a trace a field or a model that their rules refuse; neither in the query nor with an outcome.
pub fn a_trace_shows_only_what_may_be_read(place: &impl Place) {
    let world = World::new(place);
    for number in [1, 2] {
        let guarded = world.create("Guarded", json!({ "id": "g", "text": "t", "secret": "s" }));
        world.send(envelope("r", number), guarded);
        world.send(envelope("c", number), world.create("Closed", json!({ "id": "c" })));
    }
    let engine = Engine::new(world.schema.clone(), world.store, Settings::default());
    let key = Identity::ApiKey { name: "app".into() };
    let seen = conflicts(&engine, &key);
    assert_eq!(seen.len(), 1, "nothing of the closed model: {seen:?}");
    assert_eq!(seen[0]["payload"]["values"], json!({ "id": "g", "text": "t" }));
    assert_eq!(conflicts(&engine, &Identity::Local).len(), 2);
    // Neither is it told to whoever sends under the number of somebody else's mutation.
    let request = Request {
        query: "mutation { createGuarded(input: {id: \"g\", text: \"t\"}) { id } }".into(),
        extensions: json!({ "tombolo": { "replica": "r", "number": 2 } })
            .as_object()
            .cloned(),
        ..Request::default()
    };
    let prepared = engine.prepare(&key, &request).unwrap();
    let submission = engine.submission(&prepared, Vec::new());
    let verdicts = block_on(engine.commit(vec![submission], super::BEGIN_MS)).unwrap();
    let answer = block_on(engine.respond(&prepared, &verdicts[0])).unwrap();
    assert!(!String::from_utf8(answer).unwrap().contains("secret"));
}
