// `mkv local` and what comes under it, as the command line sees them.

import { type Command, type HelpConfiguration, InvalidArgumentError, Option } from 'commander';
import { parseSize } from '../../kernel/quantity.ts';
import {
  type CommandContext,
  type GlobalOptions,
  parseWhole,
  printJson,
} from '../command-context.ts';
import { CliError } from '../exit-codes.ts';
import { type JsonObject, objectsIn } from '../json-reader.ts';
import { formatTable } from '../table.ts';
import { NODES_MAX, readCluster } from './cluster-file.ts';
import { askControl } from './control-channel.ts';
import { type ControlCommand, describeNode } from './control-requests.ts';
import { DEFAULT_DIRECTORY } from './directory.ts';
import { listenForInterrupts } from './interrupts.ts';
import { runLocal } from './local-run.ts';
import { directoryFlag } from './messages.ts';
import { NODE_PROGRAM } from './node-process.ts';

interface LocalOptions extends GlobalOptions {
  readonly dir: string;
  readonly nodes?: number;
  readonly port?: number;
  readonly shardCapacity?: number;
  readonly reset?: boolean;
  readonly force?: boolean;
  readonly fresh?: boolean;
}

export function addLocalCommand(program: Command, context: CommandContext): void {
  const local = program
    .command('local')
    .description('run a whole cluster on this machine, in the foreground')
    .addOption(
      new Option('-d, --dir <dir>', 'where its data and logs are kept').default(DEFAULT_DIRECTORY),
    )
    .addOption(
      new Option(
        '--nodes <n>',
        'how many nodes; the first three are also Prophet (default: 4)',
      ).argParser(parseWhole({ min: 1, max: NODES_MAX })),
    )
    .addOption(
      new Option(
        '--port <port>',
        'HTTP port of node0, the others count up; peers use the ports 1000 above (default: 8080)',
      ).argParser(parseWhole({ min: 1, max: 64_000 })),
    )
    .addOption(
      new Option(
        '--shard-capacity <size>',
        'split shards above this: bytes or a unit, such as 1KiB (default: 64MiB)',
      ).argParser(parseCapacity),
    )
    .option('--reset', 'delete the data of this directory first and start a new cluster')
    .addHelpText('after', LOCAL_HELP)
    .configureHelp(LOCAL_HELP_STYLE)
    .action((_options: unknown, command: Command) =>
      startLocal(command.optsWithGlobals<LocalOptions>(), context),
    );
  addNodeCommand(local, { name: 'stop', description: STOP, context });
  addNodeCommand(local, { name: 'start', description: START, context });
  addNodeCommand(local, { name: 'restart', description: RESTART, context });
  local
    .command('status')
    .description('list the nodes and their processes')
    .configureHelp(LOCAL_HELP_STYLE)
    .action((_options: unknown, command: Command) =>
      showStatus(command.optsWithGlobals<LocalOptions>(), context),
    );
}

/** Of the options that commands inherit, help shows those that mean something here. */
const LOCAL_HELP_STYLE: HelpConfiguration = {
  showGlobalOptions: true,
  visibleGlobalOptions: (command) =>
    command.name() === 'local'
      ? []
      : [...(command.parent?.options ?? []), ...(command.parent?.parent?.options ?? [])].filter(
          ({ long }) => long === '--dir' || long === '--output',
        ),
};

const STOP = 'stop nodes, or the whole local cluster; --force ends them like kill -9';
const START = 'start nodes that were stopped or killed, or all of them';
const RESTART = 'stop nodes and start them again; without a name all at once';
const FRESH = 'delete the data of the one node named, which was drained: it joins as a new store';

const LOCAL_HELP = `
What it was started with is kept: later starts need no options, and find all data. --port and
--shard-capacity can change at any start, --nodes can only grow (new nodes hold data only).

Examples:
  mkv local                              four nodes, HTTP on 8080 to 8083
  mkv local --shard-capacity 1KiB        see shards split
  mkv local --dir /tmp/a --port 9180     a second cluster beside the first
  mkv local stop node3 --force           in another terminal: lose a node
  mkv local start node3
  mkv local start                        all nodes that are stopped
  mkv local start node3 --fresh          after a drain: node3 joins again as a new, empty store

A node that has to wait for others (for most of the Prophet members) is started as well: \`start\` says
for whom it waits, and its exit code is 0.`;

interface NodeCommand {
  readonly name: 'start' | 'stop' | 'restart';
  readonly description: string;
  readonly context: CommandContext;
}

function addNodeCommand(local: Command, { name, description, context }: NodeCommand): void {
  const command = local.command(name).description(description).configureHelp(LOCAL_HELP_STYLE);
  command.argument('[nodes...]', 'node0, node1, ...; all when none is named');
  if (name === 'start') command.option('--fresh', FRESH);
  else command.option('--force', 'end them at once, as a crash would');
  command.action((nodes: readonly string[], _options: unknown, self: Command) =>
    orderNodes({ name, nodes }, self.optsWithGlobals<LocalOptions>(), context),
  );
}

async function startLocal(options: LocalOptions, { terminal }: CommandContext): Promise<void> {
  const interrupts = listenForInterrupts(process, () => performance.now());
  const wish = {
    directory: options.dir,
    nodes: options.nodes,
    port: options.port,
    shardCapacityBytes: options.shardCapacity,
    isReset: options.reset === true,
  };
  try {
    // The clock of performance.now() began when this process did.
    await runLocal(wish, { terminal, interrupts, program: NODE_PROGRAM, startedAt: 0 });
  } finally {
    interrupts.close();
  }
}

async function orderNodes(
  { name, nodes }: { readonly name: ControlCommand; readonly nodes: readonly string[] },
  options: LocalOptions,
  { terminal }: CommandContext,
): Promise<void> {
  const force = options.force === true;
  const isShutdown = name === 'stop' && nodes.length === 0;
  const fresh = options.fresh === true;
  const request = isShutdown
    ? { command: 'shutdown', force }
    : { command: name, nodes, force, fresh };
  const answer = await askControl(options.dir, request);
  if (answer === undefined) throw await notRunning(options.dir);
  if (options.output === 'json') printJson(terminal, answer);
  else terminal.out(`${String(answer['message'])}\n`);
}

async function showStatus(options: LocalOptions, { terminal }: CommandContext): Promise<void> {
  const answer = await askControl(options.dir, { command: 'status' });
  const nodes: readonly JsonObject[] =
    answer === undefined ? await stoppedNodes(options.dir) : objectsIn(answer, 'nodes');
  if (options.output === 'json') {
    printJson(terminal, answer ?? { supervisorPid: null, nodes });
  } else if (nodes.length > 0) {
    const keys = ['name', 'state', 'pid', 'http', 'roles'];
    const rows = nodes.map((node) => keys.map((key) => String(node[key] ?? '')));
    terminal.out(formatTable(['NODE', 'STATE', 'PID', 'HTTP', 'ROLES'], rows));
  }
  if (answer === undefined) throw await notRunning(options.dir);
}

/** Nobody supervises them; a node that answers nevertheless would be someone else's. */
async function stoppedNodes(directory: string): Promise<readonly JsonObject[]> {
  const cluster = await readCluster(directory);
  return (cluster?.nodes ?? []).map((node) => ({ ...describeNode(node, 'stopped') }));
}

async function notRunning(directory: string): Promise<CliError> {
  const cluster = await readCluster(directory);
  const command = `npx mkv local${directoryFlag(directory)}`;
  const what =
    cluster === undefined
      ? `There is no local cluster in ${directory}`
      : `No local cluster runs in ${directory}`;
  return new CliError(
    'unavailable',
    `${what}: start it with \`${command}\`, or name another with --dir`,
  );
}

function parseCapacity(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes >= 512 && bytes <= 4 * 2 ** 30) return bytes;
  throw new InvalidArgumentError('Use bytes or a unit, from 512 to 4GiB, such as 64MiB.');
}
