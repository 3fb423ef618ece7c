//! `@auth` rules for signed-in users: the predicate that they come to, in SQL and in memory, against a naive reading of the
//! rules that was written apart. Random rules, callers and rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value as Json, json};
use tombolo_core::access::{Access, AuthMode, FunctionCaller, IamCaller, IamRole, Identity, User};
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::query::Side;
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{AuthOperation, Schema};

use crate::support::Db;

/// Whom a rule lets in, as SDL and as the naive reader knows it.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Public,
    PublicIam,
    Private,
    PrivateOidc,
    PrivateIam,
    Owner,
    OwnerOidc,
    Editors,
    Email,
    Static,
    Team,
    Teams,
    Custom,
}

const RULES: [Rule; 13] = [
    Rule::Public,
    Rule::PublicIam,
    Rule::Private,
    Rule::PrivateOidc,
    Rule::PrivateIam,
    Rule::Owner,
    Rule::OwnerOidc,
    Rule::Editors,
    Rule::Email,
    Rule::Static,
    Rule::Team,
    Rule::Teams,
    Rule::Custom,
];

impl Rule {
    fn sdl(self) -> &'static str {
        match self {
            Self::Public => "allow: public",
            Self::PublicIam => "allow: public, provider: iam",
            Self::Private => "allow: private",
            Self::PrivateOidc => "allow: private, provider: oidc",
            Self::PrivateIam => "allow: private, provider: iam",
            Self::Owner => "allow: owner",
            Self::OwnerOidc => "allow: owner, provider: oidc",
            Self::Editors => "allow: owner, ownerField: \"editors\"",
            Self::Email => "allow: owner, ownerField: \"email\", identityClaim: \"email\"",
            Self::Static => "allow: groups, groups: [\"Admins\", \"Staff\"]",
            Self::Team => "allow: groups, groupsField: \"team\"",
            Self::Teams => "allow: groups, groupsField: \"teams\", groupClaim: \"teams\"",
            Self::Custom => "allow: custom",
        }
    }

    /// Whether it lets `caller` have `row`.
    fn lets(self, caller: Caller, row: &Row) -> bool {
        let owner = |known: &str| ["s1::n1", "s1", "n1"].contains(&known);
        let n1 = matches!(caller, Caller::N1 | Caller::N1Oidc);
        match self {
            Self::Public => caller == Caller::Key,
            Self::PublicIam => caller == Caller::Anyone,
            Self::Private => caller == Caller::N1 || caller == Caller::Nameless,
            Self::PrivateOidc => caller == Caller::N1Oidc,
            Self::PrivateIam => caller == Caller::SignedIn,
            Self::Owner => caller == Caller::N1 && row.owner.is_some_and(owner),
            Self::OwnerOidc => caller == Caller::N1Oidc && row.owner.is_some_and(owner),
            Self::Editors => caller == Caller::N1 && row.editors.iter().flatten().any(|one| owner(one)),
            Self::Email => caller == Caller::N1 && row.email == Some("n1@example.com"),
            Self::Static => caller == Caller::N1,
            Self::Team => caller == Caller::N1 && matches!(row.team, Some("Staff" | "Night")),
            Self::Teams => caller == Caller::N1 && row.teams.iter().flatten().any(|team| *team == "red"),
            Self::Custom => caller == Caller::Function && !n1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Key,
    /// `sub` s1, user name n1, of the groups Staff and Night, of the team red.
    N1,
    /// The same with another issuer's token.
    N1Oidc,
    /// A token without any claim that rules look at.
    Nameless,
    SignedIn,
    Anyone,
    Operator,
    Function,
}

const CALLERS: [Caller; 8] = [
    Caller::Key,
    Caller::N1,
    Caller::N1Oidc,
    Caller::Nameless,
    Caller::SignedIn,
    Caller::Anyone,
    Caller::Operator,
    Caller::Function,
];

impl Caller {
    fn identity(self) -> Identity {
        let user = |mode, claims: Json| {
            let claims = claims.as_object().cloned().unwrap();
            Identity::User(Arc::new(User { mode, claims }))
        };
        let n1 = json!({
            "sub": "s1", "username": "n1", "email": "n1@example.com", "cognito:groups": ["Staff", "Night"], "teams": "red"
        });
        let iam = |role| {
            Identity::Iam(Arc::new(IamCaller {
                name: "i".into(),
                role,
                allow: BTreeSet::from(["*".to_owned()]),
            }))
        };
        match self {
            Self::Key => Identity::ApiKey { name: "k".into() },
            Self::N1 => user(AuthMode::UserPools, n1),
            Self::N1Oidc => user(AuthMode::Oidc, n1),
            Self::Nameless => user(
                AuthMode::UserPools,
                json!({ "sub": "", "email": "", "cognito:groups": [""] }),
            ),
            Self::SignedIn => iam(IamRole::Authenticated),
            Self::Anyone => iam(IamRole::Unauthenticated),
            Self::Operator => iam(IamRole::Admin),
            Self::Function => Identity::Function(Arc::new(FunctionCaller {
                subject: "f".into(),
                denied_fields: BTreeSet::new(),
                context: Map::new(),
            })),
        }
    }
}

#[derive(Clone, Debug)]
struct Row {
    owner: Option<&'static str>,
    editors: Option<Vec<&'static str>>,
    email: Option<&'static str>,
    team: Option<&'static str>,
    teams: Option<Vec<&'static str>>,
}

const PEOPLE: [&str; 7] = ["s1::n1", "s1", "n1", "s2::n1", "s1::n2", "", "::"];

fn row() -> impl Strategy<Value = Row> {
    let teams = ["Staff", "Night", "red", "Admins", "", "Staff2"];
    (
        proptest::option::of(select(&PEOPLE[..])),
        proptest::option::of(subsequence(&PEOPLE[..], 0..4)),
        proptest::option::of(select(vec!["n1@example.com", "", "n2@example.com"])),
        proptest::option::of(select(teams.to_vec())),
        proptest::option::of(subsequence(teams.to_vec(), 0..4)),
    )
        .prop_map(|(owner, editors, email, team, teams)| Row {
            owner,
            editors,
            email,
            team,
            teams,
        })
}

const OPERATIONS: [(&str, AuthOperation); 7] = [
    ("create", AuthOperation::Create),
    ("update", AuthOperation::Update),
    ("delete", AuthOperation::Delete),
    ("get", AuthOperation::Get),
    ("list", AuthOperation::List),
    ("sync", AuthOperation::Sync),
    ("listen", AuthOperation::Listen),
];

type Ruled = (Rule, Vec<(&'static str, AuthOperation)>);

fn rules() -> impl Strategy<Value = Vec<Ruled>> {
    let one = (select(&RULES[..]), subsequence(&OPERATIONS[..], 1..=OPERATIONS.len()));
    proptest::collection::vec(one, 1..4)
}

fn schema(rules: &[Ruled]) -> Arc<Schema> {
    let rules: Vec<String> = rules
        .iter()
        .map(|(rule, operations)| {
            let operations: Vec<&str> = operations.iter().map(|(name, _)| *name).collect();
            format!("{{ {}, operations: [{}] }}", rule.sdl(), operations.join(", "))
        })
        .collect();
    let sdl = format!(
        "type Note @model @auth(rules: [{}]) {{ id: ID! owner: String editors: [String] email: String team: String \
         teams: [String] }}",
        rules.join(", ")
    );
    Arc::new(Schema::parse(&sdl, "s.graphql").unwrap_or_else(|errors| panic!("{sdl}\n{errors}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_rule_gives_the_same_rows_in_sql_in_memory_and_to_a_naive_reader(
        rules in rules(),
        caller in select(&CALLERS[..]),
        rows in proptest::collection::vec(row(), 1..12),
    ) {
        let schema = schema(&rules);
        let access = Access::of(&schema, &caller.identity());
        let mut db = Db::new(&schema);
        let records: Vec<Json> = rows
            .iter()
            .enumerate()
            .map(|(id, row)| json!({
                "id": format!("{id:02}"), "owner": row.owner, "editors": row.editors, "email": row.email,
                "team": row.team, "teams": row.teams,
            }))
            .collect();
        db.fill("Note", Json::from(records.clone()));
        let naive = |operation: AuthOperation| -> Vec<String> {
            let lets = |row: &Row| {
                let given = rules.iter().any(|(rule, operations)| {
                    operations.iter().any(|(_, op)| *op == operation) && rule.lets(caller, row)
                });
                given || caller == Caller::Operator
            };
            rows.iter().enumerate().filter(|(_, row)| lets(row)).map(|(id, _)| format!("{id:02}")).collect()
        };
        let model = &schema.models[0];
        for (_, operation) in OPERATIONS {
            let holds = |json: &&Json| {
                let value = |field: &tombolo_core::schema::Field| {
                    let json = json.get(&field.name).unwrap_or(&Json::Null);
                    field.ty.with_required(false).parse_json(&schema, json).unwrap()
                };
                let record = Record { values: model.fields.iter().map(value).collect(), meta: Meta::default() };
                access.grant(ModelId(0), operation).holds(model, &record)
            };
            let in_memory: Vec<String> =
                records.iter().filter(holds).map(|json| json["id"].as_str().unwrap().to_owned()).collect();
            prop_assert_eq!(&in_memory, &naive(operation), "{:?} in memory", operation);
        }
        // The fields of a record need one of the ways of reading; `id` is asked for alone.
        for (operation, text, root) in [
            (AuthOperation::List, "{ r: listNotes(limit: 100) { items { id } } }", "items"),
            (AuthOperation::Sync, "{ r: syncNotes(limit: 100) { items { id } } }", "items"),
        ] {
            let answer = db.ask_as(text, Json::Null, &access, Side::Server);
            let ids: Vec<String> = match &answer["data"]["r"][root] {
                Json::Array(items) => items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect(),
                _ => Vec::new(),
            };
            prop_assert_eq!(&ids, &naive(operation), "{:?} in SQL: {}", operation, answer);
        }
        for (id, _) in rows.iter().enumerate() {
            let id = format!("{id:02}");
            let answer = db.ask_as(&format!("{{ getNote(id: \"{id}\") {{ id }} }}"), Json::Null, &access, Side::Server);
            let seen = answer["data"]["getNote"]["id"] == json!(id);
            prop_assert_eq!(seen, naive(AuthOperation::Get).contains(&id), "get: {}", answer);
        }
        // Who made it is put down for those who are known by a name.
        let owners: Vec<FieldId> = access.owners(ModelId(0)).iter().map(|(field, _)| *field).collect();
        let user = matches!(caller, Caller::N1 | Caller::N1Oidc);
        prop_assert!(owners.is_empty() || user);
    }
}

const SDL: &str = r#"
type Team @model @auth(rules: [{ allow: owner }, { allow: groups, groups: ["Staff"], operations: [read] }]) {
  id: ID!
  name: String
  notes: [Note] @hasMany(indexName: "byTeam", fields: ["id"])
}
type Note @model @auth(rules: [{ allow: owner }, { allow: private, operations: [create] }]) {
  id: ID!
  teamID: ID @index(name: "byTeam", queryField: "notesByTeam")
  team: Team @belongsTo(fields: ["teamID"])
  text: String
  rank: Int
  secret: String @auth(rules: [{ allow: owner, ownerField: "keeper" }])
  keeper: String
}
"#;

fn user(name: &str, groups: &[&str]) -> Identity {
    let claims = json!({ "sub": format!("s-{name}"), "username": name, "cognito:groups": groups });
    Identity::User(Arc::new(User {
        mode: AuthMode::UserPools,
        claims: claims.as_object().cloned().unwrap(),
    }))
}

fn ask(identity: &Identity, text: &str) -> Json {
    let schema = Arc::new(Schema::parse(SDL, "s.graphql").unwrap());
    let mut db = Db::new(&schema);
    db.fill("Team", json!([{ "id": "t", "name": "T", "owner": "s-ann::ann" }]));
    db.fill(
        "Note",
        json!([
            { "id": "a", "teamID": "t", "text": "ann's", "rank": 1, "secret": "x", "keeper": "ann", "owner": "s-ann::ann" },
            { "id": "b", "teamID": "t", "text": "bob's", "rank": 2, "secret": "y", "keeper": "ann", "owner": "s-bob::bob" },
            { "id": "c", "teamID": "t", "text": "bob's", "rank": 3, "secret": "z", "keeper": "bob", "owner": "s-bob::bob" },
        ]),
    );
    let access = Access::of(&schema, identity);
    db.ask_as(text, Json::Null, &access, Side::Server)
}

#[test]
fn what_is_not_his_no_list_no_relation_and_no_key_gives() {
    let (ann, bob, staff) = (user("ann", &[]), user("bob", &[]), user("zoe", &["Staff"]));
    for (who, text, data) in [
        (
            &bob,
            "{ listNotes { items { id owner } } }",
            json!({ "listNotes": { "items": [{ "id": "b", "owner": "bob" }, { "id": "c", "owner": "bob" }] } }),
        ),
        (&bob, "{ getNote(id: \"a\") { id } }", json!({ "getNote": null })),
        (&bob, "{ getNote(id: \"none\") { id } }", json!({ "getNote": null })),
        (
            &bob,
            "{ notesByTeam(teamID: \"t\", filter: { rank: { lt: 2 } }) { items { id } nextToken } }",
            json!({ "notesByTeam": { "items": [], "nextToken": null } }),
        ),
        (
            &bob,
            "{ getNote(id: \"b\") { id team { id name } } }",
            json!({ "getNote": { "id": "b", "team": null } }),
        ),
        (
            &bob,
            "{ listTeams { items { id } } }",
            json!({ "listTeams": { "items": [] } }),
        ),
        (
            &bob,
            "{ syncNotes(limit: 1) { items { id } } }",
            json!({ "syncNotes": { "items": [{ "id": "b" }] } }),
        ),
        (
            &ann,
            "{ getTeam(id: \"t\") { notes { items { id } } } }",
            json!({ "getTeam": { "notes": { "items": [{ "id": "a" }] } } }),
        ),
        (
            &staff,
            "{ getTeam(id: \"t\") { owner notes { items { id } } } }",
            json!({ "getTeam": { "owner": "ann", "notes": { "items": [] } } }),
        ),
    ] {
        assert_eq!(ask(who, text)["data"], data, "{text}");
    }
}

#[test]
fn a_field_with_an_owner_of_its_own_is_shown_to_him_alone() {
    let bob = user("bob", &[]);
    let answer = ask(&bob, "{ listNotes { items { id secret } } }");
    assert_eq!(
        answer["data"]["listNotes"]["items"],
        json!([{ "id": "b", "secret": null }, { "id": "c", "secret": "z" }])
    );
    assert_eq!(
        answer["errors"].as_array().unwrap().len(),
        1,
        "of the row where it may not be seen alone: {answer}"
    );
    assert_eq!(answer["errors"][0]["path"], json!(["listNotes", "items", 0, "secret"]));
    assert_eq!(answer["errors"][0]["errorType"], "Unauthorized");
    // Nor can he ask about it.
    for text in [
        "{ listNotes(filter: { secret: { eq: \"y\" } }) { items { id } } }",
        "{ listNotes(sort: [{ field: secret }]) { items { id } } }",
        "{ listNotes(filter: { not: { secret: { eq: \"y\" } } }) { items { id } } }",
    ] {
        let answer = ask(&bob, text);
        assert_eq!(
            (&answer["data"]["listNotes"], &answer["errors"][0]["errorType"]),
            (&Json::Null, &json!("Unauthorized"))
        );
    }
}

#[test]
fn what_a_function_denies_and_what_a_policy_does_not_allow_is_refused() {
    let schema = Arc::new(
        Schema::parse(
            "type Note @model @auth(rules: [{ allow: custom }, { allow: private, provider: iam }]) { id: ID! text: String kept: String }",
            "s.graphql",
        )
        .unwrap(),
    );
    let mut db = Db::new(&schema);
    db.fill("Note", json!([{ "id": "a", "text": "t", "kept": "k" }]));
    let function = Identity::Function(Arc::new(FunctionCaller {
        subject: "f".into(),
        denied_fields: ["Note.kept", "Query.listNotes"].map(str::to_owned).into(),
        context: Map::new(),
    }));
    let caller = Identity::Iam(Arc::new(IamCaller {
        name: "i".into(),
        role: IamRole::Authenticated,
        allow: BTreeSet::from(["Query.getNote".to_owned()]),
    }));
    for (identity, text, data) in [
        (
            &function,
            "{ listNotes { items { id } } }",
            json!({ "listNotes": null }),
        ),
        (
            &function,
            "{ getNote(id: \"a\") { text kept } }",
            json!({ "getNote": { "text": "t", "kept": null } }),
        ),
        (&caller, "{ listNotes { items { id } } }", json!({ "listNotes": null })),
        (
            &caller,
            "{ getNote(id: \"a\") { text kept } }",
            json!({ "getNote": { "text": "t", "kept": "k" } }),
        ),
    ] {
        let answer = db.ask_as(text, Json::Null, &Access::of(&schema, identity), Side::Server);
        assert_eq!(answer["data"], data, "{text}");
    }
}

#[test]
fn what_has_no_rules_is_for_the_servers_default_mode_and_a_mode_directive_says_otherwise() {
    let schema = Arc::new(
        Schema::parse(
            "type Plain @model { id: ID! } type Both @model @aws_api_key @aws_cognito_user_pools(cognito_groups: [\"Staff\"]) { id: ID! own: String @aws_api_key }",
            "s.graphql",
        )
        .unwrap(),
    );
    let key = Identity::ApiKey { name: "k".into() };
    let may = |identity: &Identity, default, model: &str, field: usize| {
        let access = Access::on(&schema, identity, default);
        access.can_read(schema.model_named(model).unwrap(), FieldId(field))
    };
    for (identity, default, plain, both, own) in [
        (&key, AuthMode::ApiKey, true, true, true),
        (&key, AuthMode::UserPools, false, true, true),
        (&user("ann", &["Staff"]), AuthMode::ApiKey, false, true, false),
        (&user("ann", &["Night"]), AuthMode::UserPools, true, false, false),
    ] {
        assert_eq!(
            (
                may(identity, default, "Plain", 0),
                may(identity, default, "Both", 0),
                may(identity, default, "Both", 1)
            ),
            (plain, both, own),
            "{identity:?} {default:?}"
        );
    }
}

#[test]
fn an_embedded_value_of_which_a_part_is_not_for_him_is_kept_from_him_whole() {
    let sdl = "type Inner { pin: String @aws_iam } type Spot { x: Int inner: Inner } type Flat { x: Int }
               type Place @model @auth(rules: [{ allow: public }]) { id: ID! spot: Spot spots: [Spot] flat: Flat }";
    let schema = Arc::new(Schema::parse(sdl, "s.graphql").unwrap());
    let access = Access::of(&schema, &Identity::ApiKey { name: "k".into() });
    let model = &schema.models[0];
    let may = |name: &str| access.can_read(ModelId(0), model.field(name).unwrap());
    assert_eq!(["id", "spot", "spots", "flat"].map(may), [true, false, false, true]);
    let operator = Access::of(&schema, &Caller::Operator.identity());
    assert!(operator.can_read(ModelId(0), model.field("spot").unwrap()));
}
