// Who is alive in a shard, and whether a step would leave it with a quorum of live voters. The
// leader of the shard checks the same again with fresher knowledge; this keeps Prophet from asking.

import { unreachable } from '../../kernel/assert.ts';
import type { ReplicaDescriptor } from '../shard/shard-meta.ts';
import { replicaById } from '../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo } from './cluster-view.ts';
import type { Step } from './protocol.ts';

export function votersOf(shard: ShardInfo): readonly ReplicaDescriptor[] {
  return shard.meta.replicas.filter((replica) => replica.role === 'voter');
}

export function learnersOf(shard: ShardInfo): readonly ReplicaDescriptor[] {
  return shard.meta.replicas.filter((replica) => replica.role === 'learner');
}

/** Its store speaks to Prophet and it answers its leader. */
export function isLive(
  cluster: ClusterInfo,
  shard: ShardInfo,
  replica: ReplicaDescriptor,
): boolean {
  const isUp = cluster.stores.get(replica.storeId)?.liveness === 'up';
  return isUp && (shard.health.get(replica.replicaId)?.downSeconds ?? 0) === 0;
}

/** Given up: both Prophet and the leader of the shard have missed it for long (d.12 a and b). */
export function isDead(
  cluster: ClusterInfo,
  shard: ShardInfo,
  replica: ReplicaDescriptor,
): boolean {
  const store = cluster.stores.get(replica.storeId);
  if (store === undefined || store.state === 'removed') return true;
  const isMissed = (shard.health.get(replica.replicaId)?.downSeconds ?? 0) > 0;
  return store.liveness === 'down' && isMissed;
}

/** Live, and no snapshot or long log still on its way. */
export function isCaughtUp(
  cluster: ClusterInfo,
  shard: ShardInfo,
  replica: ReplicaDescriptor,
): boolean {
  const isPending = shard.health.get(replica.replicaId)?.isPending ?? false;
  return isLive(cluster, shard, replica) && !isPending;
}

/** Led, and nothing to wait for: every replica is a voter, alive and caught up. */
export function isCalm(cluster: ClusterInfo, shard: ShardInfo): boolean {
  return (
    shard.leader !== undefined &&
    shard.meta.replicas.every(
      (replica) => replica.role === 'voter' && isCaughtUp(cluster, shard, replica),
    )
  );
}

export function hasQuorum(
  cluster: ClusterInfo,
  shard: ShardInfo,
  voters: readonly ReplicaDescriptor[],
): boolean {
  const live = voters.filter((voter) => isLive(cluster, shard, voter)).length;
  return live > voters.length / 2;
}

/** True when the shard has a quorum of live voters now and would still have one after the step. */
export function keepsQuorum(cluster: ClusterInfo, shard: ShardInfo, step: Step): boolean {
  const voters = votersOf(shard);
  if (!hasQuorum(cluster, shard, voters)) return false;
  if (step.type === 'add-learner' || step.type === 'split') return true;
  const replica = replicaById(shard.meta, step.replicaId);
  if (replica === undefined) return false;
  switch (step.type) {
    case 'promote':
      return isCaughtUp(cluster, shard, replica) && hasQuorum(cluster, shard, [...voters, replica]);
    case 'remove': {
      const rest = voters.filter((voter) => voter.replicaId !== step.replicaId);
      const isLeader = shard.leader?.replicaId === step.replicaId;
      return !isLeader && rest.length > 0 && hasQuorum(cluster, shard, rest);
    }
    case 'transfer-leader':
      return replica.role === 'voter' && isCaughtUp(cluster, shard, replica);
    default:
      return unreachable(step);
  }
}
