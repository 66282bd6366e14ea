// What a shard is: a range of keys, the replicas that hold it, and the epoch that says how new this
// knowledge is. ADR 0003 and d.5 of the design give the rules of comparison.

import type { KeyRange } from '../../kernel/bytes.ts';
import type { ReplicaId, ShardId, StoreId } from '../../kernel/ids.ts';
import type { ConfState } from '../raft/messages.ts';

/** `generation` grows when the range changes (split), `confVersion` when the members change. */
export interface Epoch {
  readonly generation: number;
  readonly confVersion: number;
}

export type ReplicaRole = 'voter' | 'learner';

export interface ReplicaDescriptor {
  readonly replicaId: ReplicaId;
  readonly storeId: StoreId;
  readonly role: ReplicaRole;
}

export interface ShardMeta extends KeyRange {
  readonly id: ShardId;
  readonly epoch: Epoch;
  /** In ascending order of replica id. */
  readonly replicas: readonly ReplicaDescriptor[];
}

export function sameEpoch(a: Epoch, b: Epoch): boolean {
  return a.generation === b.generation && a.confVersion === b.confVersion;
}

/** True when `a` describes a later state than `b`: a later range first, then later members. */
export function isNewerEpoch(a: Epoch, b: Epoch): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation;
  return a.confVersion > b.confVersion;
}

export function confStateOf(replicas: readonly ReplicaDescriptor[]): ConfState {
  const idsOf = (role: ReplicaRole): ReplicaId[] =>
    replicas.filter((replica) => replica.role === role).map((replica) => replica.replicaId);
  return { voters: idsOf('voter'), learners: idsOf('learner') };
}

export function replicaOn(meta: ShardMeta, storeId: StoreId): ReplicaDescriptor | undefined {
  return meta.replicas.find((replica) => replica.storeId === storeId);
}

export function replicaById(meta: ShardMeta, id: ReplicaId): ReplicaDescriptor | undefined {
  return meta.replicas.find((replica) => replica.replicaId === id);
}
