// Prophet's knowledge for people and tools: one line for each store, and the cluster in numbers.

import type { ReplicaId, StoreId } from '../../kernel/ids.ts';
import type { ClusterInfo, StoreInfo } from './cluster-view.ts';
import type { ProphetState } from './command-checks.ts';
import type { Leadership } from './leadership.ts';
import { describeBlockedDrain } from './policies/drain.ts';
import type { ClusterResponse, StoreDescriptor, StoreStatus } from './protocol.ts';
import { isLive, votersOf } from './quorum.ts';
import type { StoreRecord } from './records.ts';

/** The public part of a record. */
export function descriptorOf(store: StoreRecord): StoreDescriptor {
  return {
    id: store.id,
    name: store.name,
    address: store.address,
    httpAddress: store.httpAddress,
    version: store.version,
    labels: store.labels,
    isProphetMember: store.isProphetMember,
  };
}

export function describeStores(
  state: ProphetState,
  leadership: Leadership,
  now: number,
): readonly StoreStatus[] {
  const cluster = leadership.cluster(now);
  const counts = countHeld(cluster);
  const statuses: StoreStatus[] = [];
  for (const store of state.stores.values()) {
    const info = cluster.stores.get(store.id);
    if (info === undefined) continue;
    statuses.push({
      store: descriptorOf(store),
      state: info.state === 'serving' ? info.liveness : info.state,
      shards: counts.get(store.id)?.shards ?? 0,
      leaders: counts.get(store.id)?.leaders ?? 0,
      sizeBytes: info.sizeBytes,
      lastHeartbeatMs: Math.floor(leadership.heartbeats.silentMs(store.id, now)),
      blockedBy: blockedBy(info, cluster, leadership),
      capacityBytes: info.capacityBytes,
      freeBytes: info.freeBytes,
    });
  }
  return statuses.sort((a, b) => a.store.id - b.store.id);
}

export function describeCluster(
  state: ProphetState,
  leadership: Leadership,
  at: { readonly now: number; readonly leader: ReplicaId },
): ClusterResponse {
  const cluster = leadership.cluster(at.now);
  const stores = [...cluster.stores.values()].filter((store) => store.state !== 'removed');
  const shards = [...cluster.shards.values()];
  return {
    clusterId: state.cluster.clusterId,
    bootstrapped: state.cluster.isBootstrapped,
    maxReplicas: state.cluster.maxReplicas,
    prophetLeaderReplicaId: at.leader,
    prophetTerm: leadership.term,
    stores: stores.length,
    storesUp: stores.filter((store) => store.liveness === 'up').length,
    shards: shards.length,
    shardsUnderReplicated: shards.filter((shard) => {
      const live = votersOf(shard).filter((voter) => isLive(cluster, shard, voter));
      return live.length < cluster.maxReplicas;
    }).length,
    shardsWithoutLeader: shards.filter((shard) => shard.leader === undefined).length,
  };
}

function blockedBy(store: StoreInfo, cluster: ClusterInfo, leadership: Leadership): string {
  if (store.state !== 'draining') return '';
  if (leadership.heartbeats.isPrepared(cluster.now)) return describeBlockedDrain(cluster, store.id);
  return 'Prophet has a new leader that waits for reports';
}

interface Held {
  readonly shards: number;
  readonly leaders: number;
}

/** Counted from the shards, not from what stores say: a dead store says nothing. */
function countHeld(cluster: ClusterInfo): ReadonlyMap<StoreId, Held> {
  const counts = new Map<StoreId, Held>();
  for (const shard of cluster.shards.values()) {
    for (const { storeId, replicaId } of shard.meta.replicas) {
      const { shards, leaders } = counts.get(storeId) ?? { shards: 0, leaders: 0 };
      const leads = shard.leader?.replicaId === replicaId ? 1 : 0;
      counts.set(storeId, { shards: shards + 1, leaders: leaders + leads });
    }
  }
  return counts;
}
