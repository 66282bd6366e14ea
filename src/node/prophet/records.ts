// What Prophet keeps on disk: one record for the cluster, one for each store, shard and member,
// under engine keys that start with 0x20. Each record starts with the version of its format.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import type { KeyRange } from '../../kernel/bytes.ts';
import { concatBytes, utf8 } from '../../kernel/bytes.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from '../shard/shard-meta-codec.ts';
import type { StoreDescriptor } from './protocol.ts';

/** `draining`: its replicas are being moved off. `removed`: empty, and never to come back. */
export type StoreLifecycle = 'serving' | 'draining' | 'removed';

export interface StoreRecord extends StoreDescriptor {
  readonly nonce: Uint8Array;
  readonly incarnation: number;
  readonly state: StoreLifecycle;
}

export interface ClusterRecord {
  /** Empty until the first leader has written it; fixed from then on. */
  readonly clusterId: string;
  readonly isBootstrapped: boolean;
  /** Every id below was handed out. */
  readonly nextId: number;
  /** 0 until the first leader has written it. */
  readonly maxReplicas: number;
}

export const FIRST_CLUSTER: ClusterRecord = {
  clusterId: '',
  isBootstrapped: false,
  nextId: 1,
  maxReplicas: 0,
};

const PREFIX = 0x20;
const FORMAT = 1;

export const RECORD_KINDS = { cluster: 1, store: 2, shard: 3, member: 4 } as const;

export const PROPHET_RANGE: KeyRange = {
  start: Uint8Array.of(PREFIX),
  end: Uint8Array.of(PREFIX + 1),
};

export const CLUSTER_KEY: Uint8Array = Uint8Array.of(PREFIX, RECORD_KINDS.cluster);

export function storeKey(id: number): Uint8Array {
  return new ByteWriter().u8(PREFIX).u8(RECORD_KINDS.store).u64(id).finish();
}

export function shardKey(id: number): Uint8Array {
  return new ByteWriter().u8(PREFIX).u8(RECORD_KINDS.shard).u64(id).finish();
}

export function memberKey(name: string): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX, RECORD_KINDS.member), utf8(name));
}

export function encodeCluster(record: ClusterRecord): Uint8Array {
  return new ByteWriter()
    .u8(FORMAT)
    .text(record.clusterId)
    .bool(record.isBootstrapped)
    .u64(record.nextId)
    .u32(record.maxReplicas)
    .finish();
}

export function decodeCluster(bytes: Uint8Array): ClusterRecord {
  const reader = open(bytes);
  const record = {
    clusterId: reader.text(),
    isBootstrapped: reader.bool(),
    nextId: reader.u64(),
    maxReplicas: reader.u32(),
  };
  reader.end();
  return record;
}

const LIFECYCLES: readonly StoreLifecycle[] = ['serving', 'draining', 'removed'];

export function encodeStore(record: StoreRecord): Uint8Array {
  const writer = new ByteWriter().u8(FORMAT);
  writeDescriptor(writer, record);
  writeLifecycle(writer, record.state);
  return writer.bytes(record.nonce).u64(record.incarnation).finish();
}

export function decodeStore(bytes: Uint8Array): StoreRecord {
  const reader = open(bytes);
  const descriptor = readDescriptor(reader);
  const state = readLifecycle(reader);
  const record = { ...descriptor, state, nonce: copyOf(reader.bytes()), incarnation: reader.u64() };
  reader.end();
  return record;
}

export function encodeShard(meta: ShardMeta): Uint8Array {
  const writer = new ByteWriter().u8(FORMAT);
  encodeShardMeta(writer, meta);
  return writer.finish();
}

export function decodeShard(bytes: Uint8Array): ShardMeta {
  const reader = open(bytes);
  const meta = decodeShardMeta(reader);
  reader.end();
  return meta;
}

export function encodeMember(nonce: Uint8Array): Uint8Array {
  return new ByteWriter().u8(FORMAT).bytes(nonce).finish();
}

export function decodeMember(bytes: Uint8Array): Uint8Array {
  const reader = open(bytes);
  const nonce = copyOf(reader.bytes());
  reader.end();
  return nonce;
}

export function writeLifecycle(writer: ByteWriter, state: StoreLifecycle): void {
  writer.u8(LIFECYCLES.indexOf(state));
}

export function readLifecycle(reader: ByteReader): StoreLifecycle {
  const code = reader.u8();
  const state = LIFECYCLES[code];
  if (state === undefined) throw new DecodeError(`State ${code} of a store is not known`);
  return state;
}

export function writeDescriptor(writer: ByteWriter, store: StoreDescriptor): void {
  const labels = Object.entries(store.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  writer.u64(store.id).text(store.name).text(store.address).text(store.httpAddress);
  writer.text(store.version).bool(store.isProphetMember).u32(labels.length);
  for (const [label, value] of labels) writer.text(label).text(value);
}

export function readDescriptor(reader: ByteReader): StoreDescriptor {
  const store = {
    id: reader.u64(),
    name: reader.text(),
    address: reader.text(),
    httpAddress: reader.text(),
    version: reader.text(),
    isProphetMember: reader.bool(),
  };
  return { ...store, labels: Object.fromEntries(readList(reader, readLabel)) };
}

function readLabel(reader: ByteReader): [string, string] {
  return [reader.text(), reader.text()];
}

/** A count, then so many items. A lying count runs into the end of the record. */
export function readList<T>(reader: ByteReader, read: (reader: ByteReader) => T): T[] {
  const items: T[] = [];
  for (let left = reader.u32(); left > 0; left -= 1) items.push(read(reader));
  return items;
}

export function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes);
}

function open(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new DecodeError(`Record has format ${format}, expected ${FORMAT}`);
  return reader;
}
