// A client that writes a few keys of its own, again and again, through one node. It remembers what was
// acknowledged, so that what it was promised can be checked, and how long it was without success.

import { performance } from 'node:perf_hooks';
import { call } from './http-calls.ts';
import { pause } from './until.ts';

const RETRY_MS = 20;
const PACE_MS = 2;
const KEYS = 10;

export class AcknowledgedWrites {
  readonly #node: string;
  readonly #prefix: string;
  /** For each key, what it may hold: the value acknowledged last, and those of unknown fate since. */
  readonly #expected = new Map<string, readonly string[]>();
  readonly #failures: string[] = [];
  #acknowledged = 0;
  #lastSuccessAt = 0;
  #gapMs = 0;
  #isStopped = false;
  #done: Promise<void> = Promise.resolve();

  /** `prefix` tells the keys of this client from those of others. */
  constructor(node: string, prefix: string) {
    this.#node = node;
    this.#prefix = prefix;
  }

  /** How many writes were acknowledged. */
  get count(): number {
    return this.#acknowledged;
  }

  /** The longest time from one success to the next, since `start` or `forgetGap`. */
  get gapMs(): number {
    return Math.max(this.#gapMs, performance.now() - this.#lastSuccessAt);
  }

  get failures(): readonly string[] {
    return this.#failures;
  }

  start(): void {
    this.#lastSuccessAt = performance.now();
    this.#done = this.#run();
  }

  forgetGap(): void {
    this.#gapMs = 0;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  /** The keys that do not hold what they should, read through a node. */
  async findLost(node: string): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const [key, values] of this.#expected) {
      const { status, body } = await call(`${node}/v1/kv/${key}`);
      const value = status === 404 ? '' : body;
      if ((status !== 200 && status !== 404) || !values.includes(value)) {
        lost.push(`${key}: ${status} ${body.slice(0, 100)}, expected ${values.join(' or ')}`);
      }
    }
    return lost;
  }

  async #run(): Promise<void> {
    for (let number = 0; !this.#isStopped; number += 1) {
      const isWritten = await this.#write(`${this.#prefix}-${number % KEYS}`, `value ${number}`);
      await pause(isWritten ? PACE_MS : RETRY_MS);
    }
  }

  async #write(key: string, value: string): Promise<boolean> {
    // An absent key reads as the empty string here.
    this.#expected.set(key, [...(this.#expected.get(key) ?? ['']), value]);
    const failure = await this.#send(key, value);
    if (failure !== '') {
      this.#failures.push(failure);
      return false;
    }
    const now = performance.now();
    this.#gapMs = Math.max(this.#gapMs, now - this.#lastSuccessAt);
    this.#lastSuccessAt = now;
    this.#acknowledged += 1;
    this.#expected.set(key, [value]);
    return true;
  }

  /** Empty when it was acknowledged. */
  async #send(key: string, value: string): Promise<string> {
    try {
      const { status, body } = await call(`${this.#node}/set`, {
        method: 'POST',
        body: JSON.stringify({ key, value }),
        headers: { 'Content-Type': 'application/json' },
      });
      return status === 200 ? '' : `${status} ${body}`;
    } catch (error) {
      return String(error);
    }
  }
}
