// Checksums of what is stored. LevelDB as classic-level builds it does not verify its own on reads,
// so every record of ours carries one: a flipped bit, or a record that turns up under another key, is
// found when it is read (lesson 23) and never becomes an answer or a vote.
//
// Record: checksum (u32, CRC-32 of key, version and payload) | version (u8) | payload.

import { crc32 } from 'node:zlib';
import { toHex, view } from '../../kernel/bytes.ts';

const VERSION_AT = 4;
const PAYLOAD_AT = 5;

/** A record that is not what was written under its key. The owner quarantines the replica. */
export class CorruptRecordError extends Error {
  override readonly name = 'CorruptRecordError';
  readonly keyHex: string;

  constructor(key: Uint8Array, reason: string) {
    super(`Record under key ${toHex(key)} is damaged: ${reason}`);
    this.keyHex = toHex(key);
  }
}

export interface OpenedRecord {
  readonly version: number;
  /** A view on the record's own memory: copy it to keep it longer than the record. */
  readonly payload: Uint8Array;
}

/** CRC-32 as in zlib, as an unsigned number. */
export function checksum(bytes: Uint8Array): number {
  return crc32(bytes);
}

/** The bytes to store under `key`. The payload is copied, once. */
export function sealRecord(version: number, key: Uint8Array, payload: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(PAYLOAD_AT + payload.length);
  record.writeUInt8(version, VERSION_AT);
  record.set(payload, PAYLOAD_AT);
  record.writeUInt32BE(recordChecksum(key, record), 0);
  return record;
}

/** Reads back what `sealRecord` made for the same key. Throws CorruptRecordError. */
export function openRecord(key: Uint8Array, bytes: Uint8Array): OpenedRecord {
  const record = view(bytes);
  if (record.length < PAYLOAD_AT) {
    throw new CorruptRecordError(
      key,
      `it has ${record.length} bytes, at least ${PAYLOAD_AT} expected`,
    );
  }
  const expected = record.readUInt32BE(0);
  const actual = recordChecksum(key, record);
  if (actual !== expected) {
    throw new CorruptRecordError(key, `its checksum is ${actual}, expected ${expected}`);
  }
  return { version: record.readUInt8(VERSION_AT), payload: record.subarray(PAYLOAD_AT) };
}

/** The key goes first, as the seed, so that neither part has to be copied next to the other. */
function recordChecksum(key: Uint8Array, record: Buffer): number {
  return crc32(record.subarray(VERSION_AT), crc32(key));
}
