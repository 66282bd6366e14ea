// What a simulated node says about itself goes into the trace of the run, so that a failing seed tells
// its story. A line of level `error` fails the run: in a simulation nothing happens for which a human
// would have to be called, but for the one thing that its faults can really bring about.

import type { Fields, Logger, Observer } from '../../src/kernel/observer.ts';

export interface RecordingOptions {
  readonly record: (line: string) => void;
  readonly fail: (error: unknown) => void;
}

/** Two of three machines may well be down for longer than a store may be silent. */
const EXPECTED = 'Many stores are down, replicas are not made up';

const nothing = (): void => {};

export function recordingObserver(options: RecordingOptions): Observer {
  return {
    log: recordingLogger(options, {}),
    metrics: { count: nothing, observe: nothing, gauge: nothing },
  };
}

function recordingLogger(options: RecordingOptions, context: Fields): Logger {
  const record = (fields: Fields, message: string): void =>
    options.record(`${message} ${describe({ ...context, ...fields })}`);
  return {
    error: (fields, message) => {
      record(fields, message);
      if (message === EXPECTED) return;
      options.fail(new Error(`${message} ${describe({ ...context, ...fields })}`));
    },
    warn: record,
    info: record,
    debug: nothing,
    child: (fields) => recordingLogger(options, { ...context, ...fields }),
  };
}

function describe(fields: Fields): string {
  return JSON.stringify(fields, (_key, value: unknown) =>
    value instanceof Error ? value.message : value,
  );
}
