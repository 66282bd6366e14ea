// What stores and Prophet tell each other about stores, between protobuf and Prophet's own words:
// registration, heartbeats, and the steps in their answers.

import { MatrixError } from '../../kernel/errors.ts';
import type {
  RegisterStoreRequestSchema,
  RegisterStoreResponseSchema,
  ShardReportSchema,
  ShardStepSchema,
  StoreDescriptorSchema,
  StoreHeartbeatRequestSchema,
  StoreHeartbeatResponseSchema,
  StoreDescriptor as WireDescriptor,
  StoreHeartbeatRequest as WireHeartbeat,
  StoreHeartbeatResponse as WireHeartbeatAnswer,
  RegisterStoreResponse as WireRegistered,
  RegisterStoreRequest as WireRegistration,
  ShardReport as WireReport,
  ShardStep as WireStep,
} from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { Shard } from '../../wire/gen/matrixkv/v1/shard_pb.ts';
import type { InitOf } from '../../wire/peer-messages.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import { fromEpoch, fromShard, toEpoch, toShard } from '../../wire/shard-codec.ts';
import type {
  RegisterStoreRequest,
  RegisterStoreResponse,
  ShardReport,
  ShardStep,
  Step,
  StoreDescriptor,
  StoreHeartbeatRequest,
  StoreHeartbeatResponse,
} from '../prophet/protocol.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';

const UINT32_MAX = 2 ** 32 - 1;

/** A shard that is kept for longer than the frame it came in. */
export function readShard(shard: Shard | undefined): ShardMeta {
  if (shard === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field shard is missing');
  const meta = fromShard(shard);
  return { ...meta, start: meta.start.slice(), end: meta.end.slice() };
}

export function toRegistration(
  request: RegisterStoreRequest,
): InitOf<typeof RegisterStoreRequestSchema> {
  return {
    store: toDescriptor(request.store),
    incarnation: toUint64(request.incarnation),
    nonce: request.nonce,
  };
}

export function fromRegistration(request: WireRegistration): RegisterStoreRequest {
  return {
    store: fromDescriptor(request.store),
    incarnation: fromUint64(request.incarnation, 'incarnation'),
    nonce: request.nonce.slice(),
  };
}

export function toRegistered(
  response: RegisterStoreResponse,
): InitOf<typeof RegisterStoreResponseSchema> {
  return {
    storeId: toUint64(response.storeId),
    initialShards: response.initialShards.map(toShard),
  };
}

export function fromRegistered(response: WireRegistered): RegisterStoreResponse {
  return {
    storeId: fromUint64(response.storeId, 'store_id'),
    initialShards: response.initialShards.map(readShard),
  };
}

export function toHeartbeat(
  request: StoreHeartbeatRequest,
): InitOf<typeof StoreHeartbeatRequestSchema> {
  return {
    storeId: toUint64(request.storeId),
    incarnation: toUint64(request.incarnation),
    nonce: request.nonce,
    capacityBytes: toUint64(request.capacityBytes),
    freeBytes: toUint64(request.freeBytes),
    sizeBytes: toUint64(request.sizeBytes),
    shards: request.shards,
    leaders: request.leaders,
    snapshotsSending: request.snapshotsSending,
    snapshotsReceiving: request.snapshotsReceiving,
    reports: request.reports.map(toReport),
    isComplete: request.isComplete,
  };
}

export function fromHeartbeat(request: WireHeartbeat): StoreHeartbeatRequest {
  const { shards, leaders, snapshotsSending, snapshotsReceiving, isComplete } = request;
  return {
    storeId: fromUint64(request.storeId, 'store_id'),
    incarnation: fromUint64(request.incarnation, 'incarnation'),
    nonce: request.nonce,
    capacityBytes: fromUint64(request.capacityBytes, 'capacity_bytes'),
    freeBytes: fromUint64(request.freeBytes, 'free_bytes'),
    sizeBytes: fromUint64(request.sizeBytes, 'size_bytes'),
    shards,
    leaders,
    snapshotsSending,
    snapshotsReceiving,
    reports: request.reports.map(fromReport),
    isComplete,
  };
}

export function toHeartbeatAnswer(
  response: StoreHeartbeatResponse,
): InitOf<typeof StoreHeartbeatResponseSchema> {
  return {
    prophetTerm: toUint64(response.prophetTerm),
    steps: response.steps.map(toStep),
    initialShards: response.initialShards.map(toShard),
    stores: response.stores.map(toDescriptor),
  };
}

export function fromHeartbeatAnswer(response: WireHeartbeatAnswer): StoreHeartbeatResponse {
  return {
    prophetTerm: fromUint64(response.prophetTerm, 'prophet_term'),
    steps: response.steps.flatMap(fromStep),
    initialShards: response.initialShards.map(readShard),
    stores: response.stores.map(fromDescriptor),
  };
}

export function toDescriptor(store: StoreDescriptor): InitOf<typeof StoreDescriptorSchema> {
  const { name, address, httpAddress, version, labels, isProphetMember } = store;
  const texts = { name, address, httpAddress, version };
  return { id: toUint64(store.id), ...texts, labels: { ...labels }, isProphetMember };
}

export function fromDescriptor(store: WireDescriptor | undefined): StoreDescriptor {
  if (store === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field store is missing');
  const { name, address, httpAddress, version, labels, isProphetMember } = store;
  const id = fromUint64(store.id, 'store.id');
  return { id, name, address, httpAddress, version, labels, isProphetMember };
}

function toReport(report: ShardReport): InitOf<typeof ShardReportSchema> {
  return {
    shard: toShard(report.shard),
    term: toUint64(report.term),
    leaderReplicaId: toUint64(report.leaderReplicaId),
    health: report.health.map(({ replicaId, downSeconds, isPending }) => ({
      replicaId: toUint64(replicaId),
      downSeconds: Math.min(Math.floor(downSeconds), UINT32_MAX),
      isPending,
    })),
    sizeBytes: toUint64(report.sizeBytes),
    keys: toUint64(report.keys),
  };
}

function fromReport(report: WireReport): ShardReport {
  return {
    shard: readShard(report.shard),
    term: fromUint64(report.term, 'report.term'),
    leaderReplicaId: fromUint64(report.leaderReplicaId, 'report.leader_replica_id'),
    health: report.health.map(({ replicaId, downSeconds, isPending }) => ({
      replicaId: fromUint64(replicaId, 'health.replica_id'),
      downSeconds,
      isPending,
    })),
    sizeBytes: fromUint64(report.sizeBytes, 'report.size_bytes'),
    keys: fromUint64(report.keys, 'report.keys'),
  };
}

function toStep({ shardId, epoch, step }: ShardStep): InitOf<typeof ShardStepSchema> {
  return { shardId: toUint64(shardId), epoch: toEpoch(epoch), step: toStepKind(step) };
}

function toStepKind(step: Step): NonNullable<InitOf<typeof ShardStepSchema>['step']> {
  switch (step.type) {
    case 'add-learner': {
      const storeId = toUint64(step.storeId);
      return { case: 'addLearner', value: { replicaId: toUint64(step.replicaId), storeId } };
    }
    case 'promote':
      return { case: 'promote', value: { replicaId: toUint64(step.replicaId) } };
    case 'remove':
      return { case: 'remove', value: { replicaId: toUint64(step.replicaId) } };
    case 'transfer-leader':
      return { case: 'transferLeader', value: { replicaId: toUint64(step.replicaId) } };
    case 'split':
      return { case: 'split', value: { keys: [...step.keys] } };
  }
}

/** None for a kind of step that only a newer release knows: Prophet gives up on it in time. */
function fromStep(wire: WireStep): ShardStep[] {
  const step = fromStepKind(wire.step);
  if (step === undefined) return [];
  return [{ shardId: fromUint64(wire.shardId, 'shard_id'), epoch: fromEpoch(wire.epoch), step }];
}

function fromStepKind(step: WireStep['step']): Step | undefined {
  switch (step.case) {
    case 'addLearner': {
      const storeId = fromUint64(step.value.storeId, 'store_id');
      const replicaId = fromUint64(step.value.replicaId, 'replica_id');
      return { type: 'add-learner', replicaId, storeId };
    }
    case 'promote':
      return { type: 'promote', replicaId: fromUint64(step.value.replicaId, 'replica_id') };
    case 'remove':
      return { type: 'remove', replicaId: fromUint64(step.value.replicaId, 'replica_id') };
    case 'transferLeader':
      return { type: 'transfer-leader', replicaId: fromUint64(step.value.replicaId, 'replica_id') };
    case 'split':
      return { type: 'split', keys: step.value.keys.map((key) => key.slice()) };
    case undefined:
      return undefined;
  }
}
