// DIR/run.json: the process ids of the present run. The next run reads it to wait for nodes that
// outlive a supervisor that was killed; people read it to find a process.

import { readFile } from 'node:fs/promises';
import { CliError } from '../exit-codes.ts';
import { numberIn, objectIn, parseObject } from '../json-reader.ts';
import { reasonOf, writeWhole } from './cluster-file.ts';
import { runFileOf } from './directory.ts';

const POLL_MS = 50;
const LEFTOVER_WAIT_MS_MAX = 10_000;

export interface RunState {
  readonly supervisorPid: number;
  /** Node name to process id, of nodes that run. */
  readonly nodes: Readonly<Record<string, number>>;
}

export async function writeRunState(directory: string, state: RunState): Promise<void> {
  try {
    await writeWhole(runFileOf(directory), `${JSON.stringify(state, undefined, 2)}\n`);
  } catch (error) {
    throw new CliError('failed', `Cannot write ${runFileOf(directory)}: ${reasonOf(error)}`);
  }
}

export async function readRunState(directory: string): Promise<RunState | undefined> {
  try {
    const json = parseObject(await readFile(runFileOf(directory), 'utf8'));
    const nodes = objectIn(json, 'nodes');
    return {
      supervisorPid: numberIn(json, 'supervisorPid'),
      nodes: Object.fromEntries(Object.keys(nodes).map((name) => [name, numberIn(nodes, name)])),
    };
  } catch {
    return undefined; // Missing or half-written: it only helps, nothing depends on it.
  }
}

/**
 * Waits for nodes of a run whose supervisor died: they stop by themselves within moments. Answers the
 * names of those that are still there in the end.
 */
export async function waitForLeftovers(
  directory: string,
  onWait: (names: readonly string[]) => void,
): Promise<readonly string[]> {
  const state = await readRunState(directory);
  if (state === undefined) return [];
  const findAlive = (): string[] =>
    Object.entries(state.nodes).flatMap(([name, pid]) => (isAlive(pid) ? [name] : []));
  const deadline = performance.now() + LEFTOVER_WAIT_MS_MAX;
  let alive = findAlive();
  if (alive.length > 0) onWait(alive);
  while (alive.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    alive = findAlive();
  }
  return alive;
}

/** Whether a process of this user has the id. It may be a stranger that was given it again. */
export function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH: gone; EPERM: a stranger's.
  }
}
