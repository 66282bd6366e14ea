// Everything that a decision looks at, gathered once before deciding: stores with their liveness,
// shards with their leader and the health of their replicas. Immutable, and the only input of the
// scheduler, so every decision can be written down as a table.

import type { ReplicaId, ShardId, StoreId } from '../../kernel/ids.ts';
import type { ReplicaDescriptor, ShardMeta } from '../shard/shard-meta.ts';
import type { ProphetState } from './command-checks.ts';
import type { Heartbeats, Liveness, StoreNumbers } from './heartbeats.ts';
import type { ReplicaHealth } from './protocol.ts';
import type { StoreLifecycle } from './records.ts';

export interface StoreInfo extends StoreNumbers {
  readonly id: StoreId;
  readonly state: StoreLifecycle;
  readonly liveness: Liveness;
  /** Heard since this Prophet leader leads, and reachable: may be given something. */
  readonly isReachable: boolean;
  /** Where it fails together with others; empty when unknown. */
  readonly zone: string;
}

export interface ShardInfo {
  readonly meta: ShardMeta;
  /** Undefined when none reported, or when its store is silent. */
  readonly leader: ReplicaDescriptor | undefined;
  readonly health: ReadonlyMap<ReplicaId, ReplicaHealth>;
  /** As its leader reported last; 0 before the first report. */
  readonly sizeBytes: number;
}

export interface ClusterInfo {
  readonly now: number;
  readonly maxReplicas: number;
  readonly stores: ReadonlyMap<StoreId, StoreInfo>;
  /** In ascending order of id. */
  readonly shards: ReadonlyMap<ShardId, ShardInfo>;
}

const ZONE_LABEL = 'zone';

export function gatherCluster(
  state: ProphetState,
  heard: { readonly heartbeats: Heartbeats; readonly now: number },
): ClusterInfo {
  const { heartbeats, now } = heard;
  const stores = new Map<StoreId, StoreInfo>();
  for (const store of state.stores.values()) {
    stores.set(store.id, {
      ...heartbeats.numbers(store.id),
      id: store.id,
      state: store.state,
      liveness: heartbeats.liveness(store.id, now),
      isReachable: heartbeats.isHeard(store.id) && store.address !== '',
      zone: store.labels[ZONE_LABEL] ?? '',
    });
  }
  const shards = new Map<ShardId, ShardInfo>();
  for (const id of shardIds(state, heartbeats)) {
    const meta = heartbeats.meta(id);
    if (meta === undefined) continue;
    const status = heartbeats.status(id);
    const leader = status?.leader;
    const isLed = leader !== undefined && stores.get(leader.storeId)?.liveness === 'up';
    shards.set(id, {
      meta,
      leader: isLed ? leader : undefined,
      health: status?.health ?? new Map(),
      sizeBytes: status?.sizeBytes ?? 0,
    });
  }
  return { now, maxReplicas: state.cluster.maxReplicas, stores, shards };
}

function shardIds(state: ProphetState, heartbeats: Heartbeats): readonly ShardId[] {
  const ids = new Set(state.shards.keys());
  for (const status of heartbeats.reported()) ids.add(status.meta.id);
  return [...ids].sort((a, b) => a - b);
}
