// The network between simulated addresses, as a policy: what happens to the next frame from one
// address to another. It knows nothing of streams; the wire asks it and behaves as TCP would, so that
// a lost frame is a broken stream. Cuts have a direction: a partition is cuts both ways.

import { between, chance, type Random } from '../../src/kernel/random.ts';

export interface NetworkQuality {
  readonly latencyMicrosMin: number;
  readonly latencyMicrosMax: number;
  /** Of 1000 frames, how many take ten times as long. */
  readonly slowPerMille: number;
  /** Of 10000 frames, how many break their stream. */
  readonly breaksPer10000: number;
}

export type FrameFate =
  | { readonly type: 'arrives'; readonly delayMs: number }
  /** The stream that carries it breaks, for both ends. */
  | { readonly type: 'breaks'; readonly delayMs: number }
  /** Nothing comes through in this direction; the sender notices nothing for now. */
  | { readonly type: 'cut' };

export interface Path {
  readonly from: string;
  readonly to: string;
}

const SLOW_FACTOR = 10;

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

  fateOf(path: Path): FrameFate {
    if (this.isCut(path)) return { type: 'cut' };
    const delayMs = this.#drawMs() + this.#clogMs(path);
    const isBroken = chance(this.#random, this.#quality.breaksPer10000, 10_000);
    return { type: isBroken ? 'breaks' : 'arrives', delayMs };
  }

  isCut(path: Path): boolean {
    return this.cutMs(path) > 0;
  }

  /** How much longer nothing comes through in this direction, 0 when it is open. */
  cutMs(path: Path): number {
    return Math.max(0, (this.#cutUntilMs.get(nameOf(path)) ?? 0) - this.#now());
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
