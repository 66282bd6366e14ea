// A shard's meta as bytes: the same in the records of stores, in snapshots and in Prophet's knowledge.

import type { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import type { ReplicaDescriptor, ShardMeta } from './shard-meta.ts';

export function encodeShardMeta(writer: ByteWriter, meta: ShardMeta): ByteWriter {
  writer.u64(meta.id).bytes(meta.start).bytes(meta.end);
  writer.u64(meta.epoch.generation).u64(meta.epoch.confVersion).u32(meta.replicas.length);
  for (const replica of meta.replicas) {
    writer
      .u64(replica.replicaId)
      .u64(replica.storeId)
      .bool(replica.role === 'learner');
  }
  return writer;
}

/** The bytes are copied: a meta outlives the record it came from. */
export function decodeShardMeta(reader: ByteReader): ShardMeta {
  const id = reader.u64();
  const start = Uint8Array.from(reader.bytes());
  const end = Uint8Array.from(reader.bytes());
  const epoch = { generation: reader.u64(), confVersion: reader.u64() };
  const replicas: ReplicaDescriptor[] = [];
  const count = reader.u32();
  for (let read = 0; read < count; read += 1) {
    const replicaId = reader.u64();
    const storeId = reader.u64();
    replicas.push({ replicaId, storeId, role: reader.bool() ? 'learner' : 'voter' });
  }
  return { id, start, end, epoch, replicas };
}
