// Evens out the number of replicas, and of leaders, among the stores. Only calm shards move, and
// only from a store that has at least two more than the other: each move then lowers the sum of
// squares, so balancing ends, and nothing ever moves back.

import type { StoreId } from '../../../kernel/ids.ts';
import { replicaOn } from '../../shard/shard-meta.ts';
import type { ShardInfo, StoreInfo } from '../cluster-view.ts';
import type { Plan } from '../plan.ts';
import { isCalm } from '../quorum.ts';
import { countSiblings, isOpen } from './placement.ts';
import type { Surroundings } from './policy.ts';

const DIFFERENCE_MIN = 2;
/** With many replicas a few per cent more or less are not worth a snapshot. */
const TOLERANCE_PERCENT = 5;

/** The next move of a replica between stores, among the shards given; undefined when it is even. */
export function balanceReplicas(
  shards: readonly ShardInfo[],
  surroundings: Surroundings,
): Plan | undefined {
  const { ledger } = surroundings;
  return firstPair(
    surroundings,
    (id) => ledger.replicas(id),
    ({ from, to }) => {
      if (!ledger.canReceive(to.id)) return undefined;
      const shard = shards.find((candidate) => mayMove(candidate, surroundings, { from, to }));
      const leaving = shard && replicaOn(shard.meta, from.id);
      if (shard === undefined || leaving === undefined) return undefined;
      return {
        type: 'move',
        shardId: shard.meta.id,
        fromId: leaving.replicaId,
        storeId: to.id,
        reason: `Store ${from.id} has ${ledger.replicas(from.id)} replicas, store ${to.id} has ${ledger.replicas(to.id)}`,
        isBalance: true,
      };
    },
  );
}

/** The next handing over of a leader, among the shards given; undefined when it is even. */
export function balanceLeaders(
  shards: readonly ShardInfo[],
  surroundings: Surroundings,
): Plan | undefined {
  const { cluster, ledger } = surroundings;
  return firstPair(
    surroundings,
    (id) => ledger.leaders(id),
    ({ from, to }) => {
      for (const shard of shards) {
        const next = replicaOn(shard.meta, to.id);
        if (shard.leader?.storeId !== from.id || next === undefined) continue;
        if (!isCalm(cluster, shard)) continue;
        return {
          type: 'transfer-leader',
          shardId: shard.meta.id,
          replicaId: next.replicaId,
          reason: `Store ${from.id} leads ${ledger.leaders(from.id)} shards, store ${to.id} leads ${ledger.leaders(to.id)}`,
          isBalance: true,
        };
      }
      return undefined;
    },
  );
}

interface Pair {
  readonly from: StoreInfo;
  readonly to: StoreInfo;
}

/** Tries pairs of stores, the most uneven first, until one yields a plan. */
function firstPair(
  { cluster, ledger }: Surroundings,
  countOf: (storeId: StoreId) => number,
  planFor: (pair: Pair) => Plan | undefined,
): Plan | undefined {
  if (!ledger.canBalance()) return undefined;
  const open = [...cluster.stores.values()].filter(isOpen);
  const byCount = open.sort((a, b) => countOf(a.id) - countOf(b.id) || a.id - b.id);
  for (const from of [...byCount].reverse()) {
    for (const to of byCount) {
      const difference = countOf(from.id) - countOf(to.id);
      if (difference < Math.max(DIFFERENCE_MIN, (countOf(from.id) * TOLERANCE_PERCENT) / 100))
        break;
      const plan = planFor({ from, to });
      if (plan !== undefined) return plan;
    }
  }
  return undefined;
}

/** Calm, at home in the one store and not in the other, and not worse spread over zones after. */
function mayMove(shard: ShardInfo, { cluster, ledger }: Surroundings, { from, to }: Pair): boolean {
  const leaving = replicaOn(shard.meta, from.id);
  if (leaving === undefined || replicaOn(shard.meta, to.id) !== undefined) return false;
  if (shard.leader === undefined || !ledger.canSend(shard.leader.storeId)) return false;
  if (!isCalm(cluster, shard)) return false;
  const leavingId = leaving.replicaId;
  const before = countSiblings(cluster, shard, { storeId: from.id, leavingId });
  return countSiblings(cluster, shard, { storeId: to.id, leavingId }) <= before;
}
