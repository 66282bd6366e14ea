// DIR/cluster.json: which nodes a local cluster has. Written once per change, as a whole, so that a
// crash leaves the old one or the new one. What is in it is kept; options change only what they may.

import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CliError } from '../exit-codes.ts';
import { type JsonObject, numberIn, objectsIn, parseObject, stringIn } from '../json-reader.ts';

const FORMAT = 1;
const PEER_PORT_OFFSET = 1_000;
const PROPHET_NODES_MAX = 3;
export const NODES_MAX = 32;

export interface LocalNode {
  readonly name: string;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly isProphet: boolean;
}

export interface LocalCluster {
  readonly clusterId: string;
  readonly shardCapacityBytes: number;
  /** node0, node1, ... in this order. */
  readonly nodes: readonly LocalNode[];
}

/** What was asked for; undefined: as it is, or the default. */
export interface ClusterWish {
  readonly nodes?: number | undefined;
  readonly port?: number | undefined;
  readonly shardCapacityBytes?: number | undefined;
}

export const CLUSTER_DEFAULTS = { nodes: 4, port: 8080, shardCapacityBytes: 64 * 2 ** 20 } as const;

/** The cluster to run: a new one, or the existing one with the changes that are possible. */
export function planCluster(wish: ClusterWish, existing: LocalCluster | undefined): LocalCluster {
  const known = existing?.nodes ?? [];
  const count = wish.nodes ?? (known.length || CLUSTER_DEFAULTS.nodes);
  if (count < known.length) {
    throw new CliError(
      'usage',
      `This cluster has ${known.length} nodes and --nodes ${count} would leave some of its data out: ` +
        'leave --nodes away, choose another --dir, or start anew with --reset',
    );
  }
  const port = wish.port ?? known[0]?.httpPort ?? CLUSTER_DEFAULTS.port;
  if (port + PEER_PORT_OFFSET + count > 65_536) {
    throw new CliError(
      'usage',
      `--port ${port} is too high: each node also uses the port ${PEER_PORT_OFFSET} above`,
    );
  }
  // Prophet's members are fixed when the cluster is born: later nodes hold data only.
  const prophetCount = Math.min(PROPHET_NODES_MAX, known.length === 0 ? count : known.length);
  return {
    clusterId: existing?.clusterId ?? newClusterId(),
    shardCapacityBytes:
      wish.shardCapacityBytes ??
      existing?.shardCapacityBytes ??
      CLUSTER_DEFAULTS.shardCapacityBytes,
    nodes: Array.from({ length: count }, (_, index) => ({
      name: `node${index}`,
      httpPort: port + index,
      peerPort: port + PEER_PORT_OFFSET + index,
      isProphet: known[index]?.isProphet ?? index < prophetCount,
    })),
  };
}

/** Unlike any other, not secret: it keeps the nodes of two clusters apart. */
function newClusterId(): string {
  const moment = `${hostname()} ${process.pid} ${Date.now()} ${process.hrtime.bigint()}`;
  return `local-${createHash('sha256').update(moment).digest('hex').slice(0, 12)}`;
}

export function clusterFileOf(directory: string): string {
  return join(directory, 'cluster.json');
}

/** Undefined when there is none; a CliError when it cannot be understood. */
export async function readCluster(directory: string): Promise<LocalCluster | undefined> {
  const path = clusterFileOf(directory);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new CliError('failed', `Cannot read ${path}: ${reasonOf(error)}`);
  }
  try {
    return decodeCluster(parseObject(text));
  } catch (error) {
    throw new CliError(
      'failed',
      `${path} is not the description of a local cluster (${reasonOf(error)}): choose another --dir`,
    );
  }
}

function decodeCluster(json: JsonObject): LocalCluster {
  const format = numberIn(json, 'format');
  if (format !== FORMAT) throw new Error(`its format is ${format}, this program knows ${FORMAT}`);
  const nodes = objectsIn(json, 'nodes').map((node, index) => {
    const name = stringIn(node, 'name');
    // Names become paths: nothing but the ones that were given out is taken back.
    if (name !== `node${index}`) throw new Error(`node ${index} is called ${name}`);
    return {
      name,
      httpPort: numberIn(node, 'httpPort'),
      peerPort: numberIn(node, 'peerPort'),
      isProphet: stringIn(node, 'roles').includes('prophet'),
    };
  });
  if (nodes.length === 0 || nodes.length > NODES_MAX) throw new Error(`${nodes.length} nodes`);
  return {
    clusterId: stringIn(json, 'clusterId'),
    shardCapacityBytes: numberIn(json, 'shardCapacityBytes'),
    nodes,
  };
}

export async function writeCluster(directory: string, cluster: LocalCluster): Promise<void> {
  const json = {
    format: FORMAT,
    clusterId: cluster.clusterId,
    shardCapacityBytes: cluster.shardCapacityBytes,
    nodes: cluster.nodes.map(({ name, httpPort, peerPort, isProphet }) => ({
      name,
      httpPort,
      peerPort,
      roles: rolesOf({ isProphet }),
    })),
  };
  await writeWhole(clusterFileOf(directory), `${JSON.stringify(json, undefined, 2)}\n`);
}

export function rolesOf(node: Pick<LocalNode, 'isProphet'>): string {
  return node.isProphet ? 'prophet,data' : 'data';
}

/** Replaces a file so that at any moment the old or the new content is there. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
