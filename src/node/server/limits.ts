// How much one client may ask for and how much all of them together may hold. Both faces, HTTP and
// gRPC, check keys, values and page sizes here, so that a request means the same through either.

import { assert } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';

const MIB = 1024 * 1024;

const KEY_BYTES_MAX = 4096;
export const SCAN_LIMIT_DEFAULT = 100;
const SCAN_LIMIT_MAX = 1000;

/** The largest value that may be configured: a value travels as one Raft entry. */
const VALUE_BYTES_CEILING = 8 * MIB;

/** One byte of text takes at most six in JSON: a control character is written as \u00XX. */
const JSON_BYTES_PER_BYTE = 6;
const JSON_FRAME_BYTES = 1024;

export interface ServerLimits {
  readonly valueBytesMax: number;
  /** Requests that are being read, worked on or answered, per face; more are refused (OVERLOADED). */
  readonly requestsInFlightMax: number;
  /** Request bodies held in memory at once, per face; more are refused (OVERLOADED). */
  readonly bodyBytesInFlightMax: number;
  /** Open HTTP connections; more are closed as soon as they come. */
  readonly connectionsMax: number;
  /** What a request gets that names no deadline, and the most that one can get. */
  readonly timeoutDefaultMs: number;
  readonly timeoutMaxMs: number;
  /** How long `close` waits for requests in flight. */
  readonly closeGraceMs: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  valueBytesMax: MIB,
  requestsInFlightMax: 4096,
  bodyBytesInFlightMax: 128 * MIB,
  connectionsMax: 16_384,
  timeoutDefaultMs: 10_000,
  timeoutMaxMs: 60_000,
  closeGraceMs: 5_000,
};

/** Limits come from the configuration's gate; what reaches this point wrong is a bug. */
export function assertLimits(limits: ServerLimits): void {
  const { valueBytesMax, bodyBytesInFlightMax, timeoutDefaultMs, timeoutMaxMs } = limits;
  assert(
    valueBytesMax >= 1 && valueBytesMax <= VALUE_BYTES_CEILING,
    `Value limit ${valueBytesMax} is not between 1 and ${VALUE_BYTES_CEILING}`,
  );
  const largest = setBodyBytesMax(limits);
  assert(
    bodyBytesInFlightMax >= largest,
    `Body budget ${bodyBytesInFlightMax} holds not one request of ${largest} bytes`,
  );
  assert(
    timeoutDefaultMs >= 1 && timeoutDefaultMs <= timeoutMaxMs,
    `Default timeout ${timeoutDefaultMs} is not between 1 and ${timeoutMaxMs}`,
  );
}

/** The largest JSON body that can hold a legal key and value, however they are escaped. */
export function setBodyBytesMax(limits: ServerLimits): number {
  return JSON_BYTES_PER_BYTE * (limits.valueBytesMax + KEY_BYTES_MAX) + JSON_FRAME_BYTES;
}

/** The largest JSON body that can hold a legal key. */
export const KEY_BODY_BYTES_MAX = JSON_BYTES_PER_BYTE * KEY_BYTES_MAX + JSON_FRAME_BYTES;

export function checkKey(key: Uint8Array): void {
  if (key.length === 0) {
    throw new MatrixError('INVALID_ARGUMENT', 'Key is empty, at least 1 byte is needed');
  }
  if (key.length > KEY_BYTES_MAX) throw tooLarge('Key', key.length, KEY_BYTES_MAX);
}

/** The end of a range: it may be empty, and one byte longer than a key, to stand right behind one. */
export function checkBound(bound: Uint8Array): void {
  if (bound.length > KEY_BYTES_MAX + 1) throw tooLarge('Bound', bound.length, KEY_BYTES_MAX + 1);
}

export function checkValue(value: Uint8Array, limits: ServerLimits): void {
  if (value.length > limits.valueBytesMax) {
    throw tooLarge('Value', value.length, limits.valueBytesMax);
  }
}

export function checkScanLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > SCAN_LIMIT_MAX) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `Limit ${limit} is not a whole number between 1 and ${SCAN_LIMIT_MAX}`,
    );
  }
}

function tooLarge(what: string, bytes: number, bytesMax: number): MatrixError {
  return new MatrixError(
    'TOO_LARGE',
    `${what} has ${bytes} bytes, at most ${bytesMax} are allowed`,
  );
}
