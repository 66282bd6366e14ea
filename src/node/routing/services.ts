// What a node offers to the world, free of HTTP and gRPC: the faces in `server/` translate to and
// from these calls. Any node answers any call; every call has one absolute deadline (clock.now()).

import type {
  GetResult,
  Precondition,
  ScanRequest,
  ScanResult,
  WriteResult,
} from '../shard/kv-types.ts';
import type { Epoch, ReplicaDescriptor } from '../shard/shard-meta.ts';

export interface CallContext {
  /** Absolute, on the node's clock, in milliseconds. */
  readonly deadline: number;
  readonly signal?: AbortSignal;
}

export interface KvService {
  get(key: Uint8Array, context: CallContext): Promise<GetResult>;
  put(request: PutRequest, context: CallContext): Promise<WriteResult>;
  delete(request: DeleteRequest, context: CallContext): Promise<WriteResult>;
  scan(request: ScanRequest, context: CallContext): Promise<ScanResult>;
}

export interface PutRequest {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly precondition?: Precondition;
}

export interface DeleteRequest {
  readonly key: Uint8Array;
  readonly precondition?: Precondition;
}

export interface ShardView {
  readonly id: number;
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly epoch: Epoch;
  readonly replicas: readonly ReplicaDescriptor[];
  /** Store of the leader, 0 when unknown. */
  readonly leaderStoreId: number;
  readonly sizeBytes: number;
  readonly keys: number;
}

export type StoreState = 'up' | 'disconnected' | 'down' | 'draining' | 'removed';

export interface StoreView {
  readonly id: number;
  readonly name: string;
  /** Where other nodes reach it, `host:port`. */
  readonly address: string;
  /** Where users reach it over HTTP, `host:port`. */
  readonly httpAddress: string;
  readonly state: StoreState;
  readonly shards: number;
  readonly leaders: number;
  readonly sizeBytes: number;
  /** Milliseconds since its last heartbeat, as the Prophet leader knows it. */
  readonly lastHeartbeatMs: number;
  readonly version: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Why a drain makes no progress, in words; empty otherwise. */
  readonly blockedBy: string;
}

export interface ClusterView {
  readonly clusterId: string;
  readonly version: string;
  readonly bootstrapped: boolean;
  readonly maxReplicas: number;
  readonly prophet: {
    /** Name of the Prophet node that leads, empty when none is known. */
    readonly leader: string;
    readonly term: number;
    readonly members: readonly { readonly name: string; readonly address: string }[];
  };
  readonly stores: number;
  readonly storesUp: number;
  readonly shards: number;
  readonly shardsUnderReplicated: number;
  readonly shardsWithoutLeader: number;
}

export interface Health {
  /** The event loop turns and no storage error happened: what /livez says. Never depends on others. */
  readonly isLive: boolean;
  /** Replicas open, store registered, member of Prophet voting, not stopping: what /readyz says. */
  readonly isReady: boolean;
  /** One line for each check: name, and why it fails (empty when it does not). */
  readonly checks: readonly { readonly name: string; readonly problem: string }[];
}

export interface AdminService {
  /** This node's store id; 0 before it has one. */
  readonly storeId: number;
  /** All shards as Prophet knows them, or the replicas on this node only. */
  shards(
    options: { readonly isLocal: boolean },
    context: CallContext,
  ): Promise<readonly ShardView[]>;
  stores(context: CallContext): Promise<readonly StoreView[]>;
  cluster(context: CallContext): Promise<ClusterView>;
  health(): Health;
  /** Moves every replica off the store. Refused with the reason when it cannot end (lesson 11). */
  drain(storeId: number, context: CallContext): Promise<void>;
  cancelDrain(storeId: number, context: CallContext): Promise<void>;
  /** Makes a leader transfer: to the replica on this store. */
  transferLeader(
    request: { readonly shardId: number; readonly storeId: number },
    context: CallContext,
  ): Promise<void>;
}
