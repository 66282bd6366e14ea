// What Prophet's leader has heard since it leads: the last word of every store, and the last report
// on every shard. Nothing of it is replicated; a new leader starts with empty hands and gives every
// store the full time before it calls it down, so that a fail-over never looks like a mass failure.
//
// Invariant: term and epoch of what is kept about a shard never fall (d.12).

import type { ReplicaId, ShardId, StoreId, Term } from '../../kernel/ids.ts';
import type { ReplicaDescriptor, ShardMeta } from '../shard/shard-meta.ts';
import { isNewerEpoch, replicaById } from '../shard/shard-meta.ts';
import { checkShard } from './command-checks.ts';
import { LIMITS } from './prophet-config.ts';
import type { ReplicaHealth, ShardReport, StoreHeartbeatRequest } from './protocol.ts';

/** `disconnected` gets nothing new; `down` has its replicas made up elsewhere. */
export type Liveness = 'up' | 'disconnected' | 'down';

export interface StoreNumbers {
  /** Replicas on the store, as it counts them itself. */
  readonly shards: number;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  readonly sizeBytes: number;
  readonly snapshotsSending: number;
  readonly snapshotsReceiving: number;
}

export interface ShardStatus {
  readonly meta: ShardMeta;
  readonly term: Term;
  /** Undefined after its store said that it leads this shard no longer. */
  readonly leader: ReplicaDescriptor | undefined;
  readonly health: ReadonlyMap<ReplicaId, ReplicaHealth>;
  readonly sizeBytes: number;
  readonly keys: number;
}

export interface HeartbeatsOptions {
  readonly startedAt: number;
  /** The replicated shards: what is known of those that did not report yet. */
  readonly shards: ReadonlyMap<ShardId, ShardMeta>;
  readonly config: {
    readonly storeDisconnectedMs: number;
    readonly storeDownMs: number;
    readonly prepareMs: number;
  };
}

const NOTHING: StoreNumbers = {
  shards: 0,
  capacityBytes: 0,
  freeBytes: 0,
  sizeBytes: 0,
  snapshotsSending: 0,
  snapshotsReceiving: 0,
};

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #heardAt = new Map<StoreId, number>();
  readonly #numbers = new Map<StoreId, StoreNumbers>();
  readonly #incarnations = new Map<StoreId, number>();
  readonly #statuses = new Map<ShardId, ShardStatus>();
  #isPrepared = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  /** A sign of life without numbers: a store that registers is up. */
  noteStore(storeId: StoreId, now: number): void {
    this.#heardAt.set(storeId, now);
  }

  /** False when a newer process spoke for this store already: the older one is fenced (d.11). */
  takeStore(request: StoreHeartbeatRequest, now: number): boolean {
    const newest = this.#incarnations.get(request.storeId) ?? 0;
    if (request.incarnation < newest) return false;
    this.#incarnations.set(request.storeId, request.incarnation);
    this.#heardAt.set(request.storeId, now);
    this.#numbers.set(request.storeId, {
      shards: request.shards,
      capacityBytes: request.capacityBytes,
      freeBytes: request.freeBytes,
      sizeBytes: request.sizeBytes,
      snapshotsSending: request.snapshotsSending,
      snapshotsReceiving: request.snapshotsReceiving,
    });
    if (request.isComplete) this.#forgetLeadership(request);
    return true;
  }

  /** Keeps a report unless it is malformed, comes from a stranger, or tells of the past. */
  takeReport(storeId: StoreId, report: ShardReport): boolean {
    const { shard, term } = report;
    const leader = replicaById(shard, report.leaderReplicaId);
    if (checkShard(shard) !== undefined || leader?.storeId !== storeId) return false;
    const known = this.meta(shard.id);
    if (known === undefined && this.#statuses.size >= LIMITS.shardsMax) return false;
    if (known !== undefined && isNewerEpoch(known.epoch, shard.epoch)) return false;
    if (term < (this.#statuses.get(shard.id)?.term ?? 0)) return false;
    this.#statuses.set(shard.id, {
      meta: shard,
      term,
      leader,
      health: new Map(report.health.map((health) => [health.replicaId, health])),
      sizeBytes: report.sizeBytes,
      keys: report.keys,
    });
    return true;
  }

  /** The newest that is known about a shard, reported or replicated. */
  meta(shardId: ShardId): ShardMeta | undefined {
    return this.#statuses.get(shardId)?.meta ?? this.#options.shards.get(shardId);
  }

  status(shardId: ShardId): ShardStatus | undefined {
    return this.#statuses.get(shardId);
  }

  /** Shards that reported since this leader leads. */
  reported(): IterableIterator<ShardStatus> {
    return this.#statuses.values();
  }

  isHeard(storeId: StoreId): boolean {
    return this.#heardAt.has(storeId);
  }

  silentMs(storeId: StoreId, now: number): number {
    return now - (this.#heardAt.get(storeId) ?? this.#options.startedAt);
  }

  liveness(storeId: StoreId, now: number): Liveness {
    const silentMs = this.silentMs(storeId, now);
    if (silentMs >= this.#options.config.storeDownMs) return 'down';
    return silentMs >= this.#options.config.storeDisconnectedMs ? 'disconnected' : 'up';
  }

  numbers(storeId: StoreId): StoreNumbers {
    return this.#numbers.get(storeId) ?? NOTHING;
  }

  /** True when the store itself has said, since this leader leads, that it holds no replica. */
  saysItIsEmpty(storeId: StoreId): boolean {
    return this.#numbers.get(storeId)?.shards === 0;
  }

  /** True once enough is known to move anything; stays true for this leadership (lesson 21). */
  isPrepared(now: number): boolean {
    this.#isPrepared ||=
      now - this.#options.startedAt >= this.#options.config.prepareMs ||
      this.#countReported() * 100 >= this.#options.shards.size * LIMITS.preparedPercent;
    return this.#isPrepared;
  }

  /** True when every replicated shard has a leader that reported: nothing is known by hearsay only. */
  isComplete(): boolean {
    return this.#countReported() === this.#options.shards.size;
  }

  #countReported(): number {
    let count = 0;
    for (const id of this.#options.shards.keys()) if (this.#statuses.has(id)) count += 1;
    return count;
  }

  /** A complete list says also what the store leads no longer. */
  #forgetLeadership(request: StoreHeartbeatRequest): void {
    const led = new Set(request.reports.map((report) => report.shard.id));
    for (const [id, status] of this.#statuses) {
      if (status.leader?.storeId !== request.storeId || led.has(id)) continue;
      this.#statuses.set(id, { ...status, leader: undefined });
    }
  }
}
