// `mkv set`, `get`, `delete`: one key.

import { type Command, Option } from 'commander';
import type { WriteCondition } from './api.ts';
import { bytesToJson } from './byte-json.ts';
import {
  apiOf,
  type CommandContext,
  type GlobalOptions,
  parseWhole,
  printJson,
} from './command-context.ts';

interface WriteOptions extends GlobalOptions {
  readonly ifVersion?: number;
  readonly ifAbsent?: boolean;
  readonly ifPresent?: boolean;
}

export function addKeyCommands(program: Command, context: CommandContext): void {
  const set = program
    .command('set')
    .description('write a value')
    .argument('<key>', 'at most 4096 bytes')
    .argument('<value>', 'the value, or - to read it from standard input, byte for byte');
  addConditions(set)
    .addOption(new Option('--if-absent', 'only if the key is not there').conflicts(['ifVersion']))
    .addHelpText('after', SET_EXAMPLES)
    .action((key: string, value: string, _options: unknown, command: Command) =>
      runSet({ key, value }, command.optsWithGlobals<WriteOptions>(), context),
    );

  program
    .command('get')
    .description('print the value of a key, byte for byte')
    .argument('<key>')
    .addHelpText('after', GET_EXAMPLES)
    .action((key: string, _options: unknown, command: Command) =>
      runGet(key, command.optsWithGlobals<GlobalOptions>(), context),
    );

  const remove = program
    .command('delete')
    .description('remove a key; that it was not there is no error')
    .argument('<key>');
  addConditions(remove).action((key: string, _options: unknown, command: Command) =>
    runDelete(key, command.optsWithGlobals<WriteOptions>(), context),
  );
}

const SET_EXAMPLES = `
Examples:
  mkv set greeting hello
  mkv set photo - < cat.jpg
  mkv set lock me --if-absent            exit code 1 if someone else was first
  mkv set counter 2 --if-version 17      compare and set: \`mkv get counter -o json\` tells the version
  mkv set -- degrees -5                  a value that begins with a dash`;

const GET_EXAMPLES = `
Examples:
  mkv get greeting
  mkv get photo > cat.jpg
  mkv get greeting -o json               with its version`;

function addConditions(command: Command): Command {
  return command
    .addOption(
      new Option('--if-version <version>', 'only if this is the version now').argParser(
        parseWhole({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      ),
    )
    .addOption(
      new Option('--if-present', 'only if the key is there').conflicts(['ifVersion', 'ifAbsent']),
    );
}

function conditionOf(options: WriteOptions): WriteCondition | undefined {
  if (options.ifAbsent === true) return { type: 'absent' };
  if (options.ifPresent === true) return { type: 'present' };
  if (options.ifVersion !== undefined) return { type: 'version', version: options.ifVersion };
  return undefined;
}

async function runSet(
  { key, value }: { readonly key: string; readonly value: string },
  options: WriteOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const bytes = value === '-' ? await terminal.readInput() : Buffer.from(value, 'utf8');
  const result = await apiOf(options, context).put({
    key,
    value: bytes,
    condition: conditionOf(options),
  });
  if (options.output === 'json') printJson(terminal, { key, ...result });
  else terminal.out(`OK, version ${result.version}${result.existed ? '' : ' (new key)'}\n`);
}

async function runGet(key: string, options: GlobalOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const { value, version } = await apiOf(options, context).get(key);
  if (options.output === 'json') {
    printJson(terminal, { ...bytesToJson({ key: Buffer.from(key), value }), version });
    return;
  }
  terminal.out(value);
  // A person's prompt belongs on a new line; a script gets the bytes as they are.
  if (terminal.isInteractive && value.at(-1) !== 0x0a) terminal.out('\n');
}

async function runDelete(
  key: string,
  options: WriteOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const result = await apiOf(options, context).delete({ key, condition: conditionOf(options) });
  if (options.output === 'json') printJson(terminal, { key, ...result });
  else terminal.out(result.existed ? 'OK, deleted\n' : 'OK, it was not there\n');
}
