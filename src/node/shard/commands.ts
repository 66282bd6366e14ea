// What a shard's log says: writes of users, and the split of the shard itself. Each command starts
// with a version byte, so that nodes of two releases can work side by side, and a kind byte.
//
// A command carries everything that its application depends on: the generation it was meant for, and
// the session that makes it exactly-once (d.4). Decoding never trusts the log: see `decodeCommand`.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import type { ReplicaId, ShardId } from '../../kernel/ids.ts';
import type { Precondition } from './kv-types.ts';
import type { Epoch } from './shard-meta.ts';

/** Which client call this is, the same for every retry of the call. */
export interface SessionStamp {
  /** 16 bytes, see sessions.ts. */
  readonly clientId: Uint8Array;
  readonly sequence: number;
  /** The client has its answers to everything below: the shard may forget them. */
  readonly acknowledgedBelow: number;
}

export interface PutCommand {
  readonly type: 'put';
  readonly generation: number;
  readonly session: SessionStamp;
  readonly precondition?: Precondition;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface DeleteCommand {
  readonly type: 'delete';
  readonly generation: number;
  readonly session: SessionStamp;
  readonly precondition?: Precondition;
  readonly key: Uint8Array;
}

/** A -> B1, B2, … , A': each new shard ends at its key, the last part keeps the id of the old shard. */
export interface SplitCommand {
  readonly type: 'split';
  readonly epoch: Epoch;
  /** Ascending, inside the shard. */
  readonly parts: readonly SplitPart[];
}

export interface SplitPart {
  /** Where this new shard ends and the next one starts. */
  readonly end: Uint8Array;
  readonly shardId: ShardId;
  /** One id for each replica of the old shard, in the order of its meta. */
  readonly replicaIds: readonly ReplicaId[];
  /** Measured by the leader when it chose the keys; writes since then are counted to the old shard. */
  readonly sizeBytes: number;
  readonly keys: number;
}

export type WriteCommand = PutCommand | DeleteCommand;
export type Command = WriteCommand | SplitCommand;

export const CLIENT_ID_BYTES = 16;
const COMMAND_VERSION = 1;
const KIND = { put: 1, delete: 2, split: 3 } as const;
const PRECONDITION = { none: 0, absent: 1, present: 2, version: 3 } as const;

export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter(estimate(command)).u8(COMMAND_VERSION).u8(KIND[command.type]);
  if (command.type === 'split') return encodeSplit(writer, command);
  writer.u64(command.generation).raw(command.session.clientId);
  writer.u64(command.session.sequence).u64(command.session.acknowledgedBelow);
  encodePrecondition(writer, command.precondition);
  writer.bytes(command.key);
  if (command.type === 'put') writer.bytes(command.value);
  return writer.finish();
}

/** Throws DecodeError for bytes that are no command of a version this program knows. */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== COMMAND_VERSION) throw new DecodeError(`Unknown command version ${version}`);
  const kind = reader.u8();
  const command = decodeKind(reader, kind);
  reader.end();
  return command;
}

function decodeKind(reader: ByteReader, kind: number): Command {
  switch (kind) {
    case KIND.put: {
      const header = decodeHeader(reader);
      return { type: 'put', ...header, key: reader.bytes(), value: reader.bytes() };
    }
    case KIND.delete:
      return { type: 'delete', ...decodeHeader(reader), key: reader.bytes() };
    case KIND.split:
      return decodeSplit(reader);
    default:
      throw new DecodeError(`Unknown command kind ${kind}`);
  }
}

interface WriteHeader {
  readonly generation: number;
  readonly session: SessionStamp;
  readonly precondition?: Precondition;
}

function decodeHeader(reader: ByteReader): WriteHeader {
  const generation = reader.u64();
  const session = {
    clientId: reader.raw(CLIENT_ID_BYTES),
    sequence: reader.u64(),
    acknowledgedBelow: reader.u64(),
  };
  const precondition = decodePrecondition(reader);
  return precondition === undefined
    ? { generation, session }
    : { generation, session, precondition };
}

function encodePrecondition(writer: ByteWriter, precondition: Precondition | undefined): void {
  writer.u8(PRECONDITION[precondition?.type ?? 'none']);
  if (precondition?.type === 'version') writer.u64(precondition.version);
}

function decodePrecondition(reader: ByteReader): Precondition | undefined {
  const kind = reader.u8();
  switch (kind) {
    case PRECONDITION.none:
      return undefined;
    case PRECONDITION.absent:
      return { type: 'absent' };
    case PRECONDITION.present:
      return { type: 'present' };
    case PRECONDITION.version:
      return { type: 'version', version: reader.u64() };
    default:
      throw new DecodeError(`Unknown precondition ${kind}`);
  }
}

function encodeSplit(writer: ByteWriter, command: SplitCommand): Uint8Array {
  writer.u64(command.epoch.generation).u64(command.epoch.confVersion).u32(command.parts.length);
  for (const part of command.parts) {
    writer.bytes(part.end).u64(part.shardId).u32(part.replicaIds.length);
    for (const id of part.replicaIds) writer.u64(id);
    writer.u64(part.sizeBytes).u64(part.keys);
  }
  return writer.finish();
}

function decodeSplit(reader: ByteReader): SplitCommand {
  const epoch = { generation: reader.u64(), confVersion: reader.u64() };
  const parts: SplitPart[] = [];
  const count = reader.u32();
  for (let read = 0; read < count; read += 1) {
    const end = reader.bytes();
    const shardId = reader.u64();
    const replicaIds: ReplicaId[] = [];
    const replicas = reader.u32();
    for (let id = 0; id < replicas; id += 1) replicaIds.push(reader.u64());
    parts.push({ end, shardId, replicaIds, sizeBytes: reader.u64(), keys: reader.u64() });
  }
  return { type: 'split', epoch, parts };
}

/** True for a command that concerns the replica itself instead of its state machine. */
export function isSplit(bytes: Uint8Array): boolean {
  return bytes[0] === COMMAND_VERSION && bytes[1] === KIND.split;
}

function estimate(command: Command): number {
  const headBytes = 80;
  if (command.type === 'put') return headBytes + command.key.length + command.value.length;
  return command.type === 'delete' ? headBytes + command.key.length : headBytes;
}
