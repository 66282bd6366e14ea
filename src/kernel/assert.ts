// Assertions stay on in production: a broken invariant ends the process, because going on would
// turn a bug into wrong data. Never assert on what a peer, a client or a disk sent: check that at
// the gate and answer it.

/** A broken invariant: a bug of ours. Only `main.ts` and the simulator may catch it. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Ends the current step when `condition` does not hold. The message carries the numbers. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Unwraps a value that an invariant says is there. */
export function must<T>(value: T | undefined, message: string): T {
  if (value === undefined) throw new AssertionError(message);
  return value;
}

/** The end of a switch over a closed union: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`Unreachable case: ${JSON.stringify(value)}`);
}
