// Where a new replica goes: to a store that lives, has room, does not hold the shard yet and is not
// busy with snapshots; among those into the zone with the fewest siblings, then to the emptiest.

import type { ReplicaId, StoreId } from '../../../kernel/ids.ts';
import { replicaOn } from '../../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo, StoreInfo } from '../cluster-view.ts';
import { LIMITS } from '../prophet-config.ts';
import type { Surroundings } from './policy.ts';

/** The best store for one replica more, in place of `leavingId` if given; undefined if none will do. */
export function chooseStore(
  shard: ShardInfo,
  surroundings: Surroundings,
  leavingId?: ReplicaId,
): StoreInfo | undefined {
  const { cluster, ledger } = surroundings;
  if (shard.leader === undefined || !ledger.canSend(shard.leader.storeId)) return undefined;
  let best: StoreInfo | undefined;
  for (const store of cluster.stores.values()) {
    if (!mayHold(store, shard) || !ledger.canReceive(store.id)) continue;
    if (best === undefined || isBetter(store, best)) best = store;
  }
  return best;

  function isBetter(a: StoreInfo, b: StoreInfo): boolean {
    const siblingsOf = (store: StoreInfo): number =>
      countSiblings(cluster, shard, { storeId: store.id, leavingId });
    const difference =
      siblingsOf(a) - siblingsOf(b) ||
      ledger.replicas(a.id) - ledger.replicas(b.id) ||
      b.freeBytes - a.freeBytes ||
      a.id - b.id;
    return difference < 0;
  }
}

/** Whether a store could take this shard at all, now or when it is less busy. */
export function mayHold(store: StoreInfo, shard: ShardInfo): boolean {
  return isOpen(store) && replicaOn(shard.meta, store.id) === undefined;
}

/** Serves, lives, can be reached and has room. */
export function isOpen(store: StoreInfo): boolean {
  const isUp = store.state === 'serving' && store.liveness === 'up' && store.isReachable;
  return isUp && hasRoom(store);
}

/** How many other replicas of the shard are in the store's zone. */
export function countSiblings(
  cluster: ClusterInfo,
  shard: ShardInfo,
  at: { readonly storeId: StoreId; readonly leavingId: ReplicaId | undefined },
): number {
  const zone = cluster.stores.get(at.storeId)?.zone ?? '';
  if (zone === '') return 0;
  return shard.meta.replicas.filter(
    (replica) =>
      replica.replicaId !== at.leavingId &&
      replica.storeId !== at.storeId &&
      cluster.stores.get(replica.storeId)?.zone === zone,
  ).length;
}

function hasRoom(store: StoreInfo): boolean {
  if (store.capacityBytes === 0) return true;
  const usedBytes = store.capacityBytes - store.freeBytes;
  return usedBytes * 100 <= store.capacityBytes * LIMITS.usedPercentMax;
}
