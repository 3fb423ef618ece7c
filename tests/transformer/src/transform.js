// Runs the published transformer over a schema, with conflict resolution on and every authorization mode configured.
import transformer from '@aws-amplify/graphql-transformer';
import cdk from 'aws-cdk-lib';
import { Kind, parse } from 'graphql';

const modes = {
  API_KEY: { apiKeyConfig: { apiKeyExpirationDays: 7 } },
  AMAZON_COGNITO_USER_POOLS: {},
  AWS_IAM: {},
  OPENID_CONNECT: { openIDConnectConfig: { name: 'oidc', issuerUrl: 'https://issuer.example', clientId: 'client' } },
  AWS_LAMBDA: { lambdaAuthorizerConfig: { lambdaFunction: 'authorizer', ttlSeconds: 300 } },
};

/** What Amplify's own command line passes for a new project. */
const parameters = {
  enableTransformerCfnOutputs: true,
  shouldDeepMergeDirectiveConfigDefaults: true,
  disableResolverDeduping: false,
  sandboxModeEnabled: false,
  allowDestructiveGraphqlSchemaUpdates: false,
  replaceTableUponGsiUpdate: false,
  allowGen1Patterns: true,
  useSubUsernameForDefaultIdentityClaim: true,
  populateOwnerFieldForStaticGroupAuth: true,
  suppressApiKeyGeneration: false,
  subscriptionsInheritPrimaryAuth: false,
  secondaryKeyAsGSI: true,
  enableAutoIndexQueryNames: true,
  respectPrimaryKeyAttributesOnConnectionField: true,
  enableSearchNodeToNodeEncryption: false,
  enableSearchEncryptionAtRest: false,
};

/** The models of a schema, and those that its `@manyToMany` make. */
function models(sdl) {
  const found = new Set();
  for (const definition of parse(sdl).definitions) {
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    if (definition.directives.some((d) => d.name.value === 'model')) found.add(definition.name.value);
    for (const directive of definition.fields.flatMap((f) => f.directives)) {
      const relation = directive.arguments.find((a) => a.name.value === 'relationName')?.value.value;
      if (relation) found.add(relation[0].toUpperCase() + relation.slice(1));
    }
  }
  return [...found];
}

/** The SDL of the API that the transformer makes of `sdl`. */
export function transform(sdl) {
  const files = {};
  const stack = new cdk.Stack(new cdk.App(), 'root');
  const [first, ...others] = Object.entries(modes).map(([authenticationType, more]) => ({ authenticationType, ...more }));
  const table = { dbType: 'DYNAMODB', provisionDB: true, provisionStrategy: 'DEFAULT' };
  transformer.executeTransform({
    schema: sdl,
    scope: stack,
    nestedStackProvider: { provide: (scope, name) => new cdk.NestedStack(scope, name) },
    assetProvider: {
      provide(_scope, _name, { fileName, fileContent }) {
        files[fileName] = fileContent;
        return { assetHash: 'hash', httpUrl: 'http://stub', s3BucketName: 'stub', s3ObjectKey: 'stub', s3ObjectUrl: 's3://stub/stub' };
      },
    },
    synthParameters: {
      amplifyEnvironmentName: 'test',
      apiName: 'test',
      userPoolId: 'pool',
      identityPoolId: 'identities',
      authenticatedUserRoleName: 'authenticated',
      unauthenticatedUserRoleName: 'unauthenticated',
    },
    dataSourceStrategies: Object.fromEntries(models(sdl).map((name) => [name, table])),
    sqlDirectiveDataSourceStrategies: [],
    authConfig: { defaultAuthentication: first, additionalAuthenticationProviders: others },
    resolverConfig: { project: { ConflictDetection: 'VERSION', ConflictHandler: 'AUTOMERGE' } },
    transformersFactoryArgs: {},
    transformParameters: parameters,
    printTransformerLog: () => {},
  });
  // The schema's text is made when its place is asked for.
  const resource = stack.node.findAll().find((c) => c.cfnResourceType === 'AWS::AppSync::GraphQLSchema');
  stack.resolve(resource.definitionS3Location);
  return files['schema.graphql'];
}
