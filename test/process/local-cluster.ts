// `mkv local` as a user runs it: the command line program as a process of its own, with its nodes below
// it. For tests of every kind that need a real cluster.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readRunState } from '../../src/cli/local/run-file.ts';
import { must } from '../../src/kernel/assert.ts';
import { findFreePorts } from './free-ports.ts';
import { type Ended, isAlive, kill, type Started, startProgram } from './started-processes.ts';
import { makeDirectory, removeDirectory } from './temporary-directory.ts';
import { until } from './until.ts';

const MKV = fileURLToPath(new URL('../../bin/mkv.js', import.meta.url));
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 20_000;

export interface CommandResult extends Ended {
  readonly output: string;
}

/** Runs one `mkv` command to its end. */
export async function mkv(...args: readonly string[]): Promise<CommandResult> {
  const program = startProgram([MKV, ...args]);
  const ended = await program.ended;
  return { ...ended, output: program.output() };
}

export class LocalCluster {
  /** Holds the cluster's directory and nothing else. */
  readonly #parent: string;
  readonly directory: string;
  readonly port: number;
  readonly nodes: number;
  #supervisor: Started | undefined;

  private constructor(options: { parent: string; port: number; nodes: number }) {
    this.#parent = options.parent;
    this.directory = join(options.parent, 'cluster');
    this.port = options.port;
    this.nodes = options.nodes;
  }

  /** A place for a cluster; nothing runs yet. */
  static async prepare(nodes = 4): Promise<LocalCluster> {
    const [parent, port] = await Promise.all([makeDirectory(), findFreePorts(nodes)]);
    return new LocalCluster({ parent, port, nodes });
  }

  /** The HTTP address of a node. */
  url(index: number): string {
    return `http://127.0.0.1:${this.port + index}`;
  }

  urls(): readonly string[] {
    return Array.from({ length: this.nodes }, (_, index) => this.url(index));
  }

  urlOf(name: string): string {
    return this.url(Number(name.replace('node', '')));
  }

  /** Resolves with what was printed once the cluster says that it is ready. */
  async start(...options: readonly string[]): Promise<string> {
    const size = this.nodes === 4 ? [] : [`--nodes=${this.nodes}`];
    const args = ['local', '--dir', this.directory, '--port', String(this.port), ...size];
    const supervisor = startProgram([MKV, ...args, ...options]);
    this.#supervisor = supervisor;
    const isReady = (): boolean => supervisor.output().includes('Ctrl-C stops the cluster');
    await until({ what: 'the cluster is ready', withinMs: START_MS_MAX, pollMs: 20 }, () =>
      isReady() || !supervisor.isRunning() ? '' : `more than: ${supervisor.output()}`,
    );
    if (!isReady()) throw new Error(`The cluster did not start: ${supervisor.output()}`);
    return supervisor.output();
  }

  /** What the supervisor printed in this run. */
  output(): string {
    return this.#supervisor?.output() ?? '';
  }

  /** `mkv local <command>` for this cluster. */
  async local(...command: readonly string[]): Promise<CommandResult> {
    return await mkv('local', ...command, '--dir', this.directory);
  }

  /** Node names with the ids of their processes. */
  async pids(): Promise<Readonly<Record<string, number>>> {
    // What a killed supervisor has left behind names processes that are gone.
    if (this.#supervisor?.isRunning() !== true) return {};
    return (await readRunState(this.directory))?.nodes ?? {};
  }

  /** Kills a node as a crash would. */
  async kill(name: string): Promise<void> {
    kill(must((await this.pids())[name], `${name} runs`), 'SIGKILL');
  }

  /** Kills the supervisor and all nodes in one moment, and waits until they are gone. */
  async killAll(): Promise<void> {
    const pids = Object.values(await this.pids());
    for (const pid of pids) kill(pid, 'SIGKILL');
    this.#supervisor?.signal('SIGKILL');
    await this.#supervisor?.ended;
    await until({ what: 'all nodes are gone', withinMs: STOP_MS_MAX }, () =>
      pids.filter(isAlive).join(', '),
    );
  }

  /** Ctrl-C, and how the program ended. */
  async interrupt(): Promise<Ended> {
    const supervisor = must(this.#supervisor, 'The cluster was started');
    supervisor.signal('SIGINT');
    return await supervisor.ended;
  }

  /** Ends everything and removes the data, whatever state it is in. */
  async close(): Promise<void> {
    await this.killAll();
    await removeDirectory(this.#parent);
  }
}
