// What `mkv local` says: the banner when the cluster is ready, and one line for each node that ends.

import { formatDuration, formatSize } from '../../kernel/quantity.ts';
import { formatTable } from '../table.ts';
import { CLUSTER_DEFAULTS, type LocalCluster, type LocalNode, rolesOf } from './cluster-file.ts';
import { DEFAULT_DIRECTORY } from './directory.ts';
import { describeExit, isDrained, type NodeExit } from './node-process.ts';
import { httpAddressOf } from './readiness.ts';

export interface LocalRun {
  readonly cluster: LocalCluster;
  /** As the user wrote it. */
  readonly directory: string;
  readonly isNew: boolean;
}

export function startingLine({ cluster, directory, isNew }: LocalRun): string {
  const count = cluster.nodes.length === 1 ? '1 node' : `${cluster.nodes.length} nodes`;
  const what = isNew ? 'a new local cluster' : 'the local cluster';
  return `Starting ${what} of ${count} in ${directory} ...`;
}

export interface ReadyDetails {
  readonly tookMs: number;
  pidOf(name: string): number | undefined;
  /** Of a node without a process. */
  stateOf(name: string): string;
  strong(text: string): string;
}

export function readyText(run: LocalRun, { tookMs, pidOf, stateOf, strong }: ReadyDetails): string {
  const { cluster, directory } = run;
  const rows = cluster.nodes.map((node) => [
    node.name,
    httpAddressOf(node),
    rolesOf(node),
    pidOf(node.name) ?? stateOf(node.name),
  ]);
  const capacity = formatSize(cluster.shardCapacityBytes);
  return [
    '',
    strong(`MatrixKV is ready after ${formatDuration(tookMs)}`),
    '',
    formatTable(['NODE', 'HTTP', 'ROLES', 'PID'], rows).trimEnd(),
    '',
    `Shards are split above ${capacity}. Data and logs: ${directory}/node*`,
    '',
    'Try in another terminal:',
    formatTable([], commandsToTry(run, pidOf)).trimEnd(),
    '',
    'Ctrl-C stops the cluster; its data stays.',
    '',
  ].join('\n');
}

function commandsToTry(
  { cluster, directory }: LocalRun,
  pidOf: ReadyDetails['pidOf'],
): [string, string][] {
  const mkv = `  npx mkv${endpointFlag(cluster)}`;
  const last = cluster.nodes.findLast(({ name }) => pidOf(name) !== undefined)?.name ?? 'node0';
  const stop = `  npx mkv local stop ${last}${directoryFlag(directory)}`;
  return [
    [`${mkv} set greeting hello`, 'write a key'],
    [`${mkv} get greeting`, 'read it, from any node'],
    [`  curl ${httpAddress(cluster)}/v1/kv/greeting`, 'the same over plain HTTP'],
    [`${mkv} status`, 'how the cluster is; also: stores, shards, scan'],
    [stop, 'take a node away; start brings it back'],
  ];
}

/** One line for a node that ended while the others go on. */
export function exitLine(run: LocalRun, node: LocalNode, exit: NodeExit): string {
  if (isDrained(node, exit)) return drainedText(run.directory, node.name);
  const how = exit.isWanted ? 'is stopped' : describeExit(exit);
  return `${node.name} ${how}. Start it again: ${startCommand(run.directory, node.name)}`;
}

/** For a node that has nothing to come back to. */
export function drainedText(directory: string, name: string): string {
  const fresh = startCommand(directory, name, '--fresh');
  return `${name} was drained and removed for good. Bring it back as a new, empty store with \`${fresh}\``;
}

/** Without a name it starts all nodes that are stopped. */
export function startCommand(directory: string, ...words: readonly string[]): string {
  return `npx mkv local ${['start', ...words].join(' ')}${directoryFlag(directory)}`;
}

/** Behind a command, so that it finds this cluster; nothing when it does by default. */
export function directoryFlag(directory: string): string {
  if (directory === DEFAULT_DIRECTORY) return '';
  return ` --dir ${/^[\w./-]+$/.test(directory) ? directory : `'${directory.replaceAll("'", "'\\''")}'`}`;
}

function httpAddress(cluster: LocalCluster): string {
  return httpAddressOf({ httpPort: cluster.nodes[0]?.httpPort ?? CLUSTER_DEFAULTS.port });
}

function endpointFlag(cluster: LocalCluster): string {
  const isDefault = cluster.nodes[0]?.httpPort === CLUSTER_DEFAULTS.port;
  return isDefault ? '' : ` -e ${cluster.nodes.map(httpAddressOf).slice(0, 2).join(',')}`;
}
