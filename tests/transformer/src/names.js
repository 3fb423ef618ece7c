// Every name of an API and what it is: `Query.getPost(id:)` → `ID!`.
import { Kind, parse, print } from 'graphql';

/** Of Amplify's AI chat: in every output, and no field refers to it. */
const NOT_OURS = 'AmplifyAIConversationTurnErrorInput';

export function names(sdl) {
  const out = new Map();
  const input = (name, { type, defaultValue }) => {
    out.set(name, print(type) + (defaultValue ? ` = ${print(defaultValue)}` : ''));
  };
  for (const definition of parse(sdl).definitions) {
    const name = definition.name?.value;
    if (name === undefined || name === NOT_OURS) continue;
    switch (definition.kind) {
      case Kind.OBJECT_TYPE_DEFINITION:
      case Kind.INTERFACE_TYPE_DEFINITION:
        for (const { name: { value } } of definition.interfaces ?? []) out.set(`${name} implements ${value}`, 'interface');
        for (const field of definition.fields) {
          out.set(`${name}.${field.name.value}`, print(field.type));
          for (const argument of field.arguments) input(`${name}.${field.name.value}(${argument.name.value}:)`, argument);
        }
        break;
      case Kind.INPUT_OBJECT_TYPE_DEFINITION:
        for (const field of definition.fields) input(`${name}.${field.name.value}`, field);
        break;
      case Kind.ENUM_TYPE_DEFINITION:
        for (const value of definition.values) out.set(`${name}.${value.name.value}`, 'value');
        break;
      case Kind.UNION_TYPE_DEFINITION:
        for (const member of definition.types) out.set(`${name} | ${member.name.value}`, 'member');
        break;
      default:
        continue;
    }
    out.set(name, definition.kind);
  }
  return out;
}

/** The fields with a `@default`, as `CreateXInput.field`: they may be left out here also where they are required. */
export function defaults(sdl) {
  const out = new Set();
  for (const definition of parse(sdl).definitions) {
    for (const field of definition.fields ?? []) {
      if (!field.directives.some((d) => d.name.value === 'default')) continue;
      const name = definition.name.value;
      out.add(`Create${name[0].toUpperCase()}${name.slice(1)}Input.${field.name.value}`);
    }
  }
  return out;
}

/** What `ours` lacks of `theirs`, or has with another type. */
export function differences(theirs, ours, optional = new Set()) {
  const found = [];
  for (const [name, type] of theirs) {
    const other = ours.get(name);
    if (other === undefined) found.push(`${name}: ${type} is missing`);
    else if (other !== type && !(optional.has(name) && type === `${other}!`)) found.push(`${name}: ${other}, and theirs is ${type}`);
  }
  return found;
}
