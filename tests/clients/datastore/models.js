// The schema as Amplify's code generator prints it for the client, made from a short table.

const scalars = /^(ID|String|Int|Float|Boolean|AWS\w+)$/;

/** `'String!'`, `'[Int]'`, `'enum:PostStatus'`, `'type:Location'` as the client's field. */
function field(name, text) {
  const array = /^\[(.*?)(!?)\](!?)$/.exec(text);
  const [, base, bang] = /^(.*?)(!?)$/.exec(array ? array[1] + array[2] : text);
  const [kind, of] = base.includes(':') ? base.split(':') : [null, base];
  const type = kind === 'enum' ? { enum: of } : kind === 'type' ? { nonModel: of } : of;
  if (!kind && !scalars.test(of)) throw new Error(`no scalar: ${of}`);
  const common = { name, isArray: Boolean(array), type, isRequired: bang === '!', attributes: [] };
  return array ? { ...common, isArrayNullable: array[3] !== '!' } : common;
}

const relation = (name, model, isArray, isRequired, association) => ({
  name,
  isArray,
  type: { model },
  isRequired,
  attributes: [],
  ...(isArray ? { isArrayNullable: true } : {}),
  association,
});
export const hasMany = (model, associatedWith) => (name) =>
  relation(name, model, true, false, { connectionType: 'HAS_MANY', associatedWith: [associatedWith].flat() });
export const hasOne = (model, target) => (name) =>
  relation(name, model, false, false, { connectionType: 'HAS_ONE', associatedWith: ['id'], targetNames: [target] });
export const belongsTo = (model, target, required = false) => (name) =>
  relation(name, model, false, required, { connectionType: 'BELONGS_TO', targetNames: [target] });

const time = (name) => ({ name, isArray: false, type: 'AWSDateTime', isRequired: false, attributes: [], isReadOnly: true });

function model(name, pluralName, fields, keys = [], times = true) {
  const all = Object.entries(fields).map(([n, f]) => [n, typeof f === 'function' ? f(n) : field(n, f)]);
  if (times) all.push(['createdAt', time('createdAt')], ['updatedAt', time('updatedAt')]);
  return {
    name,
    pluralName,
    syncable: true,
    fields: Object.fromEntries(all),
    attributes: [
      { type: 'model', properties: {} },
      ...keys.map((properties) => ({ type: 'key', properties })),
      { type: 'auth', properties: { rules: [{ allow: 'public', operations: ['create', 'update', 'delete', 'read'] }] } },
    ],
  };
}

/** A whole schema: `models` is a list of `model` calls' arguments. */
export function schema(models, { enums = {}, types = {} } = {}) {
  return {
    models: Object.fromEntries(models.map((m) => [m[0], model(...m)])),
    enums: Object.fromEntries(Object.entries(enums).map(([name, values]) => [name, { name, values }])),
    nonModels: Object.fromEntries(
      Object.entries(types).map(([name, fields]) => [
        name,
        { name, fields: Object.fromEntries(Object.entries(fields).map(([n, f]) => [n, field(n, f)])) },
      ]),
    ),
    codegenVersion: '3.4.4',
    version: '0b1e6a3d5f7c9e2a4b6d8f0a1c3e5b7d',
  };
}

/** The client's side of `schema.graphql` beside this file. */
export const suite = schema(
  [
    [
      'Post',
      'Posts',
      {
        id: 'ID!',
        title: 'String!',
        rating: 'Int',
        status: 'enum:PostStatus',
        tags: '[String]',
        meta: 'AWSJSON',
        location: 'type:Location',
        comments: hasMany('Comment', 'post'),
      },
    ],
    [
      'Comment',
      'Comments',
      { id: 'ID!', content: 'String!', post: belongsTo('Post', 'postID') },
      [{ name: 'byPost', queryField: 'commentsByPost', fields: ['postID', 'content'] }],
    ],
    ['Account', 'Accounts', { id: 'ID!', name: 'String!', balance: 'Int', note: 'String' }],
    [
      'Project',
      'Projects',
      { id: 'ID!', name: 'String!', team: hasOne('Team', 'projectTeamId'), tasks: hasMany('Task', 'projectTasksId'), projectTeamId: 'ID' },
    ],
    ['Team', 'Teams', { id: 'ID!', name: 'String!', project: belongsTo('Project', 'teamProjectId') }],
    ['Task', 'Tasks', { id: 'ID!', text: 'String!', projectTasksId: 'ID' }],
    ['Article', 'Articles', { id: 'ID!', title: 'String!', topics: hasMany('ArticleTopics', 'article') }],
    ['Topic', 'Topics', { id: 'ID!', label: 'String!', articles: hasMany('ArticleTopics', 'topic') }],
    [
      'ArticleTopics',
      'ArticleTopics',
      { id: 'ID!', article: belongsTo('Article', 'articleId', true), topic: belongsTo('Topic', 'topicId', true) },
      [
        { name: 'byArticle', fields: ['articleId'] },
        { name: 'byTopic', fields: ['topicId'] },
      ],
    ],
    ['Item', 'Items', { orderId: 'ID!', status: 'String!', n: 'Int!', title: 'String' }, [{ fields: ['orderId', 'status', 'n'] }]],
    ['Country', 'Countries', { code: 'ID!', name: 'String!' }, [{ fields: ['code'] }]],
    [
      'Sample',
      'Samples',
      {
        id: 'ID!',
        text: 'String',
        int: 'Int',
        float: 'Float',
        bool: 'Boolean',
        date: 'AWSDate',
        time: 'AWSTime',
        dateTime: 'AWSDateTime',
        timestamp: 'AWSTimestamp',
        email: 'AWSEmail',
        json: 'AWSJSON',
        url: 'AWSURL',
        phone: 'AWSPhone',
        ip: 'AWSIPAddress',
        ints: '[Int]',
        words: '[String!]!',
        place: 'type:Location',
        places: '[type:Location]',
        states: '[enum:PostStatus]',
      },
    ],
  ],
  { enums: { PostStatus: ['DRAFT', 'PUBLISHED'] }, types: { Location: { lat: 'Float!', lng: 'Float!' } } },
);

const all = ['create', 'update', 'delete', 'read'];
const owner = { provider: 'userPools', ownerField: 'owner', allow: 'owner', identityClaim: 'cognito:username', operations: all };

/** The client's side of `auth.graphql`: its owner rule is what makes the client name the owner in subscriptions. */
export const notes = schema([['Note', 'Notes', { id: 'ID!', text: 'String', owner: 'String' }]]);
rules(notes.models.Note, [owner, { allow: 'public', operations: all }]);

/** The client's side of `multi.graphql`. */
export const multi = schema([
  ['Page', 'Pages', { id: 'ID!', text: 'String', owner: 'String' }],
  ['Board', 'Boards', { id: 'ID!', text: 'String' }],
]);
rules(multi.models.Page, [owner, { allow: 'public', operations: ['read'] }]);
rules(multi.models.Board, [
  { groupClaim: 'cognito:groups', provider: 'userPools', allow: 'groups', groups: ['Staff'], operations: all },
  { provider: 'iam', allow: 'private', operations: all },
  { provider: 'iam', allow: 'public', operations: ['read'] },
]);

function rules(model, list) {
  model.attributes.find((attribute) => attribute.type === 'auth').properties.rules = list;
}
