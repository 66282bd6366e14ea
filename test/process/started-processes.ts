// Every process that these tests start. Whatever happens to a test, its processes do not outlive it:
// they are ended when the test's own process goes, and nodes end when their supervisor is gone.

import { type ChildProcess, spawn } from 'node:child_process';

const started = new Set<ChildProcess>();

function endAll(): void {
  for (const child of started) child.kill('SIGKILL');
}

process.on('exit', endAll);
// The test runner ends a file that takes too long with SIGTERM, a person with SIGINT.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));

export interface Ended {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

export interface Started {
  readonly pid: number;
  /** All that it wrote until now, both streams together. */
  output(): string;
  readonly ended: Promise<Ended>;
  isRunning(): boolean;
  signal(signal: NodeJS.Signals): void;
}

/** Starts this Node with a program. Its standard input is a pipe that stays open. */
export function startProgram(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Started {
  const child = spawn(process.execPath, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...withoutOwnVariables(process.env), ...environment },
  });
  started.add(child);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.stdin.on('error', () => {}); // It ended; `ended` says how.
  let isRunning = true;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    // `close` comes after `exit`, when all output is read.
    child.once('close', (code, signal) => {
      started.delete(child);
      isRunning = false;
      resolve({ code: code ?? undefined, signal: signal ?? undefined });
    });
  });
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ended,
    isRunning: () => isRunning,
    signal: (signal) => child.kill(signal),
  };
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already, which is what was wanted.
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // No such process.
  }
}

/** The test runner and the shell must not configure the nodes. */
function withoutOwnVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(
      ([name]) => !name.startsWith('MATRIXKV_') && name !== 'NODE_TEST_CONTEXT',
    ),
  );
}
