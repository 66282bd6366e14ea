// What the running `mkv local` does for `mkv local stop`, `start`, `restart` and `status`.

import { unreachable } from '../../kernel/assert.ts';
import { CliError } from '../exit-codes.ts';
import type { JsonObject } from '../json-reader.ts';
import { type LocalNode, rolesOf } from './cluster-file.ts';
import { startFresh, startNodes, stopNodes } from './node-orders.ts';
import { httpAddressOf, probeNode } from './readiness.ts';
import { STOP_GRACE_MS, type Supervisor } from './supervisor.ts';

export type ControlCommand = 'start' | 'stop' | 'restart' | 'status' | 'shutdown';

const COMMANDS: readonly ControlCommand[] = ['start', 'stop', 'restart', 'status', 'shutdown'];

export interface ControlOptions {
  readonly supervisor: Supervisor;
  /** Stops the whole local cluster, as Ctrl-C does. */
  shutDown(): void;
}

export async function handleControl(
  request: JsonObject,
  { supervisor, shutDown }: ControlOptions,
): Promise<JsonObject> {
  const command = COMMANDS.find((candidate) => candidate === request['command']);
  if (command === undefined) throw new CliError('usage', 'The command is not known');
  const names = namesIn(request);
  const graceMs = request['force'] === true ? 0 : STOP_GRACE_MS;
  switch (command) {
    case 'status':
      return { supervisorPid: process.pid, nodes: await describeNodes(supervisor) };
    case 'shutdown':
      shutDown();
      if (graceMs === 0) supervisor.kill();
      return { message: 'The local cluster is stopping' };
    case 'start':
      if (request['fresh'] === true) return await startFresh(supervisor, names);
      return await startNodes(supervisor, names);
    case 'stop':
      return await stopNodes(supervisor, { names, graceMs });
    case 'restart':
      await stopNodes(supervisor, { names, graceMs });
      return await startNodes(supervisor, names);
    default:
      return unreachable(command);
  }
}

export interface NodeDescription {
  readonly name: string;
  readonly state: string;
  readonly pid: number | undefined;
  readonly http: string;
  readonly roles: string;
}

/** A node as `status` shows it. */
export function describeNode(node: LocalNode, state: string, pid?: number): NodeDescription {
  return { name: node.name, state, pid, http: httpAddressOf(node), roles: rolesOf(node) };
}

function describeNodes(supervisor: Supervisor): Promise<readonly NodeDescription[]> {
  return Promise.all(
    supervisor.cluster.nodes.map(async (node) => {
      const pid = supervisor.pidOf(node.name);
      const state = pid === undefined ? supervisor.stateOf(node.name) : await probeNode(node);
      return describeNode(node, state, pid);
    }),
  );
}

/** Empty when none is named, which means all. */
function namesIn(request: JsonObject): readonly string[] {
  const names: unknown = request['nodes'] ?? [];
  if (!Array.isArray(names)) throw new CliError('usage', 'The nodes are no list of names');
  return [...new Set(names.map(String))];
}
