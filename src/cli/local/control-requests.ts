// What the running `mkv local` does for `mkv local stop`, `start`, `restart` and `status`.

import { unreachable } from '../../kernel/assert.ts';
import { formatDuration } from '../../kernel/quantity.ts';
import { CliError } from '../exit-codes.ts';
import type { JsonObject } from '../json-reader.ts';
import { type LocalNode, rolesOf } from './cluster-file.ts';
import { httpAddressOf, probeNode, waitUntilReady } from './readiness.ts';
import { STOP_GRACE_MS, type Supervisor } from './supervisor.ts';

const READY_WAIT_MS = 15_000;

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
  const name = String(request['node'] ?? '');
  const graceMs = request['force'] === true ? 0 : STOP_GRACE_MS;
  switch (command) {
    case 'status':
      return { supervisorPid: process.pid, nodes: await describeNodes(supervisor) };
    case 'shutdown':
      shutDown();
      return { message: 'The local cluster is stopping' };
    case 'start':
      return await startNode(supervisor, name);
    case 'stop':
      return await stopNode(supervisor, { name, graceMs });
    case 'restart':
      await stopNode(supervisor, { name, graceMs });
      return await startNode(supervisor, name);
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
      const state = pid === undefined ? 'stopped' : await probeNode(node);
      return describeNode(node, state, pid);
    }),
  );
}

async function stopNode(
  supervisor: Supervisor,
  { name, graceMs }: { readonly name: string; readonly graceMs: number },
): Promise<JsonObject> {
  const pid = supervisor.pidOf(name);
  const exit = await supervisor.stop(name, graceMs);
  if (exit === undefined) return { message: `${name} was not running` };
  return { message: `${name} (pid ${pid}) is stopped`, name, pid };
}

async function startNode(supervisor: Supervisor, name: string): Promise<JsonObject> {
  const node = supervisor.nodeNamed(name);
  const running = supervisor.pidOf(name);
  if (running !== undefined)
    return { message: `${name} (pid ${running}) was running`, name, pid: running };
  const startedAt = performance.now();
  supervisor.start(name);
  const pid = supervisor.pidOf(name);
  const signal = AbortSignal.timeout(READY_WAIT_MS);
  const isReady = await waitUntilReady([node], {
    signal,
    isGone: () => supervisor.pidOf(name) === undefined,
  });
  if (supervisor.pidOf(name) === undefined) {
    throw new CliError('failed', supervisor.lastExitOf(name) ?? `${name} ended at once`);
  }
  const took = formatDuration(performance.now() - startedAt);
  return {
    message: isReady
      ? `${name} (pid ${pid}) is ready after ${took}: ${httpAddressOf(node)}`
      : `${name} (pid ${pid}) runs, but is not ready after ${took}`,
    name,
    pid,
  };
}
