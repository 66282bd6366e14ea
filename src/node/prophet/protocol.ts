// What nodes ask Prophet, in plain words of this room: the same messages as
// proto/matrixkv/v1/peer.proto, with numbers that were checked at the wire gate. The room knows
// nothing about protobuf; routing translates.

import type { ReplicaId, ShardId, StoreId, Term } from '../../kernel/ids.ts';
import type { Epoch, ShardMeta } from '../shard/shard-meta.ts';

export interface StoreDescriptor {
  /** NO_ID for a store that asks for its id. */
  readonly id: StoreId;
  readonly name: string;
  /** Where other nodes reach it; empty when a newer store has taken the address over. */
  readonly address: string;
  readonly httpAddress: string;
  readonly version: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isProphetMember: boolean;
}

export interface RegisterStoreRequest {
  readonly store: StoreDescriptor;
  /** Grows with every start of the process. */
  readonly incarnation: number;
  /** Random bytes that the data directory keeps from its creation on: the identity of the disk. */
  readonly nonce: Uint8Array;
}

export interface RegisterStoreResponse {
  readonly storeId: StoreId;
  readonly initialShards: readonly ShardMeta[];
}

/** A replica that is not listed answers its leader and is caught up. */
export interface ReplicaHealth {
  readonly replicaId: ReplicaId;
  /** Silent for so long, as the leader sees it; 0 when it answers. */
  readonly downSeconds: number;
  /** Far behind, or receiving a snapshot. */
  readonly isPending: boolean;
}

export interface ShardReport {
  readonly shard: ShardMeta;
  readonly term: Term;
  readonly leaderReplicaId: ReplicaId;
  readonly health: readonly ReplicaHealth[];
  readonly sizeBytes: number;
  readonly keys: number;
}

export interface StoreHeartbeatRequest {
  readonly storeId: StoreId;
  readonly incarnation: number;
  readonly nonce: Uint8Array;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  readonly sizeBytes: number;
  readonly shards: number;
  readonly leaders: number;
  readonly snapshotsSending: number;
  readonly snapshotsReceiving: number;
  readonly reports: readonly ShardReport[];
  /** True when `reports` holds every shard led by this store. */
  readonly isComplete: boolean;
}

export type Step =
  | { readonly type: 'add-learner'; readonly replicaId: ReplicaId; readonly storeId: StoreId }
  | { readonly type: 'promote'; readonly replicaId: ReplicaId }
  | { readonly type: 'remove'; readonly replicaId: ReplicaId }
  | { readonly type: 'transfer-leader'; readonly replicaId: ReplicaId }
  | { readonly type: 'split'; readonly keys: readonly Uint8Array[] };

/** One thing that the leader of a shard is asked to do; void once the epoch has moved on. */
export interface ShardStep {
  readonly shardId: ShardId;
  readonly epoch: Epoch;
  readonly step: Step;
}

export interface StoreHeartbeatResponse {
  readonly prophetTerm: Term;
  readonly steps: readonly ShardStep[];
  readonly initialShards: readonly ShardMeta[];
  /** Every store that can be reached. Small enough to send always, so a lost answer costs nothing. */
  readonly stores: readonly StoreDescriptor[];
}

export interface AllocateIdsResponse {
  /** The first of the consecutive ids. */
  readonly first: number;
}

export interface RoutesRequest {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  /** 0: all. */
  readonly limit: number;
}

export interface Route {
  readonly shard: ShardMeta;
  readonly leader?: {
    readonly replicaId: ReplicaId;
    readonly storeId: StoreId;
    readonly term: Term;
  };
  readonly sizeBytes: number;
  readonly keys: number;
}

export interface RoutesResponse {
  readonly routes: readonly Route[];
}

export type StoreStatusState = 'up' | 'disconnected' | 'down' | 'draining' | 'removed';

export interface StoreStatus {
  readonly store: StoreDescriptor;
  readonly state: StoreStatusState;
  readonly shards: number;
  readonly leaders: number;
  readonly sizeBytes: number;
  readonly lastHeartbeatMs: number;
  /** Why a drain makes no progress; empty otherwise. */
  readonly blockedBy: string;
  readonly capacityBytes: number;
  readonly freeBytes: number;
}

export interface StoresResponse {
  readonly stores: readonly StoreStatus[];
}

export interface ClusterResponse {
  readonly clusterId: string;
  readonly bootstrapped: boolean;
  readonly maxReplicas: number;
  readonly prophetLeaderReplicaId: ReplicaId;
  readonly prophetTerm: Term;
  readonly stores: number;
  readonly storesUp: number;
  readonly shards: number;
  readonly shardsUnderReplicated: number;
  readonly shardsWithoutLeader: number;
}

export interface ProbeMemberRequest {
  readonly name: string;
  /** Identity of the member's data directory. Empty: only ask, claim nothing. */
  readonly nonce: Uint8Array;
}

export interface ProbeMemberResponse {
  /** True when this name has taken part with another disk: the asking one forgot its votes (d.11). */
  readonly hasTakenPart: boolean;
}
