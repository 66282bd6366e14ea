// The gate between 64-bit numbers of protobuf and the safe integers that the program counts with.

import { assert } from '../kernel/assert.ts';
import { MatrixError } from '../kernel/errors.ts';

const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

/** A number that came over the wire. Throws INVALID_ARGUMENT when it is beyond 2^53-1. */
export function fromUint64(value: bigint, name: string): number {
  if (value < 0n || value > LARGEST) {
    throw new MatrixError('INVALID_ARGUMENT', `Field ${name} is ${value}, beyond safe integers`);
  }
  return Number(value);
}

/** One of our own numbers on its way out. */
export function toUint64(value: number): bigint {
  assert(Number.isSafeInteger(value) && value >= 0, `Cannot send ${value} as a safe integer`);
  return BigInt(value);
}
