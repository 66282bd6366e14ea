// One whole run of one seed: nodes and clients under faults, then a calm end in which everybody must
// be served again within bounded time, then the judgement over the history.

import { fork, SeededRandom } from '../../src/kernel/random.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { Administrator, type Errands } from './administrator.ts';
import { describePlan, drawPlan, type RunPlan } from './faults.ts';
import { History } from './history.ts';
import { checkLinearizable } from './linearizable.ts';
import { Scheduler } from './scheduler.ts';
import { SimulatedClock } from './simulated-clock.ts';
import { Workload } from './workload.ts';
import { type MakeNode, type MayLose, World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly nodes: readonly string[];
  readonly makeNode: MakeNode;
  /** Simulated time with clients and faults. */
  readonly faultsMs: number;
  /** Simulated time after the healing in which every node must serve. */
  readonly calmMsMax: number;
  readonly clients: number;
  readonly keys: number;
  /** Of 100 calls, how many are scans; none when left out. */
  readonly scanPercent?: number;
  /** When a machine may be lost for good, so that the others must do without; never if left out. */
  readonly mayLose?: MayLose | undefined;
  readonly errands?: Errands;
  /** In place of one drawn from the seed. */
  readonly plan?: RunPlan;
  /** What else was drawn for this run: printed with the plan. */
  readonly settings?: string;
  /** Looks at what lies on the disks once the clients are gone. */
  readonly inspect?: Inspect;
  /** Simulated time in which the disks must be as they should. */
  readonly settleMsMax?: number;
}

/** What the disks must look like in the end: at once `wrong`, or `unfinished` for a bounded time. */
export type Inspection =
  | { readonly type: 'good' }
  | { readonly type: 'unfinished' | 'wrong'; readonly reason: string };

export type Inspect = (disks: ReadonlyMap<string, Engine>) => Promise<Inspection>;

export interface SimulationReport {
  readonly digest: string;
  readonly events: number;
  readonly operations: number;
  readonly succeeded: number;
  readonly unknown: number;
  /** Simulated time from the healing until every node served. */
  readonly recoveryMs: number;
  /** Simulated time of the whole run. */
  readonly simulatedMs: number;
  /** What was drawn before the run, for people. */
  readonly plan: string;
}

/** What a run did wrong, with the seed and the plan that show it again. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure';
  readonly kind: 'crashed' | 'not-live' | 'not-linearizable' | 'undecided' | 'diverged';

  constructor(kind: SimulationFailure['kind'], text: string, options?: ErrorOptions) {
    super(text, options);
    this.kind = kind;
  }
}

/** Faults begin once the nodes had time to find each other. */
const FIRST_FAULT_MS = 500;
/** Calls in a row that each node must answer after the healing. */
const STREAK_WANTED = 5;
/** Between two looks at the disks. */
const INSPECT_MS = 500;
const PAUSE_MS_MAX = 60;
const DEADLINE_MS_MIN = 200;
const DEADLINE_MS_MAX = 4_000;

/** Throws SimulationFailure. */
export function simulate(options: SimulationOptions): Promise<SimulationReport> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #scheduler = new Scheduler();
  readonly #history = new History(() => this.#scheduler.now());
  readonly #plan: RunPlan;
  readonly #world: World;
  readonly #workload: Workload;
  readonly #administrator: Administrator;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, nodes, makeNode, faultsMs, clients, keys, mayLose } = options;
    const scheduler = this.#scheduler;
    const random = new SeededRandom(seed);
    const span = { fromMs: FIRST_FAULT_MS, untilMs: faultsMs };
    const drawn = drawPlan({
      random: fork(random),
      nodes,
      mayLose: mayLose !== undefined,
      ...span,
    });
    this.#plan = options.plan ?? drawn;
    this.#world = new World({
      scheduler,
      random: fork(random),
      names: nodes,
      plan: this.#plan,
      makeNode,
      mayLose,
    });
    const clock = new SimulatedClock({ scheduler });
    this.#administrator = new Administrator({
      random: fork(random),
      clock,
      targets: this.#world.targets(),
      errands: options.errands ?? { transfers: false, drains: false },
      record: (line) => scheduler.record(line),
      onBug: (error) => scheduler.fail(error),
    });
    this.#workload = new Workload({
      random: fork(random),
      clock,
      history: this.#history,
      targets: this.#world.targets(),
      clients,
      keys,
      scanPercent: options.scanPercent ?? 0,
      pauseMsMax: PAUSE_MS_MAX,
      deadlineMsMin: DEADLINE_MS_MIN,
      deadlineMsMax: DEADLINE_MS_MAX,
      onBug: (error) => scheduler.fail(error),
      onEnding: (line) => scheduler.record(line),
    });
  }

  async run(): Promise<SimulationReport> {
    this.#world.start();
    this.#workload.start();
    this.#administrator.start();
    await this.#advance({ untilMs: this.#options.faultsMs });
    const recoveryMs = await this.#recover();
    this.#workload.stop();
    const endMs = this.#scheduler.now() + this.#options.calmMsMax;
    const until = (): boolean => this.#workload.isDone() && this.#administrator.isDone();
    const isDone = await this.#advance({ untilMs: endMs, until });
    if (!isDone) throw this.#failure('not-live', 'A client never got an end of its call');
    this.#judge();
    await this.#inspect();
    return this.#report(recoveryMs);
  }

  async #recover(): Promise<number> {
    const healedMs = this.#scheduler.now();
    this.#world.heal();
    this.#administrator.leave();
    this.#workload.resetStreaks();
    const isServed = await this.#advance({
      untilMs: healedMs + this.#options.calmMsMax,
      until: () => this.#workload.streak() >= STREAK_WANTED,
    });
    if (isServed) return this.#scheduler.now() - healedMs;
    const text = `Not every node serves ${this.#options.calmMsMax} ms after all was healed`;
    throw this.#failure('not-live', text);
  }

  async #inspect(): Promise<void> {
    const { inspect, calmMsMax, settleMsMax = calmMsMax } = this.#options;
    if (inspect === undefined) return;
    const endMs = this.#scheduler.now() + settleMsMax;
    for (;;) {
      const inspection = await inspect(this.#world.disks());
      if (inspection.type === 'good') return;
      const { type, reason } = inspection;
      if (type === 'wrong') throw this.#failure('diverged', reason);
      if (this.#scheduler.now() >= endMs) {
        throw this.#failure('not-live', `The disks are still unfinished: ${reason}`);
      }
      await this.#advance({ untilMs: this.#scheduler.now() + INSPECT_MS });
    }
  }

  async #advance(options: { untilMs: number; until?: () => boolean }): Promise<boolean> {
    try {
      return await this.#scheduler.run(options);
    } catch (cause) {
      throw this.#failure('crashed', `A node or a client broke: ${String(cause)}`, cause);
    }
  }

  #judge(): void {
    const verdict = checkLinearizable(this.#history.operations());
    if (verdict.type === 'violation') throw this.#failure('not-linearizable', verdict.explanation);
    if (verdict.type === 'undecided') {
      const text = `Key ${verdict.key} is undecided after ${verdict.steps} steps`;
      throw this.#failure('undecided', text);
    }
  }

  #report(recoveryMs: number): SimulationReport {
    const operations = this.#history.operations();
    const countOf = (type: string): number =>
      operations.filter(({ ending }) => ending.type === type).length;
    return {
      digest: this.#scheduler.trace.digest(),
      events: this.#scheduler.eventsRun(),
      operations: operations.length,
      succeeded: countOf('ok'),
      unknown: countOf('unknown'),
      recoveryMs,
      simulatedMs: this.#scheduler.now(),
      plan: this.#describePlan(),
    };
  }

  #describePlan(): string {
    const { settings } = this.#options;
    const plan = describePlan(this.#plan);
    return settings === undefined ? plan : `${settings} ${plan}`;
  }

  #failure(kind: SimulationFailure['kind'], text: string, cause?: unknown): SimulationFailure {
    const parts = [
      `Seed ${this.#options.seed} at ${this.#scheduler.now().toFixed(3)} ms: ${text}`,
      `Plan: ${this.#describePlan()}`,
      'The last events:',
      ...this.#scheduler.trace.lines().map((line) => `  ${line}`),
    ];
    return new SimulationFailure(kind, parts.join('\n'), { cause });
  }
}
