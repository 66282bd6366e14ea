// The Observer port on pino and prom-client, the only door to both. Lines go out synchronously: what a
// process said last before it died is what its operator needs most, and nothing logs per request.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isatty } from 'node:tty';
import {
  type DestinationStream,
  destination,
  type Logger as PinoLogger,
  pino,
  stdTimeFunctions,
} from 'pino';
import { prettyFactory } from 'pino-pretty';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { assert, must } from '../kernel/assert.ts';
import type { Fields, Logger, Metrics, Observer } from '../kernel/observer.ts';
import { METRICS, type MetricDefinition } from './metrics.ts';

const STANDARD_OUTPUT = 1;
/** The delay is sampled so often: waking up is most of what an idle node costs. */
const LOOP_SAMPLE_MS = 100;
const LOOP_DELAY = 'matrixkv_node_event_loop_delay_seconds';

export interface ObserverOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** `auto` is `pretty` on a terminal and `json` elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** On every line: which node speaks. */
  readonly fields: Fields;
  /** Where lines go instead of standard output. */
  readonly stream?: DestinationStream;
}

export interface NodeObserver {
  readonly observer: Observer;
  /** What `/metrics` answers, in the text format of Prometheus. */
  metricsText(): Promise<string>;
  readonly metricsContentType: string;
  /** Stops measuring. Lines still go out. Idempotent. */
  close(): void;
}

export function createObserver(options: ObserverOptions): NodeObserver {
  const registry = new Registry();
  const metrics = new PrometheusMetrics(registry);
  const loopDelay = monitorEventLoopDelay({ resolution: LOOP_SAMPLE_MS });
  loopDelay.enable();
  collectProcessMetrics(registry);
  return {
    observer: { log: createLogger(options), metrics },
    metricsText: () => {
      reportLoopDelay(loopDelay, metrics);
      return registry.metrics();
    },
    metricsContentType: registry.contentType,
    close: () => {
      loopDelay.disable();
    },
  };
}

function createLogger(options: ObserverOptions): Logger {
  const isPretty =
    options.format === 'pretty' || (options.format === 'auto' && isatty(STANDARD_OUTPUT));
  const target = options.stream ?? destination({ dest: STANDARD_OUTPUT, sync: true });
  const hasColors = options.stream === undefined && isatty(STANDARD_OUTPUT);
  const stream = isPretty ? prettyStream(target, { hasColors, hidden: options.fields }) : target;
  return new PinoBackedLogger(
    pino(
      {
        level: options.level,
        base: { ...options.fields },
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    ),
  );
}

/** For people at a terminal, who look at one node: the fields of every line are left out. */
function prettyStream(
  target: DestinationStream,
  { hasColors, hidden }: { hasColors: boolean; hidden: Fields },
): DestinationStream {
  const format = prettyFactory({
    colorize: hasColors,
    ignore: Object.keys(hidden).join(','),
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
  });
  return { write: (line) => target.write(format(line)) };
}

/** Errors may stand under any name in the fields: their text and stack must not be lost. */
class PinoBackedLogger implements Logger {
  readonly #pino: PinoLogger;

  constructor(logger: PinoLogger) {
    this.#pino = logger;
  }

  error(fields: Fields, message: string): void {
    this.#pino.error(withReadableErrors(fields), message);
  }

  warn(fields: Fields, message: string): void {
    this.#pino.warn(withReadableErrors(fields), message);
  }

  info(fields: Fields, message: string): void {
    this.#pino.info(withReadableErrors(fields), message);
  }

  debug(fields: Fields, message: string): void {
    if (!this.#pino.isLevelEnabled('debug')) return;
    this.#pino.debug(withReadableErrors(fields), message);
  }

  child(fields: Fields): Logger {
    return new PinoBackedLogger(this.#pino.child({ ...fields }));
  }
}

function withReadableErrors(fields: Fields): Fields {
  if (!Object.values(fields).some((value) => value instanceof Error)) return fields;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? pino.stdSerializers.err(value) : value,
    ]),
  );
}

type Labels = Readonly<Record<string, string>>;

interface Meter {
  readonly definition: MetricDefinition;
  readonly record: (labels: Labels, value: number) => void;
}

/** All metrics of the table, made at once so that each shows up from the first scrape on. */
class PrometheusMetrics implements Metrics {
  readonly #meters: ReadonlyMap<string, Meter>;

  constructor(registry: Registry) {
    this.#meters = new Map(
      Object.entries(METRICS).map(([name, definition]) => [
        name,
        { definition, record: createMeter(registry, { name, definition }) },
      ]),
    );
  }

  count(name: string, by = 1, labels: Labels = {}): void {
    this.#meter(name, 'counter', labels).record(labels, by);
  }

  observe(name: string, value: number, labels: Labels = {}): void {
    this.#meter(name, 'histogram', labels).record(labels, value);
  }

  gauge(name: string, value: number, labels: Labels = {}): void {
    this.#meter(name, 'gauge', labels).record(labels, value);
  }

  #meter(name: string, type: MetricDefinition['type'], labels: Labels): Meter {
    const meter = must(this.#meters.get(name), `Metric ${name} is not in the table of metrics.ts`);
    assert(meter.definition.type === type, `Metric ${name} is a ${meter.definition.type}`);
    const wanted = meter.definition.labels ?? [];
    assert(
      Object.keys(labels).length === wanted.length && wanted.every((key) => key in labels),
      `Metric ${name} has the labels [${wanted}], not [${Object.keys(labels)}]`,
    );
    return meter;
  }
}

function createMeter(
  registry: Registry,
  { name, definition }: { name: string; definition: MetricDefinition },
): Meter['record'] {
  const base = {
    name,
    help: definition.help,
    labelNames: [...(definition.labels ?? [])],
    registers: [registry],
  };
  if (definition.type === 'counter') {
    const counter = new Counter(base);
    return (labels, value) => counter.inc(labels, value);
  }
  if (definition.type === 'gauge') {
    const gauge = new Gauge(base);
    return (labels, value) => gauge.set(labels, value);
  }
  const buckets = must(definition.buckets, `Histogram ${name} has no buckets`);
  const histogram = new Histogram({ ...base, buckets: [...buckets] });
  return (labels, value) => histogram.observe(labels, value);
}

/**
 * Memory, CPU, garbage collection and the like, read at each scrape. Its own sampling of the event
 * loop would wake an idle process a hundred times a second and count the sampling interval as delay:
 * it is made rare and taken out, our gauge stands for it.
 */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 60_000 });
  for (const statistic of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']) {
    registry.removeSingleMetric(`nodejs_eventloop_lag_${statistic}_seconds`);
  }
}

/** The samples are intervals between timer ticks: what exceeds the wanted interval is delay. */
function reportLoopDelay(
  samples: ReturnType<typeof monitorEventLoopDelay>,
  metrics: Metrics,
): void {
  const report = (quantile: string, nanoseconds: number): void => {
    const delayMs = Math.max(0, nanoseconds / 1e6 - LOOP_SAMPLE_MS);
    metrics.gauge(LOOP_DELAY, delayMs / 1_000, { quantile });
  };
  if (samples.count > 0) {
    report('0.5', samples.percentile(50));
    report('0.99', samples.percentile(99));
    report('1', samples.max);
  }
  samples.reset();
}
