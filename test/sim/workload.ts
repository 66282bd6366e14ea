// The clients of a run: each calls one node after the other, and everything that it asked and heard
// goes into the history. Values are unique, so that a read says which write it saw.

import { must } from '../../src/kernel/assert.ts';
import { utf8, view } from '../../src/kernel/bytes.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import { sleep } from '../../src/kernel/clock.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import { between, chance, fork, type Random } from '../../src/kernel/random.ts';
import type { AdminService, CallContext, KvService } from '../../src/node/routing/services.ts';
import type { Precondition } from '../../src/node/shard/kv-types.ts';
import type { Action, Ending, History, Result } from './history.ts';
import { drawScan, type Endings, endingsOfScan } from './scan-endings.ts';

/** A node as clients see it. */
export interface Target {
  readonly name: string;
  /** True once the machine is gone for good. */
  isLost(): boolean;
  /** Undefined while the process is down: nobody answers. */
  endpoint(): Endpoint | undefined;
}

export interface Endpoint {
  readonly kv: KvService;
  readonly admin: AdminService | undefined;
  /** Deadlines are moments on the clock of the node that is called. */
  readonly clock: Clock;
}

export interface WorkloadOptions {
  readonly random: Random;
  readonly clock: Clock;
  readonly history: History;
  readonly targets: readonly Target[];
  readonly clients: number;
  readonly keys: number;
  /** Of 100 calls, how many look at many keys at once. */
  readonly scanPercent: number;
  /** Longest pause of a client between two calls. */
  readonly pauseMsMax: number;
  readonly deadlineMsMin: number;
  readonly deadlineMsMax: number;
  /** Told of everything that a service may not throw: a bug. */
  readonly onBug: (error: unknown) => void;
  /** Told of each ending, for the trace. */
  readonly onEnding?: (line: string) => void;
}

/** So much later than the deadline, a client gives up by itself, as on a broken connection. */
const PATIENCE_MS = 500;

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #streaks = new Map<string, number>();
  #processes = 0;
  #values = 0;
  #isStopped = false;
  #clientsRunning = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client += 1) {
      this.#clientsRunning += 1;
      this.#runClient(fork(this.#options.random))
        .catch((error: unknown) => this.#options.onBug(error))
        .finally(() => {
          this.#clientsRunning -= 1;
        });
    }
  }

  /** Each client ends after the call that it is in. */
  stop(): void {
    this.#isStopped = true;
  }

  isDone(): boolean {
    return this.#isStopped && this.#clientsRunning === 0;
  }

  /** Starts to count anew: see `streak`. */
  resetStreaks(): void {
    this.#streaks.clear();
  }

  /** How many calls in a row have succeeded at the node where the fewest did. */
  streak(): number {
    const present = this.#options.targets.filter((target) => !target.isLost());
    return Math.min(...present.map(({ name }) => this.#streaks.get(name) ?? 0));
  }

  async #runClient(random: Random): Promise<void> {
    const client = new Client(random, this.#options);
    let process = this.#takeProcess();
    while (!this.#isStopped) {
      await sleep(this.#options.clock, between(random, 0, this.#options.pauseMsMax));
      const { targets, scanPercent } = this.#options;
      const target = must(targets[random.below(targets.length)], 'The index is in range');
      const endpoint = target.endpoint();
      if (endpoint === undefined) {
        this.#streaks.set(target.name, 0);
        continue;
      }
      this.#values += 1;
      const ending = chance(random, scanPercent, 100)
        ? await client.scan({ endpoint, process })
        : await client.call({ endpoint, process, value: `v${this.#values}` });
      const streak = ending.type === 'ok' ? (this.#streaks.get(target.name) ?? 0) + 1 : 0;
      this.#streaks.set(target.name, streak);
      this.#options.onEnding?.(`process ${process} at ${target.name}: ${ending.type}`);
      if (ending.type === 'unknown') process = this.#takeProcess();
    }
  }

  #takeProcess(): number {
    this.#processes += 1;
    return this.#processes;
  }
}

/** One client: draws calls, makes them, and remembers versions for compare-and-set. */
class Client {
  readonly #random: Random;
  readonly #options: WorkloadOptions;
  readonly #versions = new Map<string, number>();

  constructor(random: Random, options: WorkloadOptions) {
    this.#random = random;
    this.#options = options;
  }

  async call(options: {
    readonly endpoint: Endpoint;
    readonly process: number;
    readonly value: string;
  }): Promise<Ending> {
    const { history } = this.#options;
    const key = keyNamed(this.#random.below(this.#options.keys));
    const action = this.#drawAction(key, options.value);
    const id = history.begin({ process: options.process, key, action });
    const { kv } = options.endpoint;
    const ending = await this.#perform(options.endpoint, async (context): Promise<Ending> => {
      return { type: 'ok', result: await perform({ kv, key, action, context }) };
    });
    history.end(id, ending);
    if (ending.type === 'ok') this.#remember(key, ending.result);
    return ending;
  }

  /** Each key that the answer speaks of was read at some moment of the scan, each on its own. */
  async scan(options: {
    readonly endpoint: Endpoint;
    readonly process: number;
  }): Promise<Ending | Endings> {
    const { history } = this.#options;
    const keys = Array.from({ length: this.#options.keys }, (_, position) => keyNamed(position));
    const action: Action = { type: 'get' };
    const { process, endpoint } = options;
    const ids = keys.map((key) => history.begin({ process, key, action }));
    const request = drawScan(this.#random, keys.length);
    const ending = await this.#perform<Ending | Endings>(endpoint, async (context) =>
      endingsOfScan({ keys, request, answer: await endpoint.kv.scan(request, context) }),
    );
    ids.forEach((id, position) => {
      const one = 'each' in ending ? ending.each[position] : ending;
      history.end(id, must(one, 'Every key has an ending'));
    });
    return ending;
  }

  /** The answer, or "unknown" when the node stays silent, for instance because it died. */
  #perform<Answer>(
    endpoint: Endpoint,
    work: (context: CallContext) => Promise<Answer>,
  ): Promise<Answer | Ending> {
    const { clock, deadlineMsMin, deadlineMsMax } = this.#options;
    const timeoutMs = between(this.#random, deadlineMsMin, deadlineMsMax);
    const context = { deadline: endpoint.clock.now() + timeoutMs };
    return new Promise((resolve, reject) => {
      const giveUp = (): void => resolve({ type: 'unknown' });
      const timer = clock.after(timeoutMs + PATIENCE_MS, giveUp);
      work(context).then(
        (answer) => {
          timer.cancel();
          resolve(answer);
        },
        (error: unknown) => {
          timer.cancel();
          // INTERNAL is what a foreign error becomes at a gate: here, where nothing is foreign, a bug.
          if (error instanceof MatrixError && error.code !== 'INTERNAL') resolve(endingOf(error));
          else reject(error);
        },
      );
    });
  }

  #drawAction(key: string, value: string): Action {
    const kind = this.#random.below(10);
    if (kind < 4) return { type: 'get' };
    const precondition = this.#drawPrecondition(key);
    const condition = precondition === undefined ? {} : { precondition };
    return kind === 4 ? { type: 'delete', ...condition } : { type: 'put', value, ...condition };
  }

  #drawPrecondition(key: string): Precondition | undefined {
    const version = this.#versions.get(key);
    if (version !== undefined && chance(this.#random, 1, 2)) return { type: 'version', version };
    const kind = this.#random.below(4);
    if (kind === 0) return { type: 'absent' };
    return kind === 1 ? { type: 'present' } : undefined;
  }

  #remember(key: string, result: Result): void {
    if (result.type === 'absent') this.#versions.delete(key);
    else if (result.version > 0) this.#versions.set(key, result.version);
  }
}

/** In the order of their numbers. */
function keyNamed(position: number): string {
  return `key-${String(position).padStart(2, '0')}`;
}

function endingOf(error: MatrixError): Ending {
  return error.outcome === 'not-applied' ? { type: 'fail' } : { type: 'unknown' };
}

async function perform(call: {
  readonly kv: KvService;
  readonly key: string;
  readonly action: Action;
  readonly context: CallContext;
}): Promise<Result> {
  const { kv, action, context } = call;
  const key = utf8(call.key);
  if (action.type === 'get') {
    const answer = await kv.get(key, context);
    if (!answer.found) return { type: 'absent' };
    return { type: 'found', value: view(answer.value).toString(), version: answer.version };
  }
  const condition = action.precondition === undefined ? {} : { precondition: action.precondition };
  const answer =
    action.type === 'put'
      ? await kv.put({ key, value: utf8(action.value), ...condition }, context)
      : await kv.delete({ key, ...condition }, context);
  const { applied, existed, version } = answer;
  return { type: 'written', applied, existed, version };
}
