// Destroys what is left of removed replicas, one after the other, in the background. The marker that
// says so lies on disk since the removal, so a crash in between only makes it start again (d.3).

import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeDestroy } from '../shard/shard-records.ts';
import { stateRangesOf } from '../shard/state-ranges.ts';
import {
  applyStateKey,
  destroyKey,
  destroysRange,
  hardStateKey,
  logRange,
  stagingRange,
} from '../storage/keys.ts';
import { type SweepOptions, sweepRanges } from './range-sweep.ts';
import type { ReplicaHost } from './replica-host.ts';

export interface DestroyerOptions extends SweepOptions {
  readonly host: ReplicaHost;
  readonly observer: Observer;
  readonly onFatal: (error: unknown) => void;
}

/** Markers read at start; more than this many removed replicas at once are not possible. */
const MARKERS_MAX = 100_000;

export class Destroyer {
  readonly #options: DestroyerOptions;
  /** One for each shard, oldest first; the first is being destroyed. */
  readonly #queue = new Map<ShardId, ShardMeta>();
  #isRunning = false;
  #isStopped = false;

  constructor(options: DestroyerOptions) {
    this.#options = options;
  }

  /** Goes on with what a crash has interrupted. */
  async resume(): Promise<void> {
    const page = await this.#options.engine.scan({
      ...destroysRange(),
      limit: MARKERS_MAX,
      bytesMax: Number.MAX_SAFE_INTEGER,
    });
    for (const { key, value } of page.entries) this.destroy(decodeDestroy(key, value));
  }

  /**
   * The tombstone and the marker of this replica are durable. To be told twice, by the group and by a
   * proof, is the same as once: a second round could meet the next replica of the shard.
   */
  destroy(meta: ShardMeta): void {
    if (this.#queue.has(meta.id)) return;
    this.#options.host.claim(meta.id, 'destroy', meta);
    this.#queue.set(meta.id, meta);
    this.#start();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #start(): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    this.#run().then(
      () => {
        this.#isRunning = false;
      },
      (error: unknown) => {
        if (!this.#isStopped) this.#options.onFatal(error);
      },
    );
  }

  async #run(): Promise<void> {
    // A map takes in what is added while it is gone through.
    for (const [shardId, meta] of this.#queue) {
      if (this.#isStopped) return;
      await this.#sweep(meta);
      this.#queue.delete(shardId);
      this.#options.host.release(shardId, 'destroy');
      this.#options.observer.log.info({ shard: meta.id }, 'Removed replica was destroyed');
    }
  }

  async #sweep(meta: ShardMeta): Promise<void> {
    const { submit } = this.#options;
    const log = logRange(meta.id, 0, Number.MAX_SAFE_INTEGER);
    await sweepRanges(this.#options, [...stateRangesOf(meta), log, stagingRange(meta.id)]);
    await submit([
      { type: 'delete', key: hardStateKey(meta.id) },
      { type: 'delete', key: applyStateKey(meta.id) },
      { type: 'delete', key: destroyKey(meta.id) },
    ]);
  }
}
