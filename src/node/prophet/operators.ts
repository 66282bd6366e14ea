// The operators in flight, one for a shard at most. Volatile: a new Prophet leader starts with none
// and finds half-done work in the shards themselves (a learner too many, a voter too few), so losing
// this table costs time only.

import { assert } from '../../kernel/assert.ts';
import type { ReplicaId, ShardId, StoreId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Logger } from '../../kernel/observer.ts';
import type { ClusterInfo, ShardInfo } from './cluster-view.ts';
import { copyBytes } from './ledger.ts';
import type { Operator } from './operator-progress.ts';
import { judge, tickOff } from './operator-progress.ts';
import type { Plan } from './plan.ts';
import { addedTo, stepsOf } from './plan.ts';
import { LIMITS } from './prophet-config.ts';
import type { ShardStep } from './protocol.ts';

const MINUTE_MS = 60_000;

interface Addition {
  readonly at: number;
  readonly bytes: number;
}

export class Operators {
  readonly #log: Logger;
  readonly #operators = new Map<ShardId, Operator>();
  /** The step that each operator wants done now, for the store that leads the shard. */
  readonly #steps = new Map<ShardId, { readonly storeId: StoreId; readonly step: ShardStep }>();
  /** What each store was given within the last minute. */
  readonly #adds = new Map<StoreId, readonly Addition[]>();

  constructor(log: Logger) {
    this.#log = log;
  }

  get size(): number {
    return this.#operators.size;
  }

  has(shardId: ShardId): boolean {
    return this.#operators.has(shardId);
  }

  all(): readonly Operator[] {
    return [...this.#operators.values()];
  }

  /** Begins a plan. `freshId` is an id that nobody had, for plans that add a replica. */
  start(
    plan: Plan,
    at: { readonly freshId: ReplicaId; readonly shard: ShardInfo; readonly now: number },
  ): void {
    assert(!this.#operators.has(plan.shardId), `Shard ${plan.shardId} has an operator already`);
    assert(this.#operators.size < LIMITS.operatorsMax, 'Too many operators at once');
    const storeId = addedTo(plan);
    const newId = storeId === undefined ? heirOf(plan) : at.freshId;
    this.#operators.set(plan.shardId, {
      plan,
      newId,
      steps: stepsOf(plan, newId),
      done: 0,
      epoch: at.shard.meta.epoch,
      stepSince: at.now,
    });
    if (storeId !== undefined) {
      const addition = { at: at.now, bytes: copyBytes(at.shard) };
      this.#adds.set(storeId, [...this.#recentAdds(storeId, at.now), addition]);
    }
    this.#log.info(
      { shard: plan.shardId, plan: plan.type, reason: plan.reason },
      'Operator starts',
    );
  }

  /** Looks at every operator again, ends those that are done, and works out the next steps. */
  advance(cluster: ClusterInfo): void {
    this.#steps.clear();
    for (const [shardId, operator] of this.#operators) {
      const shard = cluster.shards.get(shardId);
      if (shard === undefined) this.#operators.delete(shardId);
      else this.#advanceOne(tickOff(operator, shard, cluster.now), shard, cluster);
    }
  }

  /** The steps for the shards that this store leads. */
  stepsFor(storeId: StoreId): readonly ShardStep[] {
    return [...this.#steps.values()]
      .filter((entry) => entry.storeId === storeId)
      .map((entry) => entry.step);
  }

  /** How many bytes of replicas each store was given within the last minute, as limits count them. */
  addBytesPerStore(now: number): ReadonlyMap<StoreId, number> {
    const sums = new Map<StoreId, number>();
    for (const storeId of this.#adds.keys()) {
      const recent = this.#recentAdds(storeId, now);
      this.#adds.set(storeId, recent);
      sums.set(
        storeId,
        recent.reduce((sum, { bytes }) => sum + bytes, 0),
      );
    }
    return sums;
  }

  #advanceOne(operator: Operator, shard: ShardInfo, cluster: ClusterInfo): void {
    const shardId = shard.meta.id;
    const verdict = judge(operator, shard, cluster);
    if (verdict.type === 'done' || verdict.type === 'cancel') {
      this.#operators.delete(shardId);
      const reason = verdict.type === 'done' ? '' : verdict.reason;
      const { type } = operator.plan;
      if (reason === '') this.#log.info({ shard: shardId, plan: type }, 'Operator is done');
      else this.#log.warn({ shard: shardId, plan: type, reason }, 'Operator is cancelled');
      return;
    }
    this.#operators.set(shardId, operator);
    if (verdict.type === 'wait' || shard.leader === undefined) return;
    const step = { shardId, epoch: shard.meta.epoch, step: verdict.step };
    this.#steps.set(shardId, { storeId: shard.leader.storeId, step });
  }

  #recentAdds(storeId: StoreId, now: number): readonly Addition[] {
    return (this.#adds.get(storeId) ?? []).filter(({ at }) => now - at < MINUTE_MS);
  }
}

function heirOf(plan: Plan): ReplicaId {
  if (plan.type === 'succeed') return plan.heirId;
  return plan.type === 'promote' ? plan.replicaId : NO_ID;
}
