//! One replica on a file in a temporary folder, with a clock that only the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json, value::RawValue};
use tempfile::TempDir;
use tombolo_core::id::{ModelId, MutationNumber, ReplicaId};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{Model, MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{
    Effect, Ended, FeedNumber, Input, Machine, NewMutation, Now, OutboxEntry, Outgoing, ScopeCursor, Settings,
    StepError, StoreTx,
};
use tombolo_store::{Options, Store};

pub(crate) const SDL: &str = r#"
    type Todo @model {
      id: ID!
      title: String
      done: Boolean
      rank: Int
      share: Float
      tags: [String]
      likes: Int @merge(rule: COUNTER)
      labels: [String] @merge(rule: SET)
      best: Int @merge(rule: MAX)
      comments: [Comment] @hasMany(indexName: "byTodo", fields: ["id"])
    }
    type Comment @model {
      id: ID!
      todoId: ID! @index(name: "byTodo", sortKeyFields: ["text"])
      text: String
    }
    type Memo @model(conflict: CUSTOM) {
      id: ID!
      body: String
      note: String
    }
"#;

pub(crate) fn schema(sdl: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(sdl, "test.graphql").unwrap())
}

pub(crate) fn options() -> Options {
    Options::new(ReplicaId("11111111-1111-4111-8111-111111111111".into()))
}

pub(crate) struct World {
    pub dir: TempDir,
    pub schema: Arc<Schema>,
    pub settings: Settings,
    pub store: Option<Store>,
    pub machine: Machine,
    pub now: Duration,
    /// Of the newest step.
    pub effects: Vec<Effect>,
    /// Mutations sent since it was last looked at.
    pub sent: Vec<MutationNumber>,
    pub feed: FeedNumber,
    /// The scopes of the newest subscription or page asked for.
    pub asked: Vec<ScopeCursor>,
    /// The rows of the newest page asked for.
    pub rows: u64,
    /// In whose name the newest subscription, or page, was asked for.
    pub replica: ReplicaId,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let schema = schema(SDL);
        let machine = Machine::new(schema.clone(), settings.clone());
        let mut world = Self {
            dir,
            schema,
            settings,
            store: None,
            machine,
            now: Duration::ZERO,
            effects: Vec::new(),
            sent: Vec::new(),
            feed: FeedNumber(0),
            asked: Vec::new(),
            rows: 0,
            replica: options().fresh_replica,
        };
        world.restart();
        world
    }

    /// As after a kill of the process: nothing is left but the file.
    pub(crate) fn restart(&mut self) {
        self.store = None;
        self.store = Some(Store::open(&self.dir.path().join("replica.db"), self.schema.clone(), options()).unwrap());
        self.machine = Machine::new(self.schema.clone(), self.settings.clone());
        self.step(Input::Start).unwrap();
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: self.now,
            wall_ms: 1_700_000_000_000 + self.now.as_millis() as i64,
        }
    }

    pub(crate) fn step(&mut self, input: Input) -> Result<(), StepError> {
        let now = self.now();
        let durable = self.machine.durable(&input);
        let mut tx = self.store.as_mut().unwrap().begin(durable)?;
        let step = self.machine.step(&mut tx, input, now)?;
        tx.commit()?;
        self.effects = self.machine.install(step);
        for effect in &self.effects {
            match effect {
                Effect::Send(Outgoing::Mutation { number, .. }) => self.sent.push(*number),
                Effect::Send(Outgoing::Subscribe { feed, scopes, replica }) => {
                    (self.feed, self.asked) = (*feed, scopes.clone());
                    self.replica = replica.clone();
                }
                Effect::Send(Outgoing::FetchPage {
                    feed,
                    scope,
                    replica,
                    rows,
                }) => {
                    (self.feed, self.asked) = (*feed, vec![scope.clone()]);
                    (self.rows, self.replica) = (*rows, replica.clone());
                }
                _ => {}
            }
        }
        self.check_bounds();
        Ok(())
    }

    /// A kill between the writes of a step and its commit.
    pub(crate) fn step_and_die(&mut self, input: Input) {
        let now = self.now();
        {
            let mut tx = self.store.as_mut().unwrap().begin(true).unwrap();
            let _lost = self.machine.step(&mut tx, input, now).unwrap();
        }
        self.restart();
    }

    pub(crate) fn tx<T>(&mut self, read: impl FnOnce(&mut dyn StoreTx) -> T) -> T {
        let mut tx = self.store.as_mut().unwrap().begin(false).unwrap();
        read(&mut tx)
    }

    pub(crate) fn outbox(&mut self) -> Vec<OutboxEntry> {
        self.store
            .as_mut()
            .unwrap()
            .begin(false)
            .unwrap()
            .outbox(0, 10_000)
            .unwrap()
    }

    pub(crate) fn ended(&mut self) -> Vec<Ended> {
        self.tx(|tx| {
            let last = tx.last_number().unwrap();
            (1..=last)
                .filter_map(|n| tx.ended(MutationNumber(n)).unwrap())
                .collect()
        })
    }

    pub(crate) fn model(&self, name: &str) -> (ModelId, Model) {
        let at = self.schema.models.iter().position(|m| m.name == name).unwrap();
        (ModelId(at), self.schema.models[at].clone())
    }

    pub(crate) fn row(&mut self, model: &str, id: &str) -> Option<Record> {
        let (model, _) = self.model(model);
        self.tx(|tx| tx.view(model, &Key(vec![Value::Text(id.into())])).unwrap())
    }

    pub(crate) fn mutation(
        &self,
        kind: MutationKind,
        model: &str,
        id: &str,
        set: &BTreeMap<String, Json>,
    ) -> NewMutation {
        let (at, shape) = self.model(model);
        let mut values = vec![(shape.key[0], Value::Text(id.into()))];
        for (name, value) in set {
            let field = shape.field(name).unwrap();
            values.push((field, shape.fields[field.0].ty.value_from_json(value)));
        }
        NewMutation {
            model: at,
            kind,
            values,
            operations: Vec::new(),
            base_version: None,
            read: None,
            condition: None,
            author: None,
        }
    }

    /// The counts that the machine keeps must be those of the file, always.
    fn check_bounds(&mut self) {
        let status = self.machine.status().clone();
        let counts = self.tx(|tx| tx.counts().unwrap());
        assert_eq!(status.pending, counts.pending());
        assert_eq!(
            (status.in_flight, status.wedged, status.rejected),
            (counts.in_flight, counts.wedged, counts.rejected)
        );
    }
}

/// A page: rows are (id, version, deleted, fields that are not null).
pub(crate) fn page(
    model: &Model,
    cursor: &str,
    up_to_date: bool,
    reset: bool,
    rows: &[(String, i64, bool, BTreeMap<String, Json>)],
    left: &[String],
) -> ChangeBatch {
    let mut fields: Vec<String> = model.fields.iter().map(|f| f.name.clone()).collect();
    fields.extend(["_version", "_deleted", "_lastChangedAt"].map(String::from));
    let rows: Vec<Json> = rows
        .iter()
        .map(|(id, version, deleted, set)| {
            let mut row: Vec<Json> = model
                .fields
                .iter()
                .map(|f| {
                    if f.name == "id" {
                        json!(id)
                    } else {
                        set.get(&f.name).cloned().unwrap_or(Json::Null)
                    }
                })
                .collect();
            row.extend([
                json!(version),
                if *deleted { json!(true) } else { Json::Null },
                json!(1_700_000_000_000_i64),
            ]);
            Json::Array(row)
        })
        .collect();
    ChangeBatch {
        model: model.name.clone(),
        cursor: cursor.into(),
        up_to_date,
        reset,
        fields,
        rows: RawValue::from_string(json!(rows).to_string()).unwrap(),
        left: left.iter().map(|id| vec![json!(id)]).collect(),
        landed: None,
    }
}
