// The bytes of a snapshot on its way: a header that says what it is, sealed chunks of engine entries,
// and a trailer that says how many there were, so that a stream cut short is noticed.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { utf8 } from '../../kernel/bytes.ts';
import type { EntryId, ReplicaId } from '../../kernel/ids.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import type { EngineEntry } from '../storage/engine.ts';
import type { ShardMeta } from './shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from './shard-meta-codec.ts';

export interface SnapshotHeader {
  readonly meta: ShardMeta;
  /** The state is exactly that after this entry. */
  readonly last: EntryId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** The sender's term. */
  readonly term: number;
}

export type SnapshotPart =
  | { readonly type: 'entries'; readonly entries: readonly EngineEntry[] }
  | { readonly type: 'end'; readonly entries: number };

const FORMAT_VERSION = 1;
const CHUNK_NAME = utf8('snapshot chunk');
const HEADER_NAME = utf8('snapshot header');
const PART = { entries: 1, end: 2 } as const;

/** Entries of one chunk: small enough to be staged without a stall. */
export const CHUNK_BYTES_MAX = 512 * 1024;

export function encodeHeader(header: SnapshotHeader): Uint8Array {
  const writer = encodeShardMeta(new ByteWriter(192), header.meta);
  writer.u64(header.last.term).u64(header.last.index);
  writer.u64(header.from).u64(header.to).u64(header.term);
  return sealRecord(FORMAT_VERSION, HEADER_NAME, writer.finish());
}

/** Throws CorruptRecordError or DecodeError. */
export function decodeHeader(bytes: Uint8Array): SnapshotHeader {
  const reader = readerOf(HEADER_NAME, bytes);
  return {
    meta: decodeShardMeta(reader),
    last: { term: reader.u64(), index: reader.u64() },
    from: reader.u64(),
    to: reader.u64(),
    term: reader.u64(),
  };
}

export function encodePart(part: SnapshotPart): Uint8Array {
  const writer = new ByteWriter(CHUNK_BYTES_MAX).u8(PART[part.type]);
  if (part.type === 'end') writer.u64(part.entries);
  else {
    writer.u32(part.entries.length);
    for (const entry of part.entries) writer.bytes(entry.key).bytes(entry.value);
  }
  return sealRecord(FORMAT_VERSION, CHUNK_NAME, writer.finish());
}

/** Throws CorruptRecordError or DecodeError. */
export function decodePart(bytes: Uint8Array): SnapshotPart {
  const reader = readerOf(CHUNK_NAME, bytes);
  const kind = reader.u8();
  if (kind === PART.end) return { type: 'end', entries: reader.u64() };
  if (kind !== PART.entries) throw new DecodeError(`Unknown snapshot part ${kind}`);
  const entries: EngineEntry[] = [];
  const count = reader.u32();
  for (let read = 0; read < count; read += 1) {
    entries.push({ key: reader.bytes(), value: reader.bytes() });
  }
  return { type: 'entries', entries };
}

function readerOf(name: Uint8Array, bytes: Uint8Array): ByteReader {
  const { version, payload } = openRecord(name, bytes);
  if (version !== FORMAT_VERSION) throw new DecodeError(`Unknown snapshot version ${version}`);
  return new ByteReader(payload);
}
