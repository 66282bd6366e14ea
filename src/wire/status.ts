// MatrixError as a gRPC status and back. The status code is for clients that know only gRPC; ours
// read the trailer, which carries the whole error. Free of grpc-js: see `grpc.ts` for the last step.

import type { ErrorCode } from '../kernel/errors.ts';
import { MatrixError } from '../kernel/errors.ts';
import { decodeError, encodeError } from './error-codec.ts';

/** The trailer that carries the encoded error. gRPC wants `-bin` behind the name of a binary one. */
export const ERROR_TRAILER = 'matrixkv-error-bin';

export interface Status {
  /** A gRPC status code. */
  readonly code: number;
  readonly details: string;
  /** The encoded error, when there is one. */
  readonly trailer?: Uint8Array | undefined;
}

/** Trailers are HTTP headers, for which proxies allow as little as 8 KiB in base64. */
const TRAILER_BYTES_MAX = 4096;

const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const INTERNAL = 13;

/** gRPC clients repeat UNAVAILABLE by themselves, so it stands only where nothing was applied. */
const STATUS_CODES: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  TOO_LARGE: 3,
  PRECONDITION_FAILED: 9,
  NOT_LEADER: 14,
  SHARD_NOT_FOUND: 14,
  EPOCH_NOT_MATCH: 14,
  SESSION_EXPIRED: 10,
  STORE_MISMATCH: 14,
  STORE_REMOVED: 9,
  OVERLOADED: 8,
  UNAVAILABLE: 14,
  TIMEOUT: DEADLINE_EXCEEDED,
  OUTCOME_UNKNOWN: UNKNOWN,
  DISK_FULL: 8,
  UNSUPPORTED: 12,
  INTERNAL,
};

/** What gRPC itself, or a proxy, means by a status that carries no error of ours. */
const FOREIGN_CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [1, 'UNAVAILABLE'], // Cancelled: the call was cut off.
  [3, 'INVALID_ARGUMENT'],
  [DEADLINE_EXCEEDED, 'TIMEOUT'],
  [8, 'TOO_LARGE'], // gRPC libraries say so when a message is over their limit.
  [12, 'UNSUPPORTED'],
  [14, 'UNAVAILABLE'],
]);

/** Refused before any handler saw the request: the only foreign codes that promise it. */
const NEVER_APPLIED: ReadonlySet<number> = new Set([3, 12]);

export function toStatus(error: MatrixError): Status {
  return { code: toStatusCode(error), details: error.message, trailer: toTrailer(error) };
}

export function fromStatus(status: Status): MatrixError {
  const told = status.trailer === undefined ? undefined : decodeError(status.trailer);
  if (told !== undefined) return told;
  const code = FOREIGN_CODES.get(status.code) ?? 'INTERNAL';
  return new MatrixError(code, `gRPC status ${status.code}: ${status.details}`, {
    outcome: NEVER_APPLIED.has(status.code) ? 'not-applied' : 'unknown',
  });
}

function toStatusCode(error: MatrixError): number {
  const code = STATUS_CODES[error.code];
  if (error.outcome === 'not-applied') return code;
  return code === DEADLINE_EXCEEDED || code === INTERNAL ? code : UNKNOWN;
}

/** Without its hint when it would be too large: nodes follow hints themselves, outsiders need none. */
function toTrailer(error: MatrixError): Uint8Array {
  const whole = encodeError(error);
  if (whole.length <= TRAILER_BYTES_MAX) return whole;
  const { retry, outcome, retryAfterMs } = error;
  const paused = retryAfterMs === undefined ? {} : { retryAfterMs };
  return encodeError(new MatrixError(error.code, error.text, { retry, outcome, ...paused }));
}
