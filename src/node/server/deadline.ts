// Deadlines: how long a request may take, and the end of waiting. The service keeps the deadline
// itself and knows best what became of a write; the server only stops waiting a little later, so that
// a service that never answers cannot hold a client and its ticket for ever.

import type { Clock } from '../../kernel/clock.ts';
import type { Outcome } from '../../kernel/errors.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ServerLimits } from './limits.ts';
import type { Query } from './query.ts';
import { parseInteger } from './query.ts';
import type { Headers } from './route.ts';
import { headerOf } from './route.ts';

/** What the service gets beyond the deadline to say how it went. */
const GRACE_MS = 500;

/** From `?timeout=`, else the `X-Timeout-Ms` header, else the default. */
export function timeoutOf(query: Query, headers: Headers, limits: ServerLimits): number {
  const header = headerOf(headers, 'x-timeout-ms');
  const timeoutMs =
    query.integer('timeout') ??
    (header === undefined ? limits.timeoutDefaultMs : parseInteger(header, 'X-Timeout-Ms'));
  if (timeoutMs < 1 || timeoutMs > limits.timeoutMaxMs) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `Timeout ${timeoutMs} is not between 1 and ${limits.timeoutMaxMs} milliseconds`,
    );
  }
  return timeoutMs;
}

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** What is true of a call that never came back. */
  readonly outcome: Outcome;
  /** Called when waiting ends without an answer, so that the work may stop too. */
  readonly giveUp: () => void;
}

export function withinDeadline<T>(work: Promise<T>, options: DeadlineOptions): Promise<T> {
  const { clock, timeoutMs, outcome, giveUp } = options;
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs + GRACE_MS, () => {
      reject(new MatrixError('TIMEOUT', `No answer within ${timeoutMs} ms`, { outcome }));
      giveUp();
    });
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
