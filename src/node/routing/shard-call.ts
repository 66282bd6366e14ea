// One operation on one shard, in the two ways in which it can be carried out: by the replica on this
// node, or as a request to the store of another. The pursuit of a leader needs to know no more.

import type { ShardId } from '../../kernel/ids.ts';
import type { ShardResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { PeerQuestion } from '../../wire/peer-messages.ts';
import { toUint64 } from '../../wire/safe-number.ts';
import type { WriteCommand } from '../shard/commands.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import type { LocalStore } from '../store/local-store.ts';
import {
  fromGetResponse,
  fromScanResponse,
  fromWriteResponse,
  toDeleteRequest,
  toPutRequest,
  toScanRequest,
  toSession,
} from './kv-codec.ts';

/** The shard as the caller knows it: another generation refuses the request. */
export interface ShardAddress {
  readonly shardId: ShardId;
  readonly generation: number;
}

export interface ShardCall<Answer> {
  /** Any key that the wanted shard holds. */
  readonly key: Uint8Array;
  readonly isWrite: boolean;
  runLocally(store: LocalStore, address: ShardAddress, deadline: number): Promise<Answer>;
  question(address: ShardAddress): PeerQuestion;
  /** Undefined when the response answers something else. */
  read(result: ShardResponse['result']): Answer | undefined;
}

/** A write that does not know yet which generation it will meet. */
export type AddressedLater<Command> = Command extends WriteCommand
  ? Omit<Command, 'generation'>
  : never;

export function getCall(key: Uint8Array): ShardCall<GetResult> {
  return {
    key,
    isWrite: false,
    runLocally: (store, address, deadline) => store.get({ ...address, key }, deadline),
    question: (address) => ({
      case: 'shard',
      value: { ...toWire(address), operation: { case: 'get', value: { key } } },
    }),
    read: (result) => (result.case === 'get' ? fromGetResponse(result.value) : undefined),
  };
}

export function writeCall(write: AddressedLater<WriteCommand>): ShardCall<WriteResult> {
  return {
    key: write.key,
    isWrite: true,
    runLocally: (store, { shardId, generation }, deadline) =>
      store.write({ shardId, command: { ...write, generation } }, deadline),
    question: (address) => ({
      case: 'shard',
      value: {
        ...toWire(address),
        operation:
          write.type === 'put'
            ? { case: 'put', value: toPutRequest(write) }
            : { case: 'delete', value: toDeleteRequest(write) },
        session: toSession(write.session),
      },
    }),
    read: (result) => (result.case === write.type ? fromWriteResponse(result.value) : undefined),
  };
}

/** `key` says which shard is meant; the range must lie inside that shard. */
export function scanCall(key: Uint8Array, scan: ScanRequest): ShardCall<ScanResult> {
  return {
    key,
    isWrite: false,
    runLocally: (store, address, deadline) => store.scan({ ...address, scan }, deadline),
    question: (address) => ({
      case: 'shard',
      value: { ...toWire(address), operation: { case: 'scan', value: toScanRequest(scan) } },
    }),
    read: (result) => (result.case === 'scan' ? fromScanResponse(result.value) : undefined),
  };
}

function toWire(address: ShardAddress): { shardId: bigint; generation: bigint } {
  return { shardId: toUint64(address.shardId), generation: toUint64(address.generation) };
}
