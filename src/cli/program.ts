// The `mkv` command line as a whole: from arguments to an exit code, with every failure as one sentence.

import { Command, CommanderError } from 'commander';
import { addClusterCommands } from './cluster-commands.ts';
import { addGlobalOptions, type CommandContext } from './command-context.ts';
import { CliError, EXIT_CODE_HELP, EXIT_CODES, type ExitCode } from './exit-codes.ts';
import { addKeyCommands } from './key-commands.ts';
import { addLocalCommand } from './local/local-command.ts';
import { addScanCommand } from './scan-command.ts';

const EXAMPLES = `
Examples:
  mkv local                              a cluster on this machine (the same: npm start)
  mkv set greeting hello
  mkv get greeting
  mkv scan user: --limit 20
  mkv status
  mkv stores drain node3                 move everything off a store and remove it for good

Options may stand before or behind the command. \`mkv <command> --help\` tells more about each.

${EXIT_CODE_HELP}`;

export interface ProgramOptions extends CommandContext {
  readonly version: string;
}

/** `argv` without the program's own name. Never throws and never ends the process. */
export async function runProgram(
  argv: readonly string[],
  options: ProgramOptions,
): Promise<ExitCode> {
  const program = createProgram(options);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return EXIT_CODES.ok;
  } catch (error) {
    // Commander has printed its own sentence, or the help that was asked for.
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
    return report(CliError.from(error), { program, options });
  }
}

function createProgram({ terminal, environment, version }: ProgramOptions): Command {
  const program = new Command('mkv')
    .description('MatrixKV: a distributed, strongly consistent key-value store')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .addHelpText('after', EXAMPLES)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
    })
    .showHelpAfterError('Run with --help for usage.')
    .exitOverride();
  addGlobalOptions(program);
  const context = { terminal, environment };
  addLocalCommand(program, context);
  addKeyCommands(program, context);
  addScanCommand(program, context);
  addClusterCommands(program, context);
  return program;
}

function report(
  error: CliError,
  { program, options }: { readonly program: Command; readonly options: ProgramOptions },
): ExitCode {
  const isJson = program.opts<{ output?: string }>().output === 'json';
  const sentence = `${error.message}${/[.!?]$/.test(error.message) ? '' : '.'}`;
  options.terminal.note(
    isJson ? JSON.stringify({ error: error.message, code: error.code }) : `mkv: ${sentence}`,
  );
  return error.exitCode;
}
