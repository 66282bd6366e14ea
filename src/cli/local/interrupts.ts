// Ctrl-C and its relatives. The first asks for a clean stop, a later one for an end at once. One press
// can arrive several times (from the terminal, from npm, from bin/mkv.js), so what comes within a
// second counts as one.

const SAME_PRESS_MS = 1_000;

export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

export interface Interrupts {
  /** Aborted by the first interrupt. */
  readonly stop: AbortSignal;
  /** Aborted by the second. */
  readonly force: AbortSignal;
  close(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function listenForInterrupts(source: SignalSource, now: () => number): Interrupts {
  const stop = new AbortController();
  const force = new AbortController();
  let firstAt = Number.POSITIVE_INFINITY;
  const listener = (): void => {
    if (!stop.signal.aborted) {
      firstAt = now();
      stop.abort();
    } else if (now() - firstAt >= SAME_PRESS_MS) {
      force.abort();
    }
  };
  for (const signal of SIGNALS) source.on(signal, listener);
  return {
    stop: stop.signal,
    force: force.signal,
    close: () => {
      for (const signal of SIGNALS) source.off(signal, listener);
    },
  };
}
