// What Prophet's leader puts into the log, and what applying it answers. Commands carry no ids that
// were chosen by the proposer: the machine hands them out while applying, so two leaders can never
// hand out the same one.

import { unreachable } from '../../kernel/assert.ts';
import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import type { ErrorCode } from '../../kernel/errors.ts';
import { isErrorCode, MatrixError } from '../../kernel/errors.ts';
import type { StoreId } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from '../shard/shard-meta-codec.ts';
import type { RegisterStoreRequest } from './protocol.ts';
import type { StoreLifecycle } from './records.ts';
import {
  copyOf,
  readDescriptor,
  readLifecycle,
  readList,
  writeDescriptor,
  writeLifecycle,
} from './records.ts';

export type Command =
  | ({ readonly type: 'register-store' } & RegisterStoreRequest)
  | { readonly type: 'set-store-state'; readonly storeId: StoreId; readonly state: StoreLifecycle }
  | {
      readonly type: 'bootstrap';
      readonly storeIds: readonly StoreId[];
      readonly splitKeys: readonly Uint8Array[];
    }
  | { readonly type: 'put-shards'; readonly shards: readonly ShardMeta[] }
  | { readonly type: 'extend-ids'; readonly count: number }
  | { readonly type: 'put-config'; readonly clusterId: string; readonly maxReplicas: number }
  | { readonly type: 'claim-member'; readonly name: string; readonly nonce: Uint8Array };

/** The number is the store's id, the first id, a count, or 0 and 1 for false and true. */
export type Answer =
  | { readonly type: 'done'; readonly value: number }
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly text: string };

const FORMAT = 1;

const TAGS: Readonly<Record<Command['type'], number>> = {
  'register-store': 1,
  'set-store-state': 2,
  bootstrap: 3,
  'put-shards': 4,
  'extend-ids': 5,
  'put-config': 6,
  'claim-member': 7,
};

export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter().u8(FORMAT).u8(TAGS[command.type]);
  switch (command.type) {
    case 'register-store':
      writeDescriptor(writer, command.store);
      return writer.u64(command.incarnation).bytes(command.nonce).finish();
    case 'set-store-state':
      writeLifecycle(writer.u64(command.storeId), command.state);
      return writer.finish();
    case 'bootstrap':
      writer.u32(command.storeIds.length);
      for (const id of command.storeIds) writer.u64(id);
      writer.u32(command.splitKeys.length);
      for (const key of command.splitKeys) writer.bytes(key);
      return writer.finish();
    case 'put-shards':
      writer.u32(command.shards.length);
      for (const shard of command.shards) encodeShardMeta(writer, shard);
      return writer.finish();
    case 'extend-ids':
      return writer.u32(command.count).finish();
    case 'put-config':
      return writer.text(command.clusterId).u32(command.maxReplicas).finish();
    case 'claim-member':
      return writer.text(command.name).bytes(command.nonce).finish();
    default:
      return unreachable(command);
  }
}

/** Throws DecodeError for anything that `encodeCommand` cannot have written. */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new DecodeError(`Command has format ${format}, expected ${FORMAT}`);
  const command = readBody(reader);
  reader.end();
  return command;
}

function readBody(reader: ByteReader): Command {
  const tag = reader.u8();
  switch (tag) {
    case TAGS['register-store']: {
      const store = readDescriptor(reader);
      const incarnation = reader.u64();
      return { type: 'register-store', store, incarnation, nonce: copyOf(reader.bytes()) };
    }
    case TAGS['set-store-state']:
      return { type: 'set-store-state', storeId: reader.u64(), state: readLifecycle(reader) };
    case TAGS.bootstrap: {
      const storeIds = readList(reader, (item) => item.u64());
      const splitKeys = readList(reader, (item) => copyOf(item.bytes()));
      return { type: 'bootstrap', storeIds, splitKeys };
    }
    case TAGS['put-shards']:
      return { type: 'put-shards', shards: readList(reader, decodeShardMeta) };
    case TAGS['extend-ids']:
      return { type: 'extend-ids', count: reader.u32() };
    case TAGS['put-config']:
      return { type: 'put-config', clusterId: reader.text(), maxReplicas: reader.u32() };
    case TAGS['claim-member']:
      return { type: 'claim-member', name: reader.text(), nonce: copyOf(reader.bytes()) };
    default:
      throw new DecodeError(`Command ${tag} is not known`);
  }
}

export function encodeAnswer(answer: Answer): Uint8Array {
  const writer = new ByteWriter().u8(FORMAT).bool(answer.type === 'done');
  if (answer.type === 'done') return writer.u64(answer.value).finish();
  return writer.text(answer.code).text(answer.text).finish();
}

/** The value of an answer; a refusal is thrown as the failure that it is for the waiting caller. */
export function answeredValue(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new MatrixError('INTERNAL', `Answer has format ${format}`);
  if (reader.bool()) return reader.u64();
  const code = reader.text();
  const text = reader.text();
  throw new MatrixError(isErrorCode(code) ? code : 'INTERNAL', text, { retry: 'no' });
}
