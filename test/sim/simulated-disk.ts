// The disk of one simulated machine: it outlives the process. A write takes a while; when the process
// dies in the meantime, chance decides whether the disk still got it. Either way the batch is whole:
// a torn batch is what LevelDB's checksums exclude, and is tested on real files.

import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { MemoryEngine, MemoryState } from '../../src/node/storage/memory-engine.ts';
import type { SimulatedClock } from './simulated-clock.ts';

export interface DiskSpeed {
  readonly writeMicrosMin: number;
  readonly writeMicrosMax: number;
  /** Of 1000 writes, how many take a hundred times as long. */
  readonly slowPerMille: number;
}

const SLOW_FACTOR = 100;

/** How often a stalled write looks whether the stall is over. */
const STALL_STEP_MS = 100;

export class SimulatedDisk {
  readonly #random: Random;
  readonly #speed: DiskSpeed;
  readonly #state = new MemoryState();
  #inFlight: (() => void) | undefined;
  /** What is to happen in the middle of the next write. */
  #ambush: (() => void) | undefined;
  #stalledUntilMs = 0;

  constructor({ random, speed }: { readonly random: Random; readonly speed: DiskSpeed }) {
    this.#random = random;
    this.#speed = speed;
  }

  /** The engine of a process that starts now, on what earlier ones left. */
  open(clock: SimulatedClock): Engine {
    return new MemoryEngine({
      state: this.#state,
      commit: (apply) => this.#commit(apply, clock),
    });
  }

  /** The same content on a disk of its own. */
  copy(): Engine {
    return new MemoryEngine({ state: this.#state.clone() });
  }

  /** The process has died. Says what became of the write in flight, when there was one. */
  crash(): 'idle' | 'kept' | 'lost' {
    const apply = this.#inFlight;
    this.#inFlight = undefined;
    if (apply === undefined) return 'idle';
    if (chance(this.#random, 1, 2)) return 'lost';
    apply();
    return 'kept';
  }

  /** Once, in the middle of the next write. */
  duringNextWrite(action: () => void): void {
    this.#ambush = action;
  }

  /** No write ends before this moment of the world's time. */
  stall(untilMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, untilMs);
  }

  /** Writes go on, within one step. */
  endStall(): void {
    this.#stalledUntilMs = 0;
  }

  /** Never resolves once the process is dead: its clock drops the timer. */
  #commit(apply: () => void, clock: SimulatedClock): Promise<void> {
    if (clock.isDead()) return new Promise(() => {});
    this.#inFlight = apply;
    return new Promise((resolve) => {
      const finish = (): void => {
        const leftMs = this.#stalledUntilMs - clock.globalNow();
        if (leftMs > 0) {
          clock.afterGlobal(Math.min(leftMs, STALL_STEP_MS), finish);
          return;
        }
        this.#inFlight = undefined;
        apply();
        resolve();
      };
      const durationMs = this.#drawMs();
      const ambush = this.#ambush;
      this.#ambush = undefined;
      if (ambush !== undefined) clock.afterGlobal(durationMs / 2, ambush);
      clock.afterGlobal(durationMs, finish);
    });
  }

  #drawMs(): number {
    const { writeMicrosMin, writeMicrosMax, slowPerMille } = this.#speed;
    const factor = chance(this.#random, slowPerMille, 1000) ? SLOW_FACTOR : 1;
    return (between(this.#random, writeMicrosMin, writeMicrosMax) / 1000) * factor;
  }
}
