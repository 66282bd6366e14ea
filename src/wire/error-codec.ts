// MatrixError between the program and protobuf. Reading never fails: whatever arrives is an error to
// be reported, so a part that makes no sense is left out and a code from a newer peer becomes
// INTERNAL with that code in its text.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { ErrorCode, MatrixErrorOptions, RetryAdvice, RouteHint } from '../kernel/errors.ts';
import { isErrorCode, MatrixError } from '../kernel/errors.ts';
import type { Error as ErrorMessage, Leader } from './gen/matrixkv/v1/shard_pb.ts';
import {
  ErrorSchema,
  LeaderSchema,
  RetryAdvice as WireAdvice,
} from './gen/matrixkv/v1/shard_pb.ts';
import { fromUint64, toUint64 } from './safe-number.ts';
import { fromShard, toShard } from './shard-codec.ts';

/** Longer texts are cut: an error must not be what makes a frame large. */
const TEXT_LENGTH_MAX = 1024;

export function toErrorMessage(error: MatrixError): ErrorMessage {
  const leader = error.hint?.leader;
  return create(ErrorSchema, {
    code: error.code,
    message: error.text.slice(0, TEXT_LENGTH_MAX).toWellFormed(),
    retry: toAdvice(error.retry),
    outcomeUnknown: error.outcome === 'unknown',
    retryAfterMs: Math.ceil(error.retryAfterMs ?? 0),
    ...(leader === undefined ? {} : { leader: toLeader(leader) }),
    shards: (error.hint?.shards ?? []).map(toShard),
    ...(error.hint?.sessionFloor === undefined ? {} : { sessionFloor: error.hint.sessionFloor }),
  });
}

export function fromErrorMessage(message: ErrorMessage): MatrixError {
  const { code, text } = readCode(message);
  const retry = fromAdvice(message.retry);
  const hint = readHint(message);
  const options: MatrixErrorOptions = {
    outcome: message.outcomeUnknown ? 'unknown' : 'not-applied',
    ...(retry === undefined ? {} : { retry }),
    ...(hint === undefined ? {} : { hint }),
    ...(message.retryAfterMs === 0 ? {} : { retryAfterMs: message.retryAfterMs }),
  };
  return new MatrixError(code, text, options);
}

export function encodeError(error: MatrixError): Uint8Array {
  return toBinary(ErrorSchema, toErrorMessage(error));
}

/** Undefined when the bytes are no error at all. */
export function decodeError(bytes: Uint8Array): MatrixError | undefined {
  let message: ErrorMessage;
  try {
    message = fromBinary(ErrorSchema, bytes);
  } catch {
    return undefined; // Malformed protobuf; the caller falls back on what else it knows.
  }
  return message.code === '' ? undefined : fromErrorMessage(message);
}

function readCode(message: ErrorMessage): { code: ErrorCode; text: string } {
  if (isErrorCode(message.code)) return { code: message.code, text: message.message };
  return { code: 'INTERNAL', text: `Unknown code ${message.code}: ${message.message}` };
}

function readHint(message: ErrorMessage): RouteHint | undefined {
  try {
    const leader = message.leader === undefined ? undefined : fromLeader(message.leader);
    const shards = message.shards.map(fromShard);
    const hint: RouteHint = {
      ...(leader === undefined ? {} : { leader }),
      ...(shards.length === 0 ? {} : { shards }),
      ...(message.sessionFloor.length === 0 ? {} : { sessionFloor: message.sessionFloor.slice() }),
    };
    return Object.keys(hint).length === 0 ? undefined : hint;
  } catch (error) {
    // A hint is only advice, and a broken one is none; anything else is a bug of ours.
    if (error instanceof MatrixError) return undefined;
    throw error;
  }
}

function toLeader(leader: NonNullable<RouteHint['leader']>): Leader {
  return create(LeaderSchema, {
    replicaId: toUint64(leader.replicaId),
    storeId: toUint64(leader.storeId),
    term: toUint64(leader.term),
  });
}

function fromLeader(leader: Leader): NonNullable<RouteHint['leader']> {
  return {
    replicaId: fromUint64(leader.replicaId, 'leader.replica_id'),
    storeId: fromUint64(leader.storeId, 'leader.store_id'),
    term: fromUint64(leader.term, 'leader.term'),
  };
}

function toAdvice(advice: RetryAdvice): WireAdvice {
  if (advice === 'no') return WireAdvice.NO;
  return advice === 'later' ? WireAdvice.LATER : WireAdvice.ELSEWHERE;
}

/** Undefined: the advice that belongs to the code. */
function fromAdvice(advice: WireAdvice): RetryAdvice | undefined {
  if (advice === WireAdvice.NO) return 'no';
  if (advice === WireAdvice.LATER) return 'later';
  return advice === WireAdvice.ELSEWHERE ? 'elsewhere' : undefined;
}
