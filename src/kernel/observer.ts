// What the program says about itself, as a port: log lines and numbers. Rooms get an Observer handed
// in; only node/observer.ts knows pino and prom-client.

export type Fields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** A human should look. */
  error(fields: Fields, message: string): void;
  /** Something was refused or dropped. */
  warn(fields: Fields, message: string): void;
  /** State changed: leader, membership, split, start, stop. Never once per request. */
  info(fields: Fields, message: string): void;
  debug(fields: Fields, message: string): void;
  /** The same logger with these fields on every line. */
  child(fields: Fields): Logger;
}

export interface Metrics {
  /** Adds to a counter (name ends in `_total`). */
  count(name: string, by?: number, labels?: Readonly<Record<string, string>>): void;
  /** Adds one value to a histogram; seconds or bytes as the name says. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  /** Sets a gauge. */
  gauge(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}

export interface Observer {
  readonly log: Logger;
  readonly metrics: Metrics;
}

const nothing = (): void => {};
const silentLogger: Logger = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  child: () => silentLogger,
};

/** Says nothing: for tests and the simulator. */
export const SILENT: Observer = {
  log: silentLogger,
  metrics: { count: nothing, observe: nothing, gauge: nothing },
};
