// What Prophet is told about the shards that this store leads: those that changed since Prophet last
// took a report of them, and now and then all of them, so that nothing stays wrong for long.
//
// Invariant: a shard counts as told only once an answer to its report has arrived, and no longer than
// the Prophet leader that took it leads.

import type { ShardId } from '../../kernel/ids.ts';
import type { ShardReport } from '../prophet/protocol.ts';
import type { LocalShard } from '../store/local-store.ts';

export interface ReportBatch {
  readonly reports: readonly ShardReport[];
  /** True when every led shard is in it. */
  readonly isComplete: boolean;
  /** What counts as told when the batch has arrived. */
  readonly marks: ReadonlyMap<ShardId, string>;
}

export class ShardReports {
  readonly #completeEveryMs: number;
  #told: ReadonlyMap<ShardId, string> = new Map();
  #completedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly completeEveryMs: number }) {
    this.#completeEveryMs = options.completeEveryMs;
  }

  next(shards: readonly LocalShard[], now: number): ReportBatch {
    const led = shards.filter((shard) => shard.isLeader);
    const isComplete = now - this.#completedAt >= this.#completeEveryMs;
    const marks = new Map(led.map((shard) => [shard.meta.id, markOf(shard)]));
    const due = isComplete ? led : led.filter((shard) => this.#isDue(shard, marks));
    return { reports: due.map(reportOf), isComplete, marks };
  }

  /** Prophet answered. */
  taken(batch: ReportBatch, now: number): void {
    this.#told = batch.marks;
    if (batch.isComplete) this.#completedAt = now;
  }

  /** Another Prophet leader, who knows nothing yet: everything must be told again. */
  forget(): void {
    this.#told = new Map();
    this.#completedAt = Number.NEGATIVE_INFINITY;
  }

  /** Trouble is told each time: how long it has lasted counts (d.12). */
  #isDue(shard: LocalShard, marks: ReadonlyMap<ShardId, string>): boolean {
    if (shard.health.some((health) => health.downMs > 0 || health.isPending)) return true;
    return this.#told.get(shard.meta.id) !== marks.get(shard.meta.id);
  }
}

/** Equal as long as there is nothing new to tell; sizes are left to the complete reports. */
function markOf({ meta, term, health }: LocalShard): string {
  const { generation, confVersion } = meta.epoch;
  const troubled = health
    .filter(({ downMs, isPending }) => downMs > 0 || isPending)
    .map(({ replicaId }) => replicaId);
  return [generation, confVersion, term, ...troubled].join(' ');
}

function reportOf(shard: LocalShard): ShardReport {
  return {
    shard: shard.meta,
    term: shard.term,
    leaderReplicaId: shard.replicaId,
    health: shard.health.map(({ replicaId, downMs, isPending }) => ({
      replicaId,
      // Rounded up: a replica that is silent at all must not look healthy.
      downSeconds: Math.ceil(downMs / 1000),
      isPending,
    })),
    sizeBytes: shard.sizeBytes,
    keys: shard.keys,
  };
}
