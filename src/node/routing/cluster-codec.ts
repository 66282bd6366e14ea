// What Prophet answers about the cluster (routes, stores, the whole), between protobuf and Prophet's
// own words.

import { MatrixError } from '../../kernel/errors.ts';
import type {
  ClusterResponseSchema,
  RouteSchema,
  RoutesRequestSchema,
  StoreStatusSchema,
  ClusterResponse as WireCluster,
  Route as WireRoute,
  RoutesRequest as WireRoutesRequest,
  StoreStatus as WireStatus,
} from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { InitOf } from '../../wire/peer-messages.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import { toShard } from '../../wire/shard-codec.ts';
import type {
  ClusterResponse,
  Route,
  RoutesRequest,
  StoreStatus,
  StoreStatusState,
} from '../prophet/protocol.ts';
import { fromDescriptor, readShard, toDescriptor } from './store-codec.ts';

const STATES: readonly StoreStatusState[] = ['up', 'disconnected', 'down', 'draining', 'removed'];

export function toRoutesRequest(request: RoutesRequest): InitOf<typeof RoutesRequestSchema> {
  const { start, end, limit } = request;
  return { start, end, limit };
}

export function fromRoutesRequest(request: WireRoutesRequest): RoutesRequest {
  const { start, end, limit } = request;
  return { start, end, limit };
}

export function toRoute(route: Route): InitOf<typeof RouteSchema> {
  const { leader, sizeBytes, keys } = route;
  const fields = {
    shard: toShard(route.shard),
    sizeBytes: toUint64(sizeBytes),
    keys: toUint64(keys),
  };
  if (leader === undefined) return fields;
  const replicaId = toUint64(leader.replicaId);
  const storeId = toUint64(leader.storeId);
  return { ...fields, leader: { replicaId, storeId, term: toUint64(leader.term) } };
}

export function fromRoute(route: WireRoute): Route {
  const { leader } = route;
  const fields = {
    shard: readShard(route.shard),
    sizeBytes: fromUint64(route.sizeBytes, 'route.size_bytes'),
    keys: fromUint64(route.keys, 'route.keys'),
  };
  if (leader === undefined) return fields;
  return {
    ...fields,
    leader: {
      replicaId: fromUint64(leader.replicaId, 'leader.replica_id'),
      storeId: fromUint64(leader.storeId, 'leader.store_id'),
      term: fromUint64(leader.term, 'leader.term'),
    },
  };
}

export function toStatus(status: StoreStatus): InitOf<typeof StoreStatusSchema> {
  const { state, shards, leaders, blockedBy } = status;
  return {
    store: toDescriptor(status.store),
    state,
    shards,
    leaders,
    blockedBy,
    sizeBytes: toUint64(status.sizeBytes),
    lastHeartbeatMs: toUint64(Math.max(0, Math.floor(status.lastHeartbeatMs))),
    capacityBytes: toUint64(status.capacityBytes),
    freeBytes: toUint64(status.freeBytes),
  };
}

export function fromStatus(status: WireStatus): StoreStatus {
  const { shards, leaders, blockedBy } = status;
  return {
    store: fromDescriptor(status.store),
    state: readState(status.state),
    shards,
    leaders,
    blockedBy,
    sizeBytes: fromUint64(status.sizeBytes, 'size_bytes'),
    lastHeartbeatMs: fromUint64(status.lastHeartbeatMs, 'last_heartbeat_ms'),
    capacityBytes: fromUint64(status.capacityBytes, 'capacity_bytes'),
    freeBytes: fromUint64(status.freeBytes, 'free_bytes'),
  };
}

export function toCluster(cluster: ClusterResponse): InitOf<typeof ClusterResponseSchema> {
  const { clusterId, bootstrapped, maxReplicas, stores, storesUp, shards } = cluster;
  const { shardsUnderReplicated, shardsWithoutLeader } = cluster;
  return {
    ...{ clusterId, bootstrapped, maxReplicas, stores, storesUp, shards },
    ...{ shardsUnderReplicated, shardsWithoutLeader },
    prophetLeaderReplicaId: toUint64(cluster.prophetLeaderReplicaId),
    prophetTerm: toUint64(cluster.prophetTerm),
  };
}

export function fromCluster(cluster: WireCluster): ClusterResponse {
  const { clusterId, bootstrapped, maxReplicas, stores, storesUp, shards } = cluster;
  const { shardsUnderReplicated, shardsWithoutLeader } = cluster;
  return {
    ...{ clusterId, bootstrapped, maxReplicas, stores, storesUp, shards },
    ...{ shardsUnderReplicated, shardsWithoutLeader },
    prophetLeaderReplicaId: fromUint64(cluster.prophetLeaderReplicaId, 'prophet_leader_replica_id'),
    prophetTerm: fromUint64(cluster.prophetTerm, 'prophet_term'),
  };
}

function readState(text: string): StoreStatusState {
  const state = STATES.find((known) => known === text);
  if (state === undefined) {
    throw new MatrixError('INVALID_ARGUMENT', `State ${text.slice(0, 64)} of a store is not known`);
  }
  return state;
}
