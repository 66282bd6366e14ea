// One round of scheduling: what should be begun now, given everything that is known and everything
// that is under way. Pure. Policies come in order of urgency (d.12): repair, drain, balance.

import type { ShardId } from '../../kernel/ids.ts';
import type { ClusterInfo, ShardInfo } from './cluster-view.ts';
import type { Running } from './ledger.ts';
import { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import { balanceLeaders, balanceReplicas } from './policies/balance.ts';
import { DRAIN_CHAIN } from './policies/drain.ts';
import type { Surroundings } from './policies/policy.ts';
import { firstPlan } from './policies/policy.ts';
import { REPAIR_CHAIN } from './policies/repair.ts';
import { LIMITS } from './prophet-config.ts';

const SHARD_CHAINS = [REPAIR_CHAIN, DRAIN_CHAIN];
const BALANCERS = [balanceReplicas, balanceLeaders];

export function schedule(
  cluster: ClusterInfo,
  under: { readonly running: Running; readonly isBraked: boolean },
): readonly Plan[] {
  const { running, isBraked } = under;
  const surroundings = { cluster, ledger: new Ledger(cluster, running), isBraked };
  const room = LIMITS.operatorsMax - running.operators.length;
  const busy = new Set(running.operators.map((operator) => operator.plan.shardId));
  const round = new Round(surroundings, { busy, room });
  for (const chain of SHARD_CHAINS) {
    for (const shard of cluster.shards.values()) {
      if (round.isFull()) return round.plans;
      if (!round.isFree(shard)) continue;
      const plan = firstPlan(chain, shard, surroundings);
      if (plan !== undefined) round.take(plan, shard);
    }
  }
  // During a mass failure the survivors are left in peace.
  if (!isBraked) balance(round, surroundings);
  return round.plans;
}

function balance(round: Round, surroundings: Surroundings): void {
  for (const balancer of BALANCERS) {
    while (!round.isFull()) {
      const free = [...surroundings.cluster.shards.values()].filter((shard) => round.isFree(shard));
      const plan = balancer(free, surroundings);
      const shard = plan && surroundings.cluster.shards.get(plan.shardId);
      if (plan === undefined || shard === undefined) break;
      round.take(plan, shard);
    }
  }
}

/** The plans of one round: one for a shard at most, and no more than there is room for. */
class Round {
  readonly plans: Plan[] = [];
  readonly #surroundings: Surroundings;
  readonly #busy: Set<ShardId>;
  readonly #room: number;

  constructor(
    surroundings: Surroundings,
    limits: { readonly busy: Set<ShardId>; readonly room: number },
  ) {
    this.#surroundings = surroundings;
    this.#busy = limits.busy;
    this.#room = limits.room;
  }

  isFree(shard: ShardInfo): boolean {
    return !this.#busy.has(shard.meta.id);
  }

  isFull(): boolean {
    return this.plans.length >= this.#room;
  }

  take(plan: Plan, shard: ShardInfo): void {
    this.plans.push(plan);
    this.#busy.add(plan.shardId);
    this.#surroundings.ledger.enter(plan, shard);
  }
}
