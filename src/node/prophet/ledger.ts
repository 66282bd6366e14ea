// How loaded every store will be once everything that is under way has ended. Each decision of a
// round is entered at once, so the next one already counts it: without that, every shard of a round
// would choose the same emptiest store.

import type { StoreId } from '../../kernel/ids.ts';
import { replicaById } from '../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo } from './cluster-view.ts';
import type { Operator } from './operator-progress.ts';
import type { Plan } from './plan.ts';
import { addedTo, takenAway } from './plan.ts';
import { LIMITS } from './prophet-config.ts';

/** What is under way when a round of scheduling begins. */
export interface Running {
  readonly operators: readonly Operator[];
  readonly addBytesPerStore: ReadonlyMap<StoreId, number>;
}

/** Of what a store reports to be on its way, nobody knows the size: it is taken to be large. */
const REPORTED_COPY_BYTES = LIMITS.copyBytesPerStore / 2;

export class Ledger {
  readonly #replicas = new Map<StoreId, number>();
  readonly #leaders = new Map<StoreId, number>();
  /** Bytes on their way to and from each store, and given within the last minute. */
  readonly #receiving = new Map<StoreId, number>();
  readonly #sending = new Map<StoreId, number>();
  readonly #adds: Map<StoreId, number>;
  #balancing = 0;

  constructor(cluster: ClusterInfo, running: Running) {
    this.#adds = new Map(running.addBytesPerStore);
    for (const shard of cluster.shards.values()) {
      for (const replica of shard.meta.replicas) change(this.#replicas, replica.storeId, 1);
      if (shard.leader !== undefined) change(this.#leaders, shard.leader.storeId, 1);
    }
    for (const { plan, newId } of running.operators) {
      const shard = cluster.shards.get(plan.shardId);
      if (shard === undefined) continue;
      const added = replicaById(shard.meta, newId);
      this.#enter(plan, shard, { isAdded: added !== undefined, isVoter: added?.role === 'voter' });
    }
    // What the stores report covers snapshots that no operator of this leader asked for.
    for (const store of cluster.stores.values()) {
      raise(this.#receiving, store.id, store.snapshotsReceiving * REPORTED_COPY_BYTES);
      raise(this.#sending, store.id, store.snapshotsSending * REPORTED_COPY_BYTES);
    }
  }

  /** Counts a new plan of this round. */
  enter(plan: Plan, shard: ShardInfo): void {
    this.#enter(plan, shard, { isAdded: false, isVoter: false });
    const storeId = addedTo(plan);
    if (storeId !== undefined) change(this.#adds, storeId, copyBytes(shard));
  }

  replicas(storeId: StoreId): number {
    return this.#replicas.get(storeId) ?? 0;
  }

  leaders(storeId: StoreId): number {
    return this.#leaders.get(storeId) ?? 0;
  }

  canBalance(): boolean {
    return this.#balancing < LIMITS.balanceOperatorsMax;
  }

  canSend(storeId: StoreId): boolean {
    return (this.#sending.get(storeId) ?? 0) < LIMITS.copyBytesPerStore;
  }

  canReceive(storeId: StoreId): boolean {
    const isFree = (this.#receiving.get(storeId) ?? 0) < LIMITS.copyBytesPerStore;
    return isFree && (this.#adds.get(storeId) ?? 0) < LIMITS.addBytesPerMinute;
  }

  #enter(
    plan: Plan,
    shard: ShardInfo,
    seen: { readonly isAdded: boolean; readonly isVoter: boolean },
  ): void {
    const target = addedTo(plan);
    if (target !== undefined && !seen.isAdded) change(this.#replicas, target, 1);
    if (target !== undefined && !seen.isVoter) {
      change(this.#receiving, target, copyBytes(shard));
      if (shard.leader !== undefined) {
        change(this.#sending, shard.leader.storeId, copyBytes(shard));
      }
    }
    const goneId = takenAway(plan);
    const gone = goneId === undefined ? undefined : replicaById(shard.meta, goneId);
    if (gone !== undefined) change(this.#replicas, gone.storeId, -1);
    if (plan.isBalance) this.#balancing += 1;
    if (plan.type === 'transfer-leader') this.#moveLeader(plan, shard);
  }

  #moveLeader(plan: Plan & { readonly type: 'transfer-leader' }, shard: ShardInfo): void {
    const next = replicaById(shard.meta, plan.replicaId);
    if (next === undefined || shard.leader === undefined) return;
    change(this.#leaders, shard.leader.storeId, -1);
    change(this.#leaders, next.storeId, 1);
  }
}

/** What a copy of the shard counts in limits. */
export function copyBytes(shard: ShardInfo): number {
  return Math.max(shard.sizeBytes, LIMITS.copyBytesMin);
}

function change(counts: Map<StoreId, number>, storeId: StoreId, by: number): void {
  counts.set(storeId, (counts.get(storeId) ?? 0) + by);
}

function raise(counts: Map<StoreId, number>, storeId: StoreId, atLeast: number): void {
  counts.set(storeId, Math.max(counts.get(storeId) ?? 0, atLeast));
}
