//! Which fields match in each form of relation; and `@auth`, kept whole.

use tombolo_core::schema::{AuthOperation, AuthProvider, AuthStrategy, Model, Schema};

/// `A.b -> B (id = bId) sorted by rank`.
fn told(schema: &Schema) -> Vec<String> {
    let names = |m: &Model, ids: &[tombolo_core::id::FieldId]| {
        ids.iter()
            .map(|id| m.field_at(*id).name.clone())
            .collect::<Vec<_>>()
            .join("+")
    };
    let mut out = Vec::new();
    for model in &schema.models {
        for r in &model.relations {
            let target = schema.model(r.target);
            let (s, t) = (names(model, &r.source_fields), names(target, &r.target_fields));
            let sort = names(target, &r.sort_fields);
            let sort = if sort.is_empty() { sort } else { format!(" by {sort}") };
            out.push(format!(
                "{}.{} {:?} {}: {s} = {t}{sort}",
                model.name, r.name, r.kind, target.name
            ));
        }
    }
    out
}

const FORMS: &[(&str, &str, &[&str])] = &[
    (
        "explicit",
        "type P @model { cs: [C] @hasMany(indexName: \"byP\", fields: [\"id\"]) }
         type C @model { pID: ID! @index(name: \"byP\", sortKeyFields: [\"rank\"]) rank: Int p: P @belongsTo(fields: [\"pID\"]) }",
        &["P.cs HasMany C: id = pID by rank", "C.p BelongsTo P: pID = id"],
    ),
    (
        "implicit",
        "type P @model { one: C @hasOne many: [C] @hasMany } type C @model { x: Int }",
        &["P.one HasOne C: pOneId = id", "P.many HasMany C: id = pManyId"],
    ),
    (
        "belongsTo opposite hasOne, and opposite hasMany",
        "type P @model { one: C @hasOne many: [D] @hasMany } type C @model { p: P @belongsTo } type D @model { p: P @belongsTo }",
        &["P.one HasOne C: pOneId = id", "P.many HasMany D: id = pManyId", "C.p BelongsTo P: cPId = id", "D.p BelongsTo P: pManyId = id"],
    ),
    (
        "belongsTo without fields opposite an index",
        "type P @model { cs: [C] @hasMany(indexName: \"byP\", fields: [\"id\"]) }
         type C @model { pID: ID! @index(name: \"byP\") p: P @belongsTo }",
        &["P.cs HasMany C: id = pID", "C.p BelongsTo P: pID = id"],
    ),
    (
        "references",
        "type P @model { one: C @hasOne(references: [\"pId\"]) many: [C] @hasMany(references: [\"pId\"]) }
         type C @model { pId: ID p: P @belongsTo(references: [\"pId\"]) }",
        &["P.one HasOne C: id = pId", "P.many HasMany C: id = pId", "C.p BelongsTo P: pId = id"],
    ),
    (
        "composite keys",
        "type P @model { code: ID! @primaryKey(sortKeyFields: [\"n\"]) n: Int! cs: [C] @hasMany one: C @hasOne }
         type C @model { a: String! @primaryKey(sortKeyFields: [\"b\"]) b: Int! p: P @belongsTo }",
        &["P.cs HasMany C: code+n = pCsCode+pCsN by b", "P.one HasOne C: pOneA+pOneB = a+b", "C.p BelongsTo P: pCsCode+pCsN = code+n"],
    ),
    (
        "over the child's primary key",
        "type P @model { cs: [C] @hasMany(fields: [\"id\"]) } type C @model { pId: ID! @primaryKey(sortKeyFields: [\"n\"]) n: Int! }",
        &["P.cs HasMany C: id = pId by n"],
    ),
    (
        "many to many with sort keys",
        "type Am @model { bs: [Bm] @manyToMany(relationName: \"abs\") } 
         type Bm @model { id: ID! @primaryKey(sortKeyFields: [\"sortId\"]) sortId: ID! as: [Am] @manyToMany(relationName: \"abs\") }",
        &[
            "Am.bs HasMany Abs: id = amId",
            "Bm.as HasMany Abs: id+sortId = bmId+bmsortId",
            "Abs.am BelongsTo Am: amId = id",
            "Abs.bm BelongsTo Bm: bmId+bmsortId = id+sortId",
        ],
    ),
    (
        "with itself",
        "type P @model { parentId: ID @index(name: \"byParent\") parent: P @belongsTo(fields: [\"parentId\"]) children: [P] @hasMany(indexName: \"byParent\", fields: [\"id\"]) }",
        &["P.parent BelongsTo P: parentId = id", "P.children HasMany P: id = parentId"],
    ),
];

#[test]
fn both_ends_of_every_form_match() {
    for (form, sdl, expected) in FORMS {
        let schema = Schema::parse(sdl, "s.graphql").unwrap_or_else(|e| panic!("{form}: {e}"));
        assert_eq!(told(&schema), *expected, "{form}");
        // Every list is served by an index or the key.
        for model in &schema.models {
            for r in model
                .relations
                .iter()
                .filter(|r| r.kind == tombolo_core::schema::RelationKind::HasMany)
            {
                let target = schema.model(r.target);
                let served = target.key.starts_with(&r.target_fields)
                    || target.indexes.iter().any(|i| i.fields.starts_with(&r.target_fields));
                assert!(served, "{form}: {}", r.name);
            }
        }
    }
}

#[test]
fn rules_are_kept_whole() {
    let sdl = "type A @model @auth(rules: [
        { allow: public }
        { allow: private, provider: iam, operations: [read, create] }
        { allow: owner, ownerField: \"author\", identityClaim: \"sub\" }
        { allow: groups, groups: [\"Admin\", \"Staff\"], groupClaim: \"teams\" }
        { allow: groups, groupsField: \"team\" }
        { allow: custom }
      ]) { a: Int  secret: String @auth(rules: [{ allow: private }])  author: String }";
    let schema = Schema::parse(sdl, "s.graphql").unwrap();
    let model = &schema.models[0];
    let rules = model.auth.as_ref().unwrap();
    let kinds: Vec<_> = rules.iter().map(|r| (r.strategy, r.provider)).collect();
    assert_eq!(
        kinds,
        [
            (AuthStrategy::Public, AuthProvider::ApiKey),
            (AuthStrategy::Private, AuthProvider::Iam),
            (AuthStrategy::Owner, AuthProvider::UserPools),
            (AuthStrategy::Groups, AuthProvider::UserPools),
            (AuthStrategy::Groups, AuthProvider::UserPools),
            (AuthStrategy::Custom, AuthProvider::Function),
        ]
    );
    assert_eq!(rules[0].operations, AuthOperation::ALL);
    assert_eq!(rules[1].operations.len(), 6);
    assert!(!rules[1].operations.contains(&AuthOperation::Delete));
    assert_eq!(
        (rules[2].owner_field.as_deref(), rules[2].identity_claim.as_deref()),
        (Some("author"), Some("sub"))
    );
    assert_eq!(
        (rules[3].groups.join(","), rules[3].group_claim.as_deref()),
        ("Admin,Staff".to_owned(), Some("teams"))
    );
    assert_eq!(rules[4].groups_field.as_deref(), Some("team"));
    let secret = model.field_at(model.field("secret").unwrap());
    assert_eq!(secret.auth.as_ref().unwrap()[0].strategy, AuthStrategy::Private);
    assert!(model.field("team").is_some(), "the groups field is added");
    assert!(model.field("owner").is_none(), "author is declared");
}

#[test]
fn a_join_model_grants_what_both_sides_grant() {
    let sdl = "type A @model @auth(rules: [{ allow: public }, { allow: owner }]) { bs: [B] @manyToMany(relationName: \"AB\") }
               type B @model @auth(rules: [{ allow: public, operations: [read] }]) { as: [A] @manyToMany(relationName: \"AB\") }";
    let schema = Schema::parse(sdl, "s.graphql").unwrap();
    let join = schema.model(schema.model_named("AB").unwrap());
    let rules = join.auth.as_ref().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].strategy, AuthStrategy::Public);
    assert!(!rules[0].operations.contains(&AuthOperation::Create));
}
