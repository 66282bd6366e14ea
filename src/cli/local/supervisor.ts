// Owns the node processes of one local cluster. Invariants: at most one process per node; every process
// it started is its child; run.json names the processes that run now.

import { rm } from 'node:fs/promises';
import { CliError } from '../exit-codes.ts';
import type { LocalCluster, LocalNode } from './cluster-file.ts';
import { deleteData, runFileOf } from './directory.ts';
import { isDrained, type NodeExit, NodeProcess } from './node-process.ts';
import { writeRunState } from './run-file.ts';

export const STOP_GRACE_MS = 10_000;

export interface SupervisorOptions {
  readonly cluster: LocalCluster;
  readonly directory: string;
  /** The program that each node runs. */
  readonly program: string;
  /** Called once for each process that was started. */
  onStart(node: LocalNode, pid: number): void;
  /** Called once for each process that ended. */
  onExit(node: LocalNode, exit: NodeExit): void;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #running = new Map<string, NodeProcess>();
  /** How each node ended last. */
  readonly #lastExits = new Map<string, NodeExit>();
  /** The last write of run.json: the next one waits for it. */
  #saved: Promise<void> = Promise.resolve();
  /** Whose data is being deleted: they must not run meanwhile. */
  readonly #emptying = new Set<string>();
  #isClosing = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get cluster(): LocalCluster {
    return this.#options.cluster;
  }

  get directory(): string {
    return this.#options.directory;
  }

  /** Refuses a name that the cluster does not have. */
  nodeNamed(name: string): LocalNode {
    const { nodes } = this.cluster;
    const node = nodes.find((candidate) => candidate.name === name);
    if (node !== undefined) return node;
    const names = nodes.map((candidate) => candidate.name).join(', ');
    throw new CliError('usage', `There is no node ${name} here: use one of ${names}`);
  }

  isRunning(name: string): boolean {
    return this.#running.has(name);
  }

  /** Undefined when the node does not run. */
  pidOf(name: string): number | undefined {
    return this.#running.get(name)?.pid;
  }

  /** Undefined as long as the node never ended. */
  lastExitOf(name: string): NodeExit | undefined {
    return this.#lastExits.get(name);
  }

  /** It does not run, and has nothing to come back to: the cluster removed its store for good. */
  isDrained(name: string): boolean {
    const exit = this.#lastExits.get(name);
    return exit !== undefined && !this.isRunning(name) && isDrained(this.nodeNamed(name), exit);
  }

  /** In a word, of a node that does not run. */
  stateOf(name: string): 'drained' | 'stopped' {
    return this.isDrained(name) ? 'drained' : 'stopped';
  }

  startAll(): void {
    for (const { name } of this.cluster.nodes) this.start(name);
  }

  /** Does nothing when the node runs. */
  start(name: string): void {
    const node = this.nodeNamed(name);
    if (this.#isClosing) throw new CliError('failed', 'The local cluster is stopping');
    if (this.#running.has(name)) return;
    if (this.#emptying.has(name)) throw new CliError('failed', `${name} is being emptied`);
    const { cluster, directory, program } = this.#options;
    const child = new NodeProcess({ cluster, node, directory, program });
    this.#running.set(name, child);
    this.#save();
    if (child.pid !== undefined) this.#options.onStart(node, child.pid);
    child.exited
      .then((exit) => {
        this.#running.delete(name);
        this.#lastExits.set(name, exit);
        this.#save();
        this.#options.onExit(node, exit);
      })
      .catch((error: unknown) => {
        // A failing report must not pass silently for a healthy node.
        process.emitWarning(error instanceof Error ? error : String(error));
      });
  }

  /**
   * Deletes the data of a node whose store is gone for good: its next start makes a new store. Refuses
   * whatever could cost data, as long as the cluster has not said that nothing is left there.
   */
  async empty(name: string): Promise<void> {
    const problem = this.#whyKeep(name);
    if (problem !== '') throw new CliError('usage', problem);
    this.#emptying.add(name);
    try {
      await deleteData(this.directory, name);
      this.#lastExits.delete(name);
    } finally {
      this.#emptying.delete(name);
    }
  }

  /** Why the data of a node must stay; empty when it may go. */
  #whyKeep(name: string): string {
    if (this.nodeNamed(name).isProphet) {
      return `${name} is a member of Prophet and must keep its disk: --fresh is for nodes with data alone`;
    }
    if (this.isRunning(name)) {
      return `${name} runs: --fresh is for a node that was drained and has ended`;
    }
    if (this.#emptying.has(name)) return `${name} is being emptied already`;
    if (this.isDrained(name)) return '';
    return (
      `${name} is not known to be drained, so its data is kept: start it without --fresh, ` +
      'and it ends by itself when its store was removed for good'
    );
  }

  /** Undefined when the node did not run. */
  async stop(name: string, graceMs: number): Promise<NodeExit | undefined> {
    this.nodeNamed(name);
    return await this.#running.get(name)?.stop(graceMs);
  }

  /** Ends all nodes at once. */
  kill(): void {
    for (const child of this.#running.values()) child.kill();
  }

  /** Stops all nodes; none can be started any more. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#running.values()].map((child) => child.stop(graceMs)));
    await this.#saved;
    await rm(runFileOf(this.#options.directory), { force: true });
  }

  #save(): void {
    const nodes: Record<string, number> = {};
    for (const [name, { pid }] of this.#running) if (pid !== undefined) nodes[name] = pid;
    const state = { supervisorPid: process.pid, nodes };
    // run.json only helps: a disk that is full must not end nodes that run.
    this.#saved = this.#saved
      .then(() => writeRunState(this.#options.directory, state))
      .catch(() => {});
  }
}
