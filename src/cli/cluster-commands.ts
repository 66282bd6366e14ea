// `mkv shards`, `stores`, `status`: how the cluster is.

import type { Command } from 'commander';
import { describeBytes } from '../kernel/bytes.ts';
import { formatDuration, formatSize } from '../kernel/quantity.ts';
import { decode } from './api.ts';
import { bytesFromJson } from './byte-json.ts';
import { findProblems, formatStatus } from './cluster-status.ts';
import { apiOf, type CommandContext, type GlobalOptions, printJson } from './command-context.ts';
import { CliError } from './exit-codes.ts';
import { type JsonObject, numberIn, objectIn, objectsIn, stringIn } from './json-reader.ts';
import { formatTable } from './table.ts';

export function addClusterCommands(program: Command, context: CommandContext): void {
  program
    .command('shards')
    .description('list the shards: their ranges, leaders, replicas and sizes')
    .option('--local', 'only the replicas on the node that answers (see --endpoint)')
    .action((_options: unknown, command: Command) =>
      runShards(command.optsWithGlobals<GlobalOptions & { local?: boolean }>(), context),
    );

  const stores = program
    .command('stores')
    .description('list the stores, one for each data node; drain one')
    .action((_options: unknown, command: Command) =>
      runStores(command.optsWithGlobals<GlobalOptions>(), context),
    );
  stores.addHelpText('after', STORES_HELP);
  for (const [name, description, isDraining] of [
    ['drain', 'move every replica off a store and then remove it for good', true],
    ['cancel-drain', 'let a store serve again that drains and is not removed yet', false],
  ] as const) {
    stores
      .command(name)
      .description(description)
      .argument('<store>', 'its id or name, as `mkv stores` lists them')
      .addHelpText('after', STORES_HELP)
      .action((store: string, _options: unknown, command: Command) =>
        runDrain({ store, isDraining }, command.optsWithGlobals<GlobalOptions>(), context),
      );
  }

  program
    .command('status')
    .description('summarize the cluster: healthy, or why not (then exit code 3)')
    .action((_options: unknown, command: Command) =>
      runStatus(command.optsWithGlobals<GlobalOptions>(), context),
    );
}

const STORES_HELP = `
A drained store is gone for good: when its last replica has moved, the cluster removes it and its node
ends, unless it is a member of Prophet. With an empty data directory the node joins as a new store
(local cluster: mkv local start NODE --fresh).

Examples:
  mkv stores drain node3                 by the name of its node
  mkv stores drain 4                     by its id
  mkv stores cancel-drain node3          as long as \`mkv stores\` shows it as draining`;

async function runShards(
  options: GlobalOptions & { readonly local?: boolean },
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const shards = await apiOf(options, context).shards({ isLocal: options.local === true });
  if (options.output === 'json') return printJson(terminal, shards);
  const heads = ['SHARD', 'START', 'END', 'LEADER', 'STORES', 'KEYS', 'SIZE', 'EPOCH'];
  terminal.out(
    formatTable(
      heads,
      decode(() => shards.map(shardRow)),
    ),
  );
}

function shardRow(shard: JsonObject): (string | number)[] {
  const epoch = objectIn(shard, 'epoch');
  const leader = numberIn(shard, 'leaderStoreId');
  const stores = objectsIn(shard, 'replicas').map((replica) => {
    const mark = stringIn(replica, 'role') === 'learner' ? ' (learner)' : '';
    return `${numberIn(replica, 'storeId')}${mark}`;
  });
  const bound = (name: 'start' | 'end', none: string): string => {
    const bytes = bytesFromJson(stringIn(shard, name), shard['encoding']);
    return bytes.length === 0 ? none : describeBytes(bytes);
  };
  return [
    numberIn(shard, 'id'),
    bound('start', '(first key)'),
    bound('end', '(no end)'),
    leader === 0 ? 'none' : leader,
    stores.join(','),
    numberIn(shard, 'keys'),
    formatSize(numberIn(shard, 'sizeBytes')),
    `${numberIn(epoch, 'generation')}.${numberIn(epoch, 'confVersion')}`,
  ];
}

async function runStores(options: GlobalOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const stores = await apiOf(options, context).stores();
  if (options.output === 'json') return printJson(terminal, stores);
  const heads = ['STORE', 'NAME', 'STATE', 'HTTP', 'PEERS', 'SHARDS', 'LEADERS', 'SIZE', 'SEEN'];
  terminal.out(
    formatTable(
      heads,
      decode(() => stores.map(storeRow)),
    ),
  );
  for (const store of stores) {
    const blockedBy = decode(() => stringIn(store, 'blockedBy'));
    if (blockedBy !== '') terminal.note(`${String(store['name'])} cannot be drained: ${blockedBy}`);
  }
}

function storeRow(store: JsonObject): (string | number)[] {
  return [
    numberIn(store, 'id'),
    stringIn(store, 'name'),
    stringIn(store, 'state'),
    stringIn(store, 'httpAddress'),
    stringIn(store, 'address'),
    numberIn(store, 'shards'),
    numberIn(store, 'leaders'),
    formatSize(numberIn(store, 'sizeBytes')),
    `${formatDuration(Number(store['lastHeartbeatMs']))} ago`,
  ];
}

async function runDrain(
  order: { readonly store: string; readonly isDraining: boolean },
  options: GlobalOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const api = apiOf(options, context);
  const stores = await api.stores();
  const found = findStore(stores, order.store);
  if (found === undefined) {
    throw new CliError('notFound', `There is no store ${order.store}: \`mkv stores\` lists them`);
  }
  const storeId = decode(() => numberIn(found, 'id'));
  await api.setDraining(storeId, order.isDraining);
  if (options.output === 'json')
    return printJson(terminal, { storeId, draining: order.isDraining });
  terminal.out(
    order.isDraining
      ? `OK, store ${storeId} is draining: \`mkv stores\` shows how many shards are left. ` +
          'With none left it is removed for good\n'
      : `OK, store ${storeId} serves again\n`,
  );
}

/** By id, or by name; a node that joined again has left removed stores of its name behind. */
function findStore(stores: readonly JsonObject[], wanted: string): JsonObject | undefined {
  const named = stores.filter(({ name }) => name === wanted);
  return (
    stores.find(({ id }) => String(id) === wanted) ??
    named.find(({ state }) => state !== 'removed') ??
    named[0]
  );
}

async function runStatus(options: GlobalOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = apiOf(options, context);
  const [cluster, stores] = await Promise.all([api.cluster(), api.stores()]);
  const problems = decode(() => findProblems(cluster, stores));
  if (options.output === 'json') {
    printJson(terminal, { healthy: problems.length === 0, problems, ...cluster });
  } else {
    terminal.out(decode(() => formatStatus(cluster, problems)));
  }
  if (problems.length > 0) {
    throw new CliError(
      'unavailable',
      `The cluster is not healthy: ${problems.join('; ')}`,
      'UNHEALTHY',
    );
  }
}
