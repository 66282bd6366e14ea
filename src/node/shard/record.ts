// A user's value as it lies on disk: flags, version, value, sealed with a checksum that covers the
// key too, so that a damaged or misplaced record is noticed when it is read (lesson 23).

import { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';

export interface StoredValue {
  readonly version: number;
  readonly value: Uint8Array;
}

const RECORD_VERSION = 1;
/** Room for what later releases store beside the value (an expiry, for example). */
const NO_FLAGS = 0;
const HEAD_BYTES = 9;

export function encodeValue(dataKey: Uint8Array, stored: StoredValue): Uint8Array {
  const writer = new ByteWriter(HEAD_BYTES + stored.value.length);
  const payload = writer.u8(NO_FLAGS).u64(stored.version).raw(stored.value).finish();
  return sealRecord(RECORD_VERSION, dataKey, payload);
}

/** Throws CorruptRecordError when the bytes are not what was written under this key. */
export function decodeValue(dataKey: Uint8Array, record: Uint8Array): StoredValue {
  const reader = new ByteReader(openRecord(dataKey, record).payload);
  reader.u8();
  return { version: reader.u64(), value: reader.rest() };
}
