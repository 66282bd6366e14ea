// Waiting between attempts: twice as long each time, with jitter so that many callers do not come
// back at the same moment, and cut short when nobody waits for the result any more.

import type { Clock } from '../../kernel/clock.ts';
import { between, type Random } from '../../kernel/random.ts';

/** Half of the doubled pause is certain, the other half is chance. */
export function nextPauseMs(
  random: Random,
  pause: { readonly firstMs: number; readonly maxMs: number; readonly round: number },
): number {
  const doubled = pause.firstMs * 2 ** Math.min(pause.round, 20);
  const capped = Math.max(1, Math.floor(Math.min(doubled, pause.maxMs)));
  return between(random, Math.ceil(capped / 2), capped);
}

/** Resolves after the delay, or as soon as the signal says that nobody waits. */
export function pauseFor(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done);
  });
}
