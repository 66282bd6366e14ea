// Time as a port. Everything that waits or measures asks a Clock, so that the simulator can run
// minutes of cluster time in a second. This file is the only one that touches real time.

export interface Timer {
  /** Forgets the callback. Harmless when it already ran. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with a fraction. Only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970, for people and for session ids. Safety never depends on it. */
  wallNow(): number;
  /** Runs `callback` once, no earlier than `delayMs` from now. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` as soon as the events that are already waiting were taken in. */
  soon(callback: () => void): void;
}

export class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  wallNow(): number {
    return Date.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}

/** Resolves after `delayMs` on this clock. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}

/** Calls `tick` every `intervalMs` until cancelled. A late tick is never made up for: no bursts. */
export function every(clock: Clock, intervalMs: number, tick: () => void): Timer {
  let isCancelled = false;
  let timer = clock.after(intervalMs, run);
  function run(): void {
    if (isCancelled) return;
    timer = clock.after(intervalMs, run);
    tick();
  }
  return {
    cancel: () => {
      isCancelled = true;
      timer.cancel();
    },
  };
}
