// Waiting for a condition, never for luck: asked again and again until it holds or its time is over.

import { performance } from 'node:perf_hooks';

const POLL_MS = 50;

export interface Wait {
  /** What is waited for, in the words of a failed test. */
  readonly what: string;
  readonly withinMs: number;
  readonly pollMs?: number;
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Resolves with the milliseconds that it took until `probe` returned the empty string; anything else
 * is what is still missing. A throwing probe counts as missing: nodes come and go in these tests.
 */
export async function until(
  { what, withinMs, pollMs = POLL_MS }: Wait,
  probe: () => Promise<string> | string,
): Promise<number> {
  const start = performance.now();
  for (;;) {
    const missing = await missingBy(probe);
    const took = performance.now() - start;
    if (missing === '') return took;
    if (took > withinMs) {
      throw new Error(`Not within ${withinMs} ms: ${what}. Still missing: ${missing}`);
    }
    await pause(pollMs);
  }
}

async function missingBy(probe: () => Promise<string> | string): Promise<string> {
  try {
    return await probe();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
