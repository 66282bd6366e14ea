// The disk of one store process under test: each write ends as the test says. What became durable
// lives on in the MemoryState, which the next process of the store opens.

import { MemoryEngine, type MemoryState } from '../../src/node/storage/memory-engine.ts';
import type { SimulatedClock } from '../sim/simulated-clock.ts';

/**
 * `hang` ends with `release`. The two crashes end the process: without the write, or right behind it,
 * before anybody could know.
 */
export type WriteFate = 'done' | 'fail' | 'hang' | 'crash-before' | 'crash-after';

export interface FaultyDiskOptions {
  readonly state: MemoryState;
  readonly clock: SimulatedClock;
  readonly fate: (number: number) => WriteFate;
  readonly onCrash: () => void;
}

const DISK_MS = 0.3;

export class FaultyDisk {
  readonly engine: MemoryEngine;
  readonly #options: FaultyDiskOptions;
  #writes = 0;
  #release: (() => void) | undefined;

  constructor(options: FaultyDiskOptions) {
    this.#options = options;
    this.engine = new MemoryEngine({
      state: options.state,
      commit: (apply) => this.#commit(apply),
    });
  }

  /** Writes begun since the start of the process. */
  get writes(): number {
    return this.#writes;
  }

  get isHanging(): boolean {
    return this.#release !== undefined;
  }

  /** The write that hangs goes through after all. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  #commit(apply: () => void): Promise<void> {
    const { clock, fate, onCrash } = this.#options;
    this.#writes += 1;
    const what = fate(this.#writes);
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        apply();
        resolve();
      };
      const end = (): void => {
        if (what === 'crash-after') apply();
        if (what === 'crash-before' || what === 'crash-after') onCrash();
        else if (what === 'fail') reject(new Error('Input/output error'));
        else finish();
      };
      if (what === 'hang') this.#release = () => clock.after(DISK_MS, finish);
      else clock.after(DISK_MS, end);
    });
  }
}
