// Histories made from chance for the tests of the checker. A correct one comes from a real atomic key
// whose operations take effect at a random moment between begin and end; the mutations then spoil it.

import { must } from '../../src/kernel/assert.ts';
import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { Precondition } from '../../src/node/shard/kv-types.ts';
import { type Action, History, type Operation, type Result } from './history.ts';

export interface GenerateOptions {
  readonly random: Random;
  readonly operations: number;
  readonly processes: number;
  /** Of 100 operations, how many lose their answer; half of those take effect, maybe much later. */
  readonly unknownPercent: number;
}

interface Call {
  readonly id: number;
  readonly process: number;
  readonly action: Action;
  readonly isLost: boolean;
  result: Result | undefined;
}

/** A history on the key "k" that is linearizable because it was executed. */
export function generateHistory(options: GenerateOptions): readonly Operation[] {
  return new Generator(options).run();
}

class Generator {
  readonly #options: GenerateOptions;
  readonly #history: History;
  readonly #idle: number[];
  #running: Call[] = [];
  /** Calls without an answer that may still take effect. */
  #lost: Call[] = [];
  #begun = 0;
  #nextProcess: number;
  #value: string | undefined;
  #version = 0;
  #counter = 0;

  constructor(options: GenerateOptions) {
    this.#options = options;
    this.#idle = Array.from({ length: options.processes }, (_, index) => index);
    this.#nextProcess = options.processes;
    let time = 0;
    this.#history = new History(() => {
      time += 1;
      return time;
    });
  }

  run(): readonly Operation[] {
    const { random, operations } = this.#options;
    while (this.#begun < operations || this.#running.length > 0) {
      const choice = random.below(3);
      if (choice === 0 && this.#begun < operations) this.#begin();
      if (choice === 1) this.#effect();
      if (choice === 2) this.#end();
    }
    return this.#history.operations();
  }

  #begin(): void {
    const { random, unknownPercent } = this.#options;
    const process = this.#idle.splice(random.below(Math.max(1, this.#idle.length)), 1)[0];
    if (process === undefined) return;
    const action = this.#drawAction();
    const id = this.#history.begin({ process, key: 'k', action });
    const isLost = chance(random, unknownPercent, 100);
    this.#running.push({ id, process, action, isLost, result: undefined });
    this.#begun += 1;
  }

  #drawAction(): Action {
    const { random } = this.#options;
    const kind = random.below(10);
    if (kind < 4) return { type: 'get' };
    const version = Math.max(0, this.#version - random.below(2));
    const conditions: readonly (Precondition | undefined)[] = [
      undefined,
      undefined,
      { type: 'absent' },
      { type: 'present' },
      { type: 'version', version },
    ];
    const precondition = conditions[random.below(conditions.length)];
    const condition = precondition === undefined ? {} : { precondition };
    if (kind === 4) return { type: 'delete', ...condition };
    return { type: 'put', value: `v${this.#begun}`, ...condition };
  }

  /** One call that waits, or a lost one from long ago, takes effect. */
  #effect(): void {
    const { random } = this.#options;
    if (this.#lost.length > 0 && chance(random, 1, 8)) {
      const late = this.#lost.splice(random.below(this.#lost.length), 1)[0];
      if (late !== undefined && chance(random, 1, 2)) late.result = this.#execute(late.action);
      return;
    }
    const waiting = this.#running.filter((call) => call.result === undefined);
    if (waiting.length === 0) return;
    const call = must(waiting[random.below(waiting.length)], 'The index is in range');
    call.result = this.#execute(call.action);
  }

  #end(): void {
    const { random } = this.#options;
    const done = this.#running.filter((call) => call.result !== undefined || call.isLost);
    if (done.length === 0) return;
    const call = must(done[random.below(done.length)], 'The index is in range');
    this.#running = this.#running.filter((other) => other !== call);
    if (call.isLost) {
      if (call.result === undefined) this.#lost.push(call);
      this.#history.end(call.id, { type: 'unknown' });
      this.#idle.push(this.#nextProcess);
      this.#nextProcess += 1;
    } else {
      const result = must(call.result, 'Only executed calls end with an answer');
      this.#history.end(call.id, { type: 'ok', result });
      this.#idle.push(call.process);
    }
  }

  #execute(action: Action): Result {
    if (action.type === 'get') {
      return this.#value === undefined
        ? { type: 'absent' }
        : { type: 'found', value: this.#value, version: this.#version };
    }
    const existed = this.#value !== undefined;
    const current = existed ? this.#version : 0;
    if (!this.#holds(action.precondition)) {
      return { type: 'written', applied: false, existed, version: current };
    }
    this.#counter += between(this.#options.random, 1, 3);
    this.#version = this.#counter;
    this.#value = action.type === 'put' ? action.value : undefined;
    return { type: 'written', applied: true, existed, version: this.#version };
  }

  #holds(condition: Precondition | undefined): boolean {
    const isPresent = this.#value !== undefined;
    if (condition === undefined) return true;
    if (condition.type === 'absent') return !isPresent;
    if (condition.type === 'present') return isPresent;
    return isPresent && this.#version === condition.version;
  }
}
