// A store of one node, small enough to be seen to be right, and the same with one fault built in. The
// tests of the simulator run it: a checker that never refuses anything would pass every test but these.

import { utf8, view } from '../../src/kernel/bytes.ts';
import { sleep } from '../../src/kernel/clock.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import { chance } from '../../src/kernel/random.ts';
import type { KvService } from '../../src/node/routing/services.ts';
import type { GetResult, Precondition, WriteResult } from '../../src/node/shard/kv-types.ts';
import type { NodePorts, SimulatedNode } from './world.ts';

export type ToyFault =
  | 'none'
  | 'answers-before-the-disk'
  | 'reads-the-past'
  | 'calls-a-write-failed'
  | 'ignores-conditions'
  | 'silent-after-restart'
  | 'breaks';

interface Stored {
  /** Undefined once deleted: the version lives on. */
  readonly value?: string;
  readonly version: number;
}

interface Step<T> {
  readonly answer: T;
  readonly written: Promise<void>;
}

interface Write {
  readonly key: Uint8Array;
  readonly value: string | undefined;
  readonly condition: Precondition | undefined;
}

const THINK_MS = 3;
const STARTED_KEY = utf8('started');

export function toyNode(ports: NodePorts, fault: ToyFault): SimulatedNode {
  const toy = new Toy(ports, fault);
  return { kv: toy.service(), start: () => toy.start() };
}

class Toy {
  readonly #ports: NodePorts;
  readonly #fault: ToyFault;
  readonly #past = new Map<string, GetResult>();
  #isSilent = false;
  /** The tail of the line of writes: one after the other, as the engine wants it. */
  #line: Promise<void> = Promise.resolve();

  constructor(ports: NodePorts, fault: ToyFault) {
    this.#ports = ports;
    this.#fault = fault;
  }

  async start(): Promise<void> {
    const { engine } = this.#ports;
    const isRestart = engine.get(STARTED_KEY) !== undefined;
    this.#isSilent = isRestart && this.#fault === 'silent-after-restart';
    await this.#inLine(async () => {
      const written = engine.write([{ type: 'put', key: STARTED_KEY, value: utf8('1') }]);
      return { answer: undefined, written };
    });
  }

  service(): KvService {
    return {
      get: (key) => this.#get(key),
      put: ({ key, value, precondition }) =>
        this.#write({ key, value: view(value).toString(), condition: precondition }),
      delete: ({ key, precondition }) =>
        this.#write({ key, value: undefined, condition: precondition }),
      scan: () => Promise.reject(new MatrixError('UNSUPPORTED', 'The toy has no scan')),
    };
  }

  async #get(key: Uint8Array): Promise<GetResult> {
    await this.#think();
    // Waiting in the line makes a read see every write that was answered before.
    const newest = await this.#inLine(async () => ({
      answer: this.#read(key),
      written: Promise.resolve(),
    }));
    const name = view(key).toString();
    const past = this.#past.get(name) ?? newest;
    this.#past.set(name, newest);
    const isPast = this.#fault === 'reads-the-past' && chance(this.#ports.random, 1, 10);
    return isPast ? past : newest;
  }

  async #write(write: Write): Promise<WriteResult> {
    await this.#think();
    const { random } = this.#ports;
    if (this.#fault === 'breaks' && chance(random, 1, 50)) throw new TypeError('The toy broke');
    const result = await this.#inLine(() => this.#execute(write));
    await this.#think();
    if (this.#fault === 'calls-a-write-failed' && chance(random, 1, 20)) {
      throw new MatrixError('UNAVAILABLE', 'Not applied, says the toy');
    }
    return result;
  }

  /** Resolves with the answer; `written` is when the line may go on. */
  async #execute({ key, value, condition }: Write): Promise<Step<WriteResult>> {
    const current = this.#load(key);
    const existed = current?.value !== undefined;
    if (!holds(condition, current) && this.#fault !== 'ignores-conditions') {
      const version = existed ? current.version : 0;
      return { answer: { applied: false, existed, version }, written: Promise.resolve() };
    }
    const version = (current?.version ?? 0) + 1;
    const stored: Stored = value === undefined ? { version } : { value, version };
    const bytes = utf8(JSON.stringify(stored));
    const written = this.#ports.engine.write([{ type: 'put', key, value: bytes }]);
    if (this.#fault !== 'answers-before-the-disk') await written;
    return { answer: { applied: true, existed, version }, written };
  }

  #read(key: Uint8Array): GetResult {
    const stored = this.#load(key);
    if (stored?.value === undefined) return { found: false };
    return { found: true, value: utf8(stored.value), version: stored.version };
  }

  #load(key: Uint8Array): Stored | undefined {
    const bytes = this.#ports.engine.get(key);
    // The toy itself wrote these bytes.
    return bytes === undefined ? undefined : (JSON.parse(view(bytes).toString()) as Stored);
  }

  #think(): Promise<void> {
    return this.#isSilent ? new Promise(() => {}) : sleep(this.#ports.clock, THINK_MS);
  }

  async #inLine<T>(work: () => Promise<Step<T>>): Promise<T> {
    const step = this.#line.then(work);
    this.#line = step.then(({ written }) => written);
    return (await step).answer;
  }
}

function holds(condition: Precondition | undefined, current: Stored | undefined): boolean {
  const isPresent = current?.value !== undefined;
  if (condition === undefined) return true;
  if (condition.type === 'absent') return !isPresent;
  if (condition.type === 'present') return isPresent;
  return isPresent && current.version === condition.version;
}
