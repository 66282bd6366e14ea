// The network between simulated addresses, as a policy: what happens to the next frame from one
// address to another. It knows nothing of streams: the memory wire asks it and behaves as TCP would.
// Cuts have a direction: a partition is cuts both ways.

import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { Delivery } from '../../src/node/transport/memory-pipe.ts';

export interface NetworkQuality {
  readonly latencyMicrosMin: number;
  readonly latencyMicrosMax: number;
  /** Of 1000 frames, how many take ten times as long. */
  readonly slowPerMille: number;
  /** Of 10000 frames, how many break their stream. */
  readonly breaksPer10000: number;
}

export interface Path {
  readonly from: string;
  readonly to: string;
}

const SLOW_FACTOR = 10;

/** How soon after a heal what waited goes through. */
const CUT_RETRY_MS = 50;

export class SimulatedNetwork {
  readonly #random: Random;
  readonly #now: () => number;
  #quality: NetworkQuality;
  readonly #cutUntilMs = new Map<string, number>();
  readonly #cloggedUntilMs = new Map<string, number>();

  constructor(options: {
    readonly random: Random;
    readonly now: () => number;
    readonly quality: NetworkQuality;
  }) {
    this.#random = options.random;
    this.#now = options.now;
    this.#quality = options.quality;
  }

  /** What a cut does is a stall: the sender notices nothing until its patience is over. */
  deliveryOf(path: Path): Delivery {
    if (this.isCut(path)) return { type: 'stall', retryMs: CUT_RETRY_MS };
    const delayMs = this.#drawMs() + this.#clogMs(path);
    const isBroken = chance(this.#random, this.#quality.breaksPer10000, 10_000);
    return { type: isBroken ? 'break' : 'deliver', delayMs };
  }

  isCut(path: Path): boolean {
    return (this.#cutUntilMs.get(nameOf(path)) ?? 0) > this.#now();
  }

  /** From now on and until then nothing comes through in this direction. */
  cut(path: Path, untilMs: number): void {
    const name = nameOf(path);
    this.#cutUntilMs.set(name, Math.max(untilMs, this.#cutUntilMs.get(name) ?? 0));
  }

  /** Frames in this direction wait until then, and arrive all together. */
  clog(path: Path, untilMs: number): void {
    this.#cloggedUntilMs.set(nameOf(path), untilMs);
  }

  /** All directions are open again. */
  heal(): void {
    this.#cutUntilMs.clear();
    this.#cloggedUntilMs.clear();
  }

  setQuality(quality: NetworkQuality): void {
    this.#quality = quality;
  }

  #drawMs(): number {
    const { latencyMicrosMin, latencyMicrosMax, slowPerMille } = this.#quality;
    const factor = chance(this.#random, slowPerMille, 1000) ? SLOW_FACTOR : 1;
    return (between(this.#random, latencyMicrosMin, latencyMicrosMax) / 1000) * factor;
  }

  #clogMs(path: Path): number {
    return Math.max(0, (this.#cloggedUntilMs.get(nameOf(path)) ?? 0) - this.#now());
  }
}

function nameOf({ from, to }: Path): string {
  return `${from} > ${to}`;
}
