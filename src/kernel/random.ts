// Chance as a port: one seeded generator of integers. Election time-outs, jitter and the simulator
// all draw from it, so that a seed repeats a run exactly. No floating point, no global state.

import { assert } from './assert.ts';

export interface Random {
  /** A uniform integer in [0, bound), bound <= 2^32. */
  below(bound: number): number;
}

/** xoshiro128** (Blackman and Vigna): 128 bits of state, passes BigCrush, four words of arithmetic. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    // splitmix32 spreads a small seed over the whole state.
    let state = seed >>> 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  below(bound: number): number {
    assert(bound >= 1 && bound <= 0x1_0000_0000, `Bound ${bound} is out of range`);
    // Rejection keeps the result uniform for bounds that do not divide 2^32.
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    let value = this.#next();
    while (value >= limit) value = this.#next();
    return value % bound;
  }

  #next(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }
}

/** True `numerator` times out of `denominator`. */
export function chance(random: Random, numerator: number, denominator: number): boolean {
  return random.below(denominator) < numerator;
}

/** A uniform integer in [low, high]. */
export function between(random: Random, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

/** A generator of its own, so that two consumers do not disturb each other's sequence. */
export function fork(random: Random): SeededRandom {
  return new SeededRandom(random.below(0x1_0000_0000));
}

export function drawBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
