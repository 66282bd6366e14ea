// What lies staged for a shard: enough to go on with an installation after a crash.

import { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import type { EntryId, ShardId } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from '../shard/shard-meta-codec.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import type { Engine, WriteOperation } from '../storage/engine.ts';
import { stagingHeaderKey } from '../storage/keys.ts';

export interface Staging {
  readonly meta: ShardMeta;
  readonly last: EntryId;
  readonly chunks: number;
}

const RECORD_VERSION = 1;

export function putStaging(staging: Staging): WriteOperation {
  const key = stagingHeaderKey(staging.meta.id);
  const writer = encodeShardMeta(new ByteWriter(256), staging.meta);
  writer.u64(staging.last.term).u64(staging.last.index).u32(staging.chunks);
  return { type: 'put', key, value: sealRecord(RECORD_VERSION, key, writer.finish()) };
}

/** Undefined when nothing is staged. Throws CorruptRecordError. */
export function readStaging(engine: Engine, shardId: ShardId): Staging | undefined {
  const key = stagingHeaderKey(shardId);
  const record = engine.get(key);
  if (record === undefined) return undefined;
  const reader = new ByteReader(openRecord(key, record).payload);
  const meta = decodeShardMeta(reader);
  const last = { term: reader.u64(), index: reader.u64() };
  return { meta, last, chunks: reader.u32() };
}
