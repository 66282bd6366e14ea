// Shards, replicas and epochs between protobuf and the plain shapes of the program. What comes in is
// checked here once: a field that is missing or out of range is answered with INVALID_ARGUMENT.

import { create } from '@bufbuild/protobuf';
import type { HintedShard } from '../kernel/errors.ts';
import { MatrixError } from '../kernel/errors.ts';
import type { Epoch, Replica, Shard } from './gen/matrixkv/v1/shard_pb.ts';
import {
  EpochSchema,
  ReplicaRole,
  ReplicaSchema,
  ShardSchema,
} from './gen/matrixkv/v1/shard_pb.ts';
import { fromUint64, toUint64 } from './safe-number.ts';

type PlainEpoch = HintedShard['epoch'];
type PlainReplica = HintedShard['replicas'][number];

export function toShard(shard: HintedShard): Shard {
  return create(ShardSchema, {
    id: toUint64(shard.id),
    start: shard.start,
    end: shard.end,
    epoch: toEpoch(shard.epoch),
    replicas: shard.replicas.map(toReplica),
  });
}

/** The keys stay views of the received frame: copy them to keep them for long. */
export function fromShard(shard: Shard): HintedShard {
  return {
    id: fromUint64(shard.id, 'shard.id'),
    start: shard.start,
    end: shard.end,
    epoch: fromEpoch(shard.epoch),
    replicas: shard.replicas.map(fromReplica),
  };
}

export function toEpoch(epoch: PlainEpoch): Epoch {
  return create(EpochSchema, {
    generation: toUint64(epoch.generation),
    confVersion: toUint64(epoch.confVersion),
  });
}

export function fromEpoch(epoch: Epoch | undefined): PlainEpoch {
  if (epoch === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field epoch is missing');
  return {
    generation: fromUint64(epoch.generation, 'epoch.generation'),
    confVersion: fromUint64(epoch.confVersion, 'epoch.conf_version'),
  };
}

export function toReplica(replica: PlainReplica): Replica {
  return create(ReplicaSchema, {
    replicaId: toUint64(replica.replicaId),
    storeId: toUint64(replica.storeId),
    role: replica.role === 'voter' ? ReplicaRole.VOTER : ReplicaRole.LEARNER,
  });
}

export function fromReplica(replica: Replica | undefined): PlainReplica {
  if (replica === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field replica is missing');
  return {
    replicaId: fromUint64(replica.replicaId, 'replica.replica_id'),
    storeId: fromUint64(replica.storeId, 'replica.store_id'),
    role: fromRole(replica.role),
  };
}

function fromRole(role: ReplicaRole): PlainReplica['role'] {
  if (role === ReplicaRole.VOTER) return 'voter';
  if (role === ReplicaRole.LEARNER) return 'learner';
  throw new MatrixError('INVALID_ARGUMENT', `Field replica.role has the unknown value ${role}`);
}
