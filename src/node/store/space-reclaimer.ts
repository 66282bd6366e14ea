// Gives the space of cut logs back. Append and cut is the pattern that LevelDB is worst at: what was
// deleted stays in the files until a compaction happens to meet it (google/leveldb#603). So a log
// range is compacted by hand once enough of it was cut; one at a time, as each run first flushes what
// LevelDB holds in memory and occupies one of the few threads of the pool (d.3).

import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Engine } from '../storage/engine.ts';
import { logRange } from '../storage/keys.ts';

export interface SpaceReclaimerOptions {
  readonly engine: Pick<Engine, 'compact'>;
  readonly observer: Observer;
  /** Cut bytes of one shard's log that are worth a compaction. */
  readonly worthBytes?: number;
}

const WORTH_BYTES = 64 * 1024 * 1024;
/** Shards whose cut bytes are counted; beyond, the count starts anew. */
const SHARDS_MAX = 100_000;

export class SpaceReclaimer {
  readonly #options: SpaceReclaimerOptions;
  readonly #cutBytes = new Map<ShardId, number>();
  readonly #waiting = new Set<ShardId>();
  #isRunning = false;
  #isStopped = false;

  constructor(options: SpaceReclaimerOptions) {
    this.#options = options;
  }

  /** So many bytes of the shard's log were deleted, durably. */
  logCut(shardId: ShardId, bytes: number): void {
    if (this.#cutBytes.size >= SHARDS_MAX && !this.#cutBytes.has(shardId)) this.#cutBytes.clear();
    const total = (this.#cutBytes.get(shardId) ?? 0) + bytes;
    if (total < (this.#options.worthBytes ?? WORTH_BYTES)) {
      this.#cutBytes.set(shardId, total);
      return;
    }
    this.#cutBytes.delete(shardId);
    this.#waiting.add(shardId);
    if (!this.#isRunning) void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Never rejects: space that is not given back now is given back another time. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    for (const shardId of this.#waiting) {
      if (this.#isStopped) break;
      this.#waiting.delete(shardId);
      try {
        await this.#options.engine.compact(logRange(shardId, 0, Number.MAX_SAFE_INTEGER));
      } catch (error) {
        this.#options.observer.log.warn({ shard: shardId, error }, 'Log was not compacted');
      }
    }
    this.#isRunning = false;
  }
}
