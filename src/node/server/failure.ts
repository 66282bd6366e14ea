// What a handler threw, made fit for an answer. Failures are passed on; the unexpected is written
// down; and a bug ends the process although a promise has caught it.

import { AssertionError } from '../../kernel/assert.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';

export interface FailureOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Which route or call failed. */
  readonly route: string;
}

export function toFailure(error: unknown, { clock, observer, route }: FailureOptions): MatrixError {
  if (error instanceof AssertionError) {
    // Thrown where nobody catches it, after the answer had its chance to leave.
    clock.soon(() => {
      throw error;
    });
  }
  const failure = MatrixError.from(error);
  if (failure.code === 'INTERNAL') observer.log.error({ error, route }, 'Request failed');
  return failure;
}
