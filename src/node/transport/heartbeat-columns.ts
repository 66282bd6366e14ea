// Heartbeats of many groups in one message, a column for each field: the first stage of making idle
// shards cheap (d.15). What is left out, ranges and epochs, the receiver of a known group has.

import { EMPTY } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, PROPHET_SHARD, type StoreId } from '../../kernel/ids.ts';
import type { ExchangeRequestInit } from '../../wire/frames.ts';
import type { Heartbeats } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import type { HeartbeatRequest, HeartbeatResponse } from '../raft/messages.ts';
import type { Envelope } from './transport.ts';

const UNKNOWN_SHARD = { start: EMPTY, end: EMPTY, epoch: { generation: 0, confVersion: 0 } };

/** Gathers the heartbeats of one frame. */
export class HeartbeatColumns {
  readonly #shardId: number[] = [];
  readonly #toStoreId: number[] = [];
  readonly #fromReplicaId: number[] = [];
  readonly #toReplicaId: number[] = [];
  readonly #term: number[] = [];
  readonly #commit: number[] = [];
  readonly #readSequence: number[] = [];
  readonly #isResponse: boolean[] = [];

  get size(): number {
    return this.#shardId.length;
  }

  /** False for what has to travel as a whole envelope. */
  add({ shardId, toStoreId, message, isKnown }: Envelope): boolean {
    if (isKnown !== true) return false;
    if (message.type !== 'heartbeat' && message.type !== 'heartbeat-response') return false;
    this.#shardId.push(shardId);
    this.#toStoreId.push(toStoreId);
    this.#fromReplicaId.push(message.from);
    this.#toReplicaId.push(message.to);
    this.#term.push(message.term);
    this.#commit.push(message.type === 'heartbeat' ? message.commit : 0);
    this.#readSequence.push(message.readSequence);
    this.#isResponse.push(message.type === 'heartbeat-response');
    return true;
  }

  /** The field of the frame, absent when there is nothing to say. */
  field(): Pick<ExchangeRequestInit, 'heartbeats'> {
    if (this.size === 0) return {};
    return {
      heartbeats: {
        shardId: this.#shardId,
        toStoreId: this.#toStoreId,
        fromReplicaId: this.#fromReplicaId,
        toReplicaId: this.#toReplicaId,
        term: this.#term,
        commit: this.#commit,
        readSequence: this.#readSequence,
        isResponse: this.#isResponse,
      },
    };
  }
}

/** Throws INVALID_ARGUMENT when the columns do not fit together or hold anything but whole numbers. */
export function readHeartbeats(wire: Heartbeats, fromStoreId: StoreId): Envelope[] {
  const { length } = wire.shardId;
  return Array.from({ length }, (_, row) => readRow(wire, row, fromStoreId));
}

function readRow(wire: Heartbeats, row: number, fromStoreId: StoreId): Envelope {
  const shardId = whole(wire.shardId[row]);
  const toStoreId = whole(wire.toStoreId[row]);
  const message = readMessage(wire, row);
  const isProphet = shardId === PROPHET_SHARD;
  return {
    shardId,
    toStoreId,
    from: {
      replicaId: message.from,
      storeId: isProphet ? NO_ID : fromStoreId,
      role: 'voter',
    },
    to: { replicaId: message.to, storeId: toStoreId, role: 'voter' },
    shard: UNKNOWN_SHARD,
    message,
    isKnown: true,
  };
}

function readMessage(wire: Heartbeats, row: number): HeartbeatRequest | HeartbeatResponse {
  const sender = {
    from: whole(wire.fromReplicaId[row]),
    to: whole(wire.toReplicaId[row]),
    term: whole(wire.term[row]),
  };
  const readSequence = whole(wire.readSequence[row]);
  return wire.isResponse[row] === true
    ? { type: 'heartbeat-response', ...sender, readSequence }
    : { type: 'heartbeat', ...sender, commit: whole(wire.commit[row]), readSequence };
}

function whole(value: number | undefined): number {
  if (value !== undefined && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MatrixError('INVALID_ARGUMENT', `Heartbeat holds ${value}, a whole number is expected`);
}
