// The loop that drives all replicas of a node: one turn takes what every dirty replica has to write,
// makes it durable in ONE synced batch, and then lets the promises out (decision 5, d.2). While a
// batch is on its way to the disk, work gathers for the next: batching and back-pressure are one.

import type { Clock } from '../../kernel/clock.ts';
import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Message } from '../raft/messages.ts';
import type { Replica } from '../shard/replica.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { Effect, Turn } from '../shard/turn.ts';
import type { Engine, WriteOperation } from '../storage/engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';

export interface TurnLoopOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly send: (shardId: ShardId, message: Message) => void;
  readonly reserve: (meta: ShardMeta) => void;
  readonly carryOut: (effect: Effect) => void;
  /** A failed write: what is on disk is unknown, so the process must end (lesson 15, etcd#14140). */
  readonly onFatal: (error: unknown) => void;
}

interface Submission {
  readonly operations: readonly WriteOperation[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes of submissions in one turn beside what the replicas write. */
const SUBMITTED_BYTES_MAX = 1024 * 1024;

export class TurnLoop {
  readonly #options: TurnLoopOptions;
  readonly #dirty = new Set<Replica>();
  #submissions: Submission[] = [];
  #isScheduled = false;
  /** The turn in flight; settled by its end, whatever that is. */
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: TurnLoopOptions) {
    this.#options = options;
  }

  /** This replica may have work: it takes part in the next turn. */
  wake(replica: Replica): void {
    this.#dirty.add(replica);
    this.#schedule();
  }

  /** Writes beside the replicas, such as the chunks of a snapshot. Resolves once durable. */
  submit(operations: readonly WriteOperation[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isStopped) {
        reject(new Error('The store is stopped'));
        return;
      }
      this.#submissions.push({ operations, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when a turn that begins after this call has ended. Rejects when the loop is stopped. */
  nextTurn(): Promise<void> {
    return this.submit([]);
  }

  /** No turn begins any more. Resolves when the one in flight has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#rejectAll(this.#submissions, new Error('The store is stopped'));
    this.#submissions = [];
  }

  #schedule(): void {
    if (this.#isScheduled || this.#running !== undefined || this.#isStopped) return;
    this.#isScheduled = true;
    this.#options.clock.soon(() => {
      this.#isScheduled = false;
      if (this.#isStopped) return;
      const submissions = this.#takeSubmissions();
      this.#running = this.#turn(submissions).then(
        () => this.#ended(),
        (error: unknown) => this.#failed(error, submissions),
      );
    });
  }

  #ended(): void {
    this.#running = undefined;
    if (this.#dirty.size + this.#submissions.length > 0) this.#schedule();
  }

  /** Nothing of this turn was promised to anybody, and no turn follows. */
  #failed(error: unknown, submissions: readonly Submission[]): void {
    this.#running = undefined;
    this.#isStopped = true;
    this.#rejectAll([...submissions, ...this.#submissions], error);
    this.#submissions = [];
    this.#options.onFatal(error);
  }

  #rejectAll(submissions: readonly Submission[], error: unknown): void {
    for (const { reject } of submissions) reject(error);
  }

  async #turn(submissions: readonly Submission[]): Promise<void> {
    const { engine, clock, observer, send, carryOut } = this.#options;
    const batch = new OverlayBatch(engine);
    const effects: Effect[] = [];
    const begun = clock.now();
    const finishing = this.#collect(batch, effects);
    if (finishing.length > 0) {
      observer.metrics.observe('matrixkv_store_turn_seconds', (clock.now() - begun) / 1000);
    }
    const operations = batch.operations();
    for (const submission of submissions) operations.push(...submission.operations);
    if (operations.length > 0) {
      const started = clock.now();
      await engine.write(operations);
      observer.metrics.observe('matrixkv_store_write_seconds', (clock.now() - started) / 1000);
      observer.metrics.observe('matrixkv_store_write_operations', operations.length);
    }
    for (const replica of finishing) {
      replica.finish(send);
      if (replica.hasWork()) this.#dirty.add(replica);
    }
    for (const effect of effects) carryOut(effect);
    for (const submission of submissions) submission.resolve();
  }

  #collect(batch: OverlayBatch, effects: Effect[]): Replica[] {
    const { send, reserve } = this.#options;
    const turn: Turn = {
      batch,
      send,
      reserve,
      effect: (effect) => effects.push(effect),
    };
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    return dirty.filter((replica) => replica.hasWork() && replica.collect(turn));
  }

  #takeSubmissions(): Submission[] {
    const taken: Submission[] = [];
    let bytes = 0;
    while (bytes < SUBMITTED_BYTES_MAX) {
      const submission = this.#submissions.shift();
      if (submission === undefined) break;
      taken.push(submission);
      bytes += submission.operations.reduce((sum, operation) => sum + sizeOf(operation), 0);
    }
    return taken;
  }
}

function sizeOf(operation: WriteOperation): number {
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
}
