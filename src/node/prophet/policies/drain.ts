// Empties a store that is draining: first its leaders hand over, which takes a moment and frees the
// users of the store; then its replicas move, one by one, to stores that stay (lesson 11).

import type { StoreId } from '../../../kernel/ids.ts';
import type { ReplicaDescriptor } from '../../shard/shard-meta.ts';
import { replicaOn } from '../../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo } from '../cluster-view.ts';
import { describeTooFew } from '../command-checks.ts';
import { hasQuorum, isCaughtUp, votersOf } from '../quorum.ts';
import { chooseStore, isOpen, mayHold } from './placement.ts';
import type { Policy, Surroundings, Verdict } from './policy.ts';

export const DRAIN_CHAIN: readonly Policy[] = [handOverLeader, moveReplica];

function handOverLeader(shard: ShardInfo, { cluster, ledger }: Surroundings): Verdict {
  if (shard.leader === undefined || !isDraining(cluster, shard.leader)) return undefined;
  const [next] = votersOf(shard)
    .filter((voter) => cluster.stores.get(voter.storeId)?.state === 'serving')
    .filter((voter) => isCaughtUp(cluster, shard, voter))
    .sort((a, b) => ledger.leaders(a.storeId) - ledger.leaders(b.storeId));
  if (next === undefined) return undefined;
  return {
    type: 'transfer-leader',
    shardId: shard.meta.id,
    replicaId: next.replicaId,
    reason: `Store ${shard.leader.storeId} is draining`,
    isBalance: false,
  };
}

function moveReplica(shard: ShardInfo, surroundings: Surroundings): Verdict {
  const { cluster, isBraked } = surroundings;
  const leaving = votersOf(shard).find((voter) => isDraining(cluster, voter));
  if (leaving === undefined || shard.leader === undefined || isBraked) return undefined;
  if (!hasQuorum(cluster, shard, votersOf(shard))) return undefined;
  const store = chooseStore(shard, surroundings, leaving.replicaId);
  if (store === undefined) return undefined;
  return {
    type: 'move',
    shardId: shard.meta.id,
    fromId: leaving.replicaId,
    storeId: store.id,
    reason: `Store ${leaving.storeId} is draining`,
    isBalance: false,
  };
}

/** Why a drain makes no progress, for people; empty while it does. */
export function describeBlockedDrain(cluster: ClusterInfo, storeId: StoreId): string {
  const held = [...cluster.shards.values()].filter(
    (shard) => replicaOn(shard.meta, storeId) !== undefined,
  );
  if (held.length === 0) return '';
  const open = [...cluster.stores.values()].filter(
    (store) => store.id !== storeId && isOpen(store),
  );
  const tooFew = describeTooFew(storeId, cluster.maxReplicas, open.length);
  if (tooFew !== '') return tooFew;
  const helpless = held.filter(
    (shard) => shard.leader === undefined || !hasQuorum(cluster, shard, votersOf(shard)),
  );
  if (helpless.length > 0) return `${helpless.length} shards have no leader or no quorum`;
  const homeless = held.filter((shard) => !open.some((store) => mayHold(store, shard)));
  return homeless.length > 0 ? `${homeless.length} shards have no other store to go to` : '';
}

function isDraining(cluster: ClusterInfo, replica: ReplicaDescriptor): boolean {
  return cluster.stores.get(replica.storeId)?.state === 'draining';
}
