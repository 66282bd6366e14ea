// Where everything lies in the one database of a node. The first byte says what a key is; numbers are
// eight bytes, most significant first, so that LevelDB's order of bytes is the order of numbers.
//
//   0x01 'ident'                          which cluster and store this disk belongs to
//   0x02 | shard | 0x01 | index           one log entry
//   0x02 | shard | 0x02                   hard state: term, vote, commit
//   0x02 | shard | 0x03                   apply state: applied and truncated positions
//   0x02 | shard | 0x05 | client id       one client session (16 bytes of client id)
//   0x02 | shard | 0x06                   what the state machine keeps about the whole shard
//   0x03 | shard                          shard meta: apart from the logs, so that one scan at start
//                                         finds every shard
//   0x04 | sequence                       a range of user data that is being destroyed
//   0x05 | shard                          header of a snapshot that is being received
//   0x05 | shard | chunk (u32)            its chunks
//   0x10 | user key                       user data, not prefixed by shard: a split moves nothing
//   0x20 | kind (u8) | id ...             what Prophet knows

import { assert } from '../../kernel/assert.ts';
import { DecodeError } from '../../kernel/byte-codec.ts';
import { type KeyRange, prefixEnd, toHex, utf8, view } from '../../kernel/bytes.ts';
import type { LogIndex, ShardId } from '../../kernel/ids.ts';

const IDENT = 0x01;
const SHARD = 0x02;
const META = 0x03;
const DESTROY = 0x04;
const STAGING = 0x05;
const DATA = 0x10;
const PROPHET = 0x20;

const LOG = 0x01;
const HARD_STATE = 0x02;
const APPLY_STATE = 0x03;
const SESSION = 0x05;
const MACHINE_STATE = 0x06;
const AFTER_MACHINE = 0x07;

const CLIENT_ID_BYTES = 16;
const NUMBERED_BYTES = 9;
const PART_BYTES = 10;
const LOG_KEY_BYTES = 18;
const CHUNK_KEY_BYTES = 13;
const CHUNKS_MAX = 0x1_0000_0000;

export function identKey(): Uint8Array {
  return Buffer.concat([Uint8Array.of(IDENT), utf8('ident')]);
}

export function logKey(shardId: ShardId, index: LogIndex): Uint8Array {
  const key = shardPart(shardId, LOG, LOG_KEY_BYTES);
  writeNumber(key, index, PART_BYTES);
  return key;
}

/** The entries of a shard's log with `from` <= index < `toExclusive`. */
export function logRange(shardId: ShardId, from: LogIndex, toExclusive: LogIndex): KeyRange {
  return { start: logKey(shardId, from), end: logKey(shardId, toExclusive) };
}

/** The index in a key that a scan of `logRange` found. */
export function indexOfLogKey(key: Uint8Array): LogIndex {
  const bytes = view(key);
  if (bytes.length !== LOG_KEY_BYTES || bytes[0] !== SHARD || bytes[NUMBERED_BYTES] !== LOG) {
    throw new DecodeError(`Key ${toHex(key)} is not the key of a log entry`);
  }
  return readNumber(bytes, PART_BYTES);
}

export function hardStateKey(shardId: ShardId): Uint8Array {
  return shardPart(shardId, HARD_STATE);
}

export function applyStateKey(shardId: ShardId): Uint8Array {
  return shardPart(shardId, APPLY_STATE);
}

export function sessionKey(shardId: ShardId, clientId: Uint8Array): Uint8Array {
  assert(clientId.length === CLIENT_ID_BYTES, `Client id has ${clientId.length} bytes`);
  const key = shardPart(shardId, SESSION, PART_BYTES + CLIENT_ID_BYTES);
  key.set(clientId, PART_BYTES);
  return key;
}

/** Every session that the shard remembers, in order of client id. */
export function sessionRange(shardId: ShardId): KeyRange {
  return { start: shardPart(shardId, SESSION), end: shardPart(shardId, MACHINE_STATE) };
}

export function machineStateKey(shardId: ShardId): Uint8Array {
  return shardPart(shardId, MACHINE_STATE);
}

/** All sessions and the machine state: what a snapshot copies beside the user data. */
export function machineRange(shardId: ShardId): KeyRange {
  return { start: shardPart(shardId, SESSION), end: shardPart(shardId, AFTER_MACHINE) };
}

export function metaKey(shardId: ShardId): Uint8Array {
  return numbered(META, shardId);
}

/** The meta of every shard on this store, in order of shard id. */
export function metasRange(): KeyRange {
  return everything(META);
}

export function shardIdOfMetaKey(key: Uint8Array): ShardId {
  return numberOf(META, key);
}

/** `sequence` grows with each destroyed range. */
export function destroyKey(sequence: number): Uint8Array {
  return numbered(DESTROY, sequence);
}

/** Every range whose destruction is not finished, oldest first. */
export function destroysRange(): KeyRange {
  return everything(DESTROY);
}

export function sequenceOfDestroyKey(key: Uint8Array): number {
  return numberOf(DESTROY, key);
}

/** Sorts before all chunks of its shard. */
export function stagingHeaderKey(shardId: ShardId): Uint8Array {
  return numbered(STAGING, shardId);
}

export function stagingKey(shardId: ShardId, chunk: number): Uint8Array {
  assert(chunk >= 0 && chunk < CHUNKS_MAX, `Chunk number ${chunk} is out of range`);
  const key = numbered(STAGING, shardId, CHUNK_KEY_BYTES);
  key.writeUInt32BE(chunk, NUMBERED_BYTES);
  return key;
}

/** The header and all chunks of the snapshot that this shard is receiving. */
export function stagingRange(shardId: ShardId): KeyRange {
  const start = stagingHeaderKey(shardId);
  return { start, end: prefixEnd(start) };
}

/** What all shards are receiving. */
export function stagingsRange(): KeyRange {
  return everything(STAGING);
}

export function dataKey(userKey: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(1 + userKey.length);
  key[0] = DATA;
  key.set(userKey, 1);
  return key;
}

/** The user's part of a data key: a view on the same memory. */
export function userKeyOf(key: Uint8Array): Uint8Array {
  assert(key[0] === DATA, `Key ${toHex(key)} is not the key of user data`);
  return key.subarray(1);
}

/** Where the user keys of a range lie. An empty end reaches to the last user key. */
export function dataRange(userKeys: KeyRange): KeyRange {
  const end = userKeys.end.length === 0 ? Uint8Array.of(DATA + 1) : dataKey(userKeys.end);
  return { start: dataKey(userKeys.start), end };
}

/** `kind` tells Prophet's records apart; the numbers of `id` sort in their order. */
export function prophetKey(kind: number, ...id: readonly number[]): Uint8Array {
  const key = Buffer.allocUnsafe(2 + 8 * id.length);
  key[0] = PROPHET;
  key.writeUInt8(kind, 1);
  let at = 2;
  for (const number of id) at = writeNumber(key, number, at);
  return key;
}

export function prophetRange(): KeyRange {
  return everything(PROPHET);
}

function everything(prefix: number): KeyRange {
  return { start: Uint8Array.of(prefix), end: Uint8Array.of(prefix + 1) };
}

function numbered(prefix: number, number: number, length: number = NUMBERED_BYTES): Buffer {
  const key = Buffer.allocUnsafe(length);
  key[0] = prefix;
  writeNumber(key, number, 1);
  return key;
}

function shardPart(shardId: ShardId, part: number, length: number = PART_BYTES): Buffer {
  const key = numbered(SHARD, shardId, length);
  key[NUMBERED_BYTES] = part;
  return key;
}

function numberOf(prefix: number, key: Uint8Array): number {
  const bytes = view(key);
  if (bytes.length !== NUMBERED_BYTES || bytes[0] !== prefix) {
    throw new DecodeError(`Key ${toHex(key)} is not a number under prefix ${prefix}`);
  }
  return readNumber(bytes, 1);
}

function writeNumber(key: Buffer, number: number, at: number): number {
  assert(Number.isSafeInteger(number) && number >= 0, `Cannot put ${number} into a key`);
  key.writeUInt32BE(Math.floor(number / 0x1_0000_0000), at);
  return key.writeUInt32BE(number % 0x1_0000_0000, at + 4);
}

function readNumber(key: Buffer, at: number): number {
  const number = key.readUInt32BE(at) * 0x1_0000_0000 + key.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(number))
    throw new DecodeError(`Number in key ${toHex(key)} is too large`);
  return number;
}
