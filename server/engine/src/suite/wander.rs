//! Records wander between owners, users between groups, phones between being live and away: what a phone has been given is what
//! its user may read, after every catch-up. Seeded; a model holds the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::access::{AuthMode, Identity, User};
use tombolo_core::schema::Schema;

use super::sessions::request;
use super::{BEGIN_MS, Place, block_on};
use crate::service::{Engine, Settings};
use crate::store::Store;
use crate::subscribe::Subscriber;

const SDL: &str = r#"
type Note @model(conflict: LAST_WRITER_WINS)
  @auth(rules: [
    { allow: owner }
    { allow: groups, groupsField: "team", operations: [read] }
    { allow: private, provider: iam }
  ]) {
  id: ID!
  owner: String
  team: String
  text: String
  hint: String @auth(rules: [{ allow: owner, ownerField: "keeper" }, { allow: private, provider: iam }])
  keeper: String
}
"#;

const FEED: &str = "subscription ($scopes: [TomboloScopeInput!]!) { tomboloChanges(scopes: $scopes) \
                    { model cursor upToDate reset fields rows left } }";
const USERS: [&str; 3] = ["ann", "bob", "cyd"];
const TEAMS: [&str; 2] = ["red", "blue"];
const IDS: u64 = 12;
const STEPS: usize = 300;

/// SplitMix64: the same on every machine, and no dependency.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// The operator, who moves records about.
fn operator() -> Identity {
    Identity::Iam(Arc::new(tombolo_core::access::IamCaller {
        name: "operator".into(),
        role: tombolo_core::access::IamRole::Authenticated,
        allow: BTreeSet::from(["*".to_owned()]),
    }))
}

#[derive(Clone, Default)]
struct Truth {
    owner: Option<String>,
    team: Option<String>,
    text: String,
    hint: String,
    keeper: Option<String>,
    deleted: bool,
}

/// A phone: what the feed gave it.
struct Phone {
    user: &'static str,
    groups: BTreeSet<&'static str>,
    /// By id: text, hint, deleted.
    held: BTreeMap<String, (String, Json, bool)>,
    /// What a base sync under way has brought.
    brought: Option<BTreeSet<String>>,
    cursor: Option<String>,
    session: Option<Subscriber>,
}

impl Phone {
    fn identity(&self) -> Identity {
        let groups: Vec<&str> = self.groups.iter().copied().collect();
        let claims = json!({ "sub": format!("s-{}", self.user), "username": self.user, "cognito:groups": groups });
        Identity::User(Arc::new(User {
            mode: AuthMode::UserPools,
            claims: claims.as_object().cloned().unwrap(),
        }))
    }

    /// What it is to hold.
    fn wanted(&self, notes: &BTreeMap<String, Truth>) -> BTreeMap<String, (String, Json, bool)> {
        let mine = format!("s-{user}::{user}", user = self.user);
        let may = |note: &&Truth| {
            let team = |team: &String| self.groups.contains(team.as_str());
            note.owner.as_ref() == Some(&mine) || note.team.as_ref().is_some_and(team)
        };
        let shown = |(id, note): (&String, &Truth)| {
            let keeps = note.keeper.as_ref() == Some(&mine);
            let hint = if keeps { json!(note.hint) } else { Json::Null };
            (id.clone(), (note.text.clone(), hint, note.deleted))
        };
        notes.iter().filter(|(_, note)| may(note)).map(shown).collect()
    }

    fn take(&mut self, batch: &Json) {
        let place = |name: &str| {
            let fields = batch["fields"].as_array().unwrap();
            fields.iter().position(|field| *field == json!(name)).unwrap()
        };
        if batch["reset"] == json!(true) {
            self.brought = Some(BTreeSet::new());
        }
        for row in batch["rows"].as_array().unwrap() {
            let id = row[place("id")].as_str().unwrap().to_owned();
            let text = row[place("text")].as_str().unwrap().to_owned();
            let deleted = row[place("_deleted")] == json!(true);
            if let Some(brought) = &mut self.brought {
                brought.insert(id.clone());
            }
            self.held.insert(id, (text, row[place("hint")].clone(), deleted));
        }
        for key in batch["left"].as_array().unwrap() {
            self.held.remove(key[0].as_str().unwrap());
        }
        self.cursor = Some(batch["cursor"].as_str().unwrap().to_owned());
        if batch["upToDate"] == json!(true)
            && let Some(brought) = self.brought.take()
        {
            self.held.retain(|id, _| brought.contains(id));
        }
    }
}

struct World<S> {
    engine: Engine<S>,
    notes: BTreeMap<String, Truth>,
    phones: Vec<Phone>,
    dice: Dice,
}

impl<S: Store> World<S> {
    fn mutate(&self, document: &str, input: Json) {
        let prepared = self
            .engine
            .prepare(&operator(), &request(document, json!({ "input": input }), Json::Null));
        let prepared = prepared.unwrap();
        let answer = block_on(async {
            let submission = self.engine.submission(&prepared, vec!["fresh".into()]);
            let verdicts = self.engine.commit(vec![submission], BEGIN_MS).await.unwrap();
            self.engine.respond(&prepared, &verdicts[0]).await.unwrap()
        });
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["errors"], Json::Null, "{answer}");
    }

    /// A record is made, moved, changed or deleted.
    fn step(&mut self, at: usize) {
        let id = self.dice.below(IDS).to_string();
        let owner = |dice: &mut Dice| match dice.below(4) {
            0 => None,
            _ => Some(dice.of(&USERS)).map(|user| format!("s-{user}::{user}")),
        };
        let team = |dice: &mut Dice| (dice.below(3) > 0).then(|| dice.of(&TEAMS).to_owned());
        match self.notes.get(&id).cloned() {
            None => {
                let note = Truth {
                    owner: owner(&mut self.dice),
                    team: team(&mut self.dice),
                    text: format!("t{at}"),
                    hint: format!("h{at}"),
                    keeper: owner(&mut self.dice),
                    deleted: false,
                };
                let input = json!({
                    "id": id, "owner": note.owner, "team": note.team, "text": note.text, "hint": note.hint, "keeper": note.keeper
                });
                self.mutate(
                    "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id } }",
                    input,
                );
                self.notes.insert(id, note);
            }
            Some(note) if note.deleted => {}
            Some(mut note) => {
                let mut input = json!({ "id": id });
                match self.dice.below(8) {
                    0 => {
                        self.mutate(
                            "mutation ($input: DeleteNoteInput!) { deleteNote(input: $input) { id } }",
                            input,
                        );
                        note.deleted = true;
                        self.notes.insert(id, note);
                        return;
                    }
                    1 | 2 => note.owner = owner(&mut self.dice),
                    3 | 4 => note.team = team(&mut self.dice),
                    5 => note.keeper = owner(&mut self.dice),
                    _ => note.text = format!("t{at}"),
                }
                let given = json!({ "owner": note.owner, "team": note.team, "text": note.text, "keeper": note.keeper });
                input
                    .as_object_mut()
                    .unwrap()
                    .extend(given.as_object().unwrap().clone());
                self.mutate(
                    "mutation ($input: UpdateNoteInput!) { updateNote(input: $input) { id } }",
                    input,
                );
                self.notes.insert(id, note);
            }
        }
    }

    /// A phone is told everything there is to tell, and is looked at.
    fn drain(&mut self, at: usize) {
        let phone = &mut self.phones[at];
        if phone.session.is_none() {
            let scope = json!({ "model": "Note", "cursor": phone.cursor });
            let asked = request(FEED, json!({ "scopes": [scope] }), Json::Null);
            let prepared = self.engine.prepare(&phone.identity(), &asked).unwrap();
            phone.session = Some(self.engine.subscribe(&prepared).unwrap());
        }
        let mut session = phone.session.take().unwrap();
        while let Some(bytes) = block_on(self.engine.next(&mut session)).unwrap() {
            let answer: Json = serde_json::from_slice(&bytes).unwrap();
            phone.take(&answer["data"]["tomboloChanges"]);
        }
        phone.session = Some(session);
        // A tombstone that it never held alive shows nothing either way.
        let living = |held: BTreeMap<String, (String, Json, bool)>| -> BTreeMap<String, (String, Json, bool)> {
            held.into_iter().filter(|(_, (.., deleted))| !deleted).collect()
        };
        assert_eq!(
            living(phone.held.clone()),
            living(phone.wanted(&self.notes)),
            "{} after all",
            phone.user
        );
    }
}

/// Law: after every catch-up, by ring, by store, by pages, from a cursor or from nothing, a phone holds what its user may read, as
/// the rules are then, and of each record the fields that are the user's.
pub fn a_phone_holds_what_its_user_may_read(place: &impl Place) {
    for seed in 0..12 {
        let schema = Arc::new(Schema::parse(SDL, "wander.graphql").unwrap());
        let settings = Settings {
            feed_rows_live: 2,
            ring_changes_max: 6,
            ..Settings::default()
        };
        let phone = |user| Phone {
            user,
            groups: BTreeSet::new(),
            held: BTreeMap::new(),
            brought: None,
            cursor: None,
            session: None,
        };
        let mut world = World {
            engine: Engine::new(Arc::clone(&schema), place.fresh(&schema), settings),
            notes: BTreeMap::new(),
            phones: USERS.into_iter().chain(["ann"]).map(phone).collect(),
            dice: Dice(seed),
        };
        for at in 0..STEPS {
            match world.dice.below(10) {
                0..=5 => world.step(at),
                6 | 7 => {
                    let phone = usize::try_from(world.dice.below(4)).unwrap();
                    world.drain(phone);
                }
                8 => {
                    let phone = usize::try_from(world.dice.below(4)).unwrap();
                    world.phones[phone].session = None;
                }
                _ => {
                    // A fresh token with other groups comes with a new session.
                    let phone = usize::try_from(world.dice.below(4)).unwrap();
                    let team = world.dice.of(&TEAMS);
                    let phone = &mut world.phones[phone];
                    phone.session = None;
                    if !phone.groups.remove(team) {
                        phone.groups.insert(team);
                    }
                }
            }
        }
        (0..4).for_each(|phone| world.drain(phone));
    }
}
