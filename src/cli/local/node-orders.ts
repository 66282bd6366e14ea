// Starting and stopping nodes of the running local cluster, one or many at once, and what there is to
// say about each.

import { formatDuration } from '../../kernel/quantity.ts';
import { CliError } from '../exit-codes.ts';
import type { JsonObject } from '../json-reader.ts';
import type { LocalNode } from './cluster-file.ts';
import { drainedText, startCommand } from './messages.ts';
import { describeExit } from './node-process.ts';
import { httpAddressOf, waitUntilReady } from './readiness.ts';
import type { Supervisor } from './supervisor.ts';

const READY_WAIT_MS = 15_000;
/** No node can become ready without Prophet: then it is only to be seen that it does not end at once. */
const ALONE_WAIT_MS = 3_000;

/** What became of one node. */
interface Outcome {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: 'ready' | 'not ready' | 'running' | 'stopped' | 'ended';
  readonly message: string;
}

/**
 * Starts these nodes at once, or all that are stopped and not drained when none is named. A node that runs and waits
 * for others is started as ordered; a node that ends again is a failure.
 */
export async function startNodes(
  supervisor: Supervisor,
  names: readonly string[],
): Promise<JsonObject> {
  const nodes =
    names.length > 0
      ? names.map((name) => supervisor.nodeNamed(name))
      : supervisor.cluster.nodes.filter(
          ({ name }) => !supervisor.isRunning(name) && !supervisor.isDrained(name),
        );
  if (nodes.length === 0) return { message: 'All nodes were running', nodes: [] };
  const startedAt = performance.now();
  const stopped = nodes.filter(({ name }) => !supervisor.isRunning(name));
  // All before waiting for any: they may need each other to become ready.
  for (const { name } of stopped) supervisor.start(name);
  const outcomes = await Promise.all(
    nodes.map((node) =>
      stopped.includes(node)
        ? awaitStart(supervisor, { node, startedAt })
        : outcomeOf(supervisor, { node, state: 'running', how: 'was running' }),
    ),
  );
  const ended = outcomes.filter(({ state }) => state === 'ended');
  if (ended.length > 0) throw new CliError('failed', linesOf(ended).join('; '));
  return answerWith(outcomes);
}

/** Starts one node that was drained as a new store: it begins with no data. */
export async function startFresh(
  supervisor: Supervisor,
  names: readonly string[],
): Promise<JsonObject> {
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new CliError('usage', 'With --fresh, name the one node whose data is to be deleted');
  }
  await supervisor.empty(name);
  return await startNodes(supervisor, [name]);
}

/** Stops these nodes at once, or all when none is named. */
export async function stopNodes(
  supervisor: Supervisor,
  { names, graceMs }: { readonly names: readonly string[]; readonly graceMs: number },
): Promise<JsonObject> {
  const { nodes } = supervisor.cluster;
  const chosen = names.length === 0 ? nodes : names.map((name) => supervisor.nodeNamed(name));
  const outcomes = await Promise.all(
    chosen.map(async ({ name }): Promise<Outcome> => {
      const pid = supervisor.pidOf(name);
      const exit = await supervisor.stop(name, graceMs);
      const message =
        exit === undefined ? `${name} was not running` : `${name} (pid ${pid}) is stopped`;
      return { name, pid, state: 'stopped', message };
    }),
  );
  return answerWith(outcomes);
}

async function awaitStart(
  supervisor: Supervisor,
  { node, startedAt }: { readonly node: LocalNode; readonly startedAt: number },
): Promise<Outcome> {
  let missing = '';
  const isAlone = describeLonely(supervisor) !== '';
  const isReady = await waitUntilReady([node], {
    signal: AbortSignal.timeout(isAlone ? ALONE_WAIT_MS : READY_WAIT_MS),
    isGone: () => !supervisor.isRunning(node.name),
    onProgress: (problem) => {
      missing = problem;
    },
  });
  if (!supervisor.isRunning(node.name)) return endedOutcome(supervisor, node);
  const took = formatDuration(performance.now() - startedAt);
  if (isReady) {
    const how = `is ready after ${took}: ${httpAddressOf(node)}`;
    return outcomeOf(supervisor, { node, state: 'ready', how });
  }
  const lonely = describeLonely(supervisor);
  const how = lonely === '' ? `runs, but is not ready after ${took}: ${missing}` : `runs ${lonely}`;
  return outcomeOf(supervisor, { node, state: 'not ready', how });
}

/** Empty when a majority of Prophet's members runs; else for whom every node waits. */
function describeLonely(supervisor: Supervisor): string {
  const prophets = supervisor.cluster.nodes.filter(({ isProphet }) => isProphet);
  const members = prophets.map(({ name }) => name);
  const stopped = members.filter((name) => !supervisor.isRunning(name));
  if (members.length - stopped.length > members.length / 2) return '';
  const needed = `a majority of ${members.join(', ')}`;
  const missing = `${stopped.join(', ')} ${stopped.length === 1 ? 'is' : 'are'} stopped`;
  return `and waits for ${needed}, as ${missing}. Start all: ${startCommand(supervisor.directory)}`;
}

interface Running {
  readonly node: LocalNode;
  readonly state: Outcome['state'];
  /** Behind its name. */
  readonly how: string;
}

function outcomeOf(supervisor: Supervisor, { node, state, how }: Running): Outcome {
  const { name } = node;
  const pid = supervisor.pidOf(name);
  return { name, pid, state, message: `${name} (pid ${pid}) ${how}` };
}

function endedOutcome(supervisor: Supervisor, { name }: LocalNode): Outcome {
  const exit = supervisor.lastExitOf(name);
  const how = exit === undefined ? 'ended at once' : describeExit(exit);
  const message = supervisor.isDrained(name)
    ? drainedText(supervisor.directory, name)
    : `${name} ${how}`;
  return { name, pid: undefined, state: 'ended', message };
}

function linesOf(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.map(({ message }) => message);
}

function answerWith(outcomes: readonly Outcome[]): JsonObject {
  const nodes = outcomes.map(({ name, pid, state }) => ({ name, pid, state }));
  return { message: linesOf(outcomes).join('\n'), nodes };
}
