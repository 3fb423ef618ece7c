// Runs the real binary's `codegen` for one of the schemas, and TypeScript's compiler over what it wrote.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const binary = process.env.TOMBOLO_BIN ?? join(here, '../../../../target/debug/tombolo');
export const schemas = join(here, '../../../../codegen/tests/schemas');
const tsc = join(here, '../node_modules/typescript/bin/tsc');

/** A folder that goes when the process ends. */
export function folder() {
  const made = mkdtempSync(join(tmpdir(), 'tombolo-codegen-'));
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Generates into `out`; gives what the command said. */
export function generate(name, out, ...more) {
  const args = ['codegen', '--schema', join(schemas, `${name}.graphql`), '--lang', 'typescript', '--out', out];
  args.push('--operations', join(schemas, `${name}.operations.graphql`), ...more);
  const { status, stderr } = spawnSync(binary, args, { encoding: 'utf8' });
  return { status, said: stderr };
}

// Everything that a careful project switches on.
const strict = ['--strict', '--noUnusedLocals', '--noUnusedParameters', '--noImplicitReturns', '--noImplicitOverride',
  '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--noPropertyAccessFromIndexSignature', '--isolatedModules', '--verbatimModuleSyntax'];

/** Compiles files; gives the compiler's complaints, empty for none. */
export function compile(files, ...more) {
  const args = [tsc, '--target', 'es2022', '--module', 'nodenext', ...strict, ...more, ...files];
  try {
    execFileSync(process.execPath, args, { encoding: 'utf8', cwd: dirname(files[0]) });
    return '';
  } catch (error) {
    return error.stdout;
  }
}
