// What a policy is: a pure function from the shard and its surroundings to a plan. Policies stand in
// ordered chains; the first one that has something to say decides.

import type { ClusterInfo, ShardInfo } from '../cluster-view.ts';
import type { Ledger } from '../ledger.ts';
import type { Plan } from '../plan.ts';

export interface Surroundings {
  readonly cluster: ClusterInfo;
  readonly ledger: Ledger;
  /** A mass failure: no replica is made up for one that is missing (lesson 13). */
  readonly isBraked: boolean;
}

/** `leave`: nothing may be done with this shard now. Undefined: the next policy may decide. */
export type Verdict = Plan | 'leave' | undefined;

export type Policy = (shard: ShardInfo, surroundings: Surroundings) => Verdict;

/** The first verdict of a chain, as a plan. */
export function firstPlan(
  chain: readonly Policy[],
  shard: ShardInfo,
  surroundings: Surroundings,
): Plan | undefined {
  for (const policy of chain) {
    const verdict = policy(shard, surroundings);
    if (verdict === 'leave') return undefined;
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}
