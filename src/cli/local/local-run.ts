// `mkv local` in the foreground: checks everything first, starts all nodes at once, says when they are
// ready, reports what happens to them, and stops them all when asked to.

import { CliError } from '../exit-codes.ts';
import type { JsonObject } from '../json-reader.ts';
import type { Terminal } from '../terminal.ts';
import {
  type ClusterWish,
  type LocalNode,
  planCluster,
  reasonOf,
  writeCluster,
} from './cluster-file.ts';
import { alreadyRunning, isRunning, openControl } from './control-channel.ts';
import { handleControl } from './control-requests.ts';
import { claimDirectory, logFileOf, openDirectory, resetDirectory } from './directory.ts';
import { lockDirectory } from './directory-lock.ts';
import type { Interrupts } from './interrupts.ts';
import { directoryFlag, exitLine, type LocalRun, readyText, startingLine } from './messages.ts';
import { describeExit, type NodeExit } from './node-process.ts';
import { checkPorts } from './ports.ts';
import { waitUntilReady } from './readiness.ts';
import { waitForLeftovers } from './run-file.ts';
import { STOP_GRACE_MS, Supervisor } from './supervisor.ts';

/** After this long, say what is missing: until then it is only starting. */
const PATIENCE_MS = 10_000;

export interface LocalWish extends ClusterWish {
  readonly directory: string;
  readonly isReset: boolean;
}

export interface LocalPorts {
  readonly terminal: Terminal;
  readonly interrupts: Interrupts;
  /** The program that each node runs. */
  readonly program: string;
  /** Since when the user waits, on the clock of `performance.now()`. */
  readonly startedAt: number;
}

/** How it goes, as the nodes' exits and the waiting tell. */
interface Progress {
  isReady: boolean;
  /** Why the start failed; then everything is stopped again. */
  failure: CliError | undefined;
}

/** Resolves after a clean stop; throws CliError when the start failed, with all nodes stopped. */
export async function runLocal(wish: LocalWish, ports: LocalPorts): Promise<void> {
  await openDirectory(wish.directory);
  const lock = await lockDirectory(wish.directory);
  try {
    await runLocked(wish, ports);
  } finally {
    await lock.release();
  }
}

async function runLocked(wish: LocalWish, ports: LocalPorts): Promise<void> {
  const run = await prepare(wish, ports.terminal);
  const progress: Progress = { isReady: false, failure: undefined };
  const shutdown = new AbortController();
  const failed = new AbortController();
  const stop = AbortSignal.any([ports.interrupts.stop, shutdown.signal, failed.signal]);
  const onExit = (node: LocalNode, exit: NodeExit): void => {
    if (stop.aborted) return;
    // A drained node has nothing to do any more, which is no failure of the others.
    if (progress.isReady || exit.isWanted || supervisor.isDrained(node.name)) {
      ports.terminal.note(exitLine(run, node, exit));
      return;
    }
    progress.failure = startFailure(run, node, exit);
    failed.abort();
  };
  const onStart = (node: LocalNode, pid: number): void => {
    if (progress.isReady) ports.terminal.note(`${node.name} is started (pid ${pid})`);
  };
  const { cluster, directory } = run;
  const { program } = ports;
  const supervisor = new Supervisor({ cluster, directory, program, onStart, onExit });
  const control = await openControl(directory, (request: JsonObject) =>
    handleControl(request, { supervisor, shutDown: () => shutdown.abort() }),
  );
  try {
    ports.terminal.note(startingLine(run));
    supervisor.startAll();
    progress.isReady = await waitForStart(supervisor, { terminal: ports.terminal, stop });
    if (progress.isReady) announce(run, { supervisor, ports });
    await untilAborted(stop);
  } finally {
    await stopAll(supervisor, { ports, isQuiet: progress.failure !== undefined });
    await control.close();
  }
  if (progress.failure !== undefined) throw progress.failure;
  const again = `npx mkv local${directoryFlag(directory)}`;
  ports.terminal.note(`Stopped. The data stays in ${directory}: \`${again}\` brings it back`);
}

/** Every check that can be made before a process starts. Changes nothing that it refuses. */
async function prepare(wish: LocalWish, terminal: Terminal): Promise<LocalRun> {
  const { directory } = wish;
  if (await isRunning(directory)) throw alreadyRunning(directory);
  const left = await waitForLeftovers(directory, (names) => {
    terminal.note(`Waiting for ${names.join(', ')} of the last run to end ...`);
  });
  if (left.length > 0) {
    terminal.note(
      `${left.join(', ')} of the last run may still be there: see ${directory}/run.json`,
    );
  }
  if (wish.isReset) await resetDirectory(directory);
  const existing = await claimDirectory(directory);
  const cluster = planCluster(wish, existing);
  await checkPorts(cluster);
  try {
    await writeCluster(directory, cluster);
  } catch (error) {
    throw new CliError('failed', `Cannot write to ${directory}: ${reasonOf(error)}`);
  }
  return { cluster, directory, isNew: existing === undefined };
}

function startFailure({ directory }: LocalRun, node: LocalNode, exit: NodeExit): CliError {
  const why = exit.reason === '' ? describeExit(exit) : exit.reason;
  const log = logFileOf(directory, node.name);
  return new CliError('failed', `${node.name} could not start: ${why} (log: ${log})`);
}

async function waitForStart(
  supervisor: Supervisor,
  { terminal, stop }: { readonly terminal: Terminal; readonly stop: AbortSignal },
): Promise<boolean> {
  let missing = '';
  let isPatient = true;
  const tell = (): void => {
    if (missing !== '') terminal.note(`Still waiting: ${missing}`);
  };
  const timer = setTimeout(() => {
    isPatient = false;
    tell();
  }, PATIENCE_MS);
  const onProgress = (problem: string): void => {
    missing = problem;
    if (!isPatient) tell();
  };
  const isReady = await waitUntilReady(supervisor.cluster.nodes, {
    signal: stop,
    isGone: ({ name }) => supervisor.isDrained(name),
    onProgress,
  });
  clearTimeout(timer);
  return isReady;
}

interface Announcement {
  readonly supervisor: Supervisor;
  readonly ports: LocalPorts;
}

function announce(run: LocalRun, { supervisor, ports }: Announcement): void {
  const { terminal, startedAt } = ports;
  const text = readyText(run, {
    tookMs: performance.now() - startedAt,
    pidOf: (name) => supervisor.pidOf(name),
    stateOf: (name) => supervisor.stateOf(name),
    strong: (words) => terminal.strong(words),
  });
  terminal.out(text);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** All nodes at once, with patience; none after a second Ctrl-C. */
async function stopAll(
  supervisor: Supervisor,
  { ports, isQuiet }: { readonly ports: LocalPorts; readonly isQuiet: boolean },
): Promise<void> {
  const { force } = ports.interrupts;
  if (!isQuiet) ports.terminal.note('\nStopping ... (Ctrl-C again ends the nodes at once)');
  const closed = supervisor.close(force.aborted ? 0 : STOP_GRACE_MS);
  const onForce = (): void => {
    // The same nodes, ended: `closed` resolves with them.
    supervisor.kill();
  };
  force.addEventListener('abort', onForce, { once: true });
  await closed;
  force.removeEventListener('abort', onForce);
}
