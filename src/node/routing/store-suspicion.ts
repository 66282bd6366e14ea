// Stores that did not answer lately. They are asked last, so that one silent store costs one caller
// one timeout and not every caller one each.

import type { Clock } from '../../kernel/clock.ts';
import type { StoreId } from '../../kernel/ids.ts';

/** Beyond, the oldest suspicion is forgotten. */
const SUSPECTS_MAX = 1000;

export class StoreSuspicion {
  readonly #clock: Clock;
  readonly #lastsMs: number;
  readonly #since = new Map<StoreId, number>();

  constructor(options: { readonly clock: Clock; readonly lastsMs: number }) {
    this.#clock = options.clock;
    this.#lastsMs = options.lastsMs;
  }

  suspect(storeId: StoreId): void {
    this.#since.delete(storeId);
    this.#since.set(storeId, this.#clock.now());
    if (this.#since.size <= SUSPECTS_MAX) return;
    for (const oldest of this.#since.keys()) {
      this.#since.delete(oldest);
      break;
    }
  }

  /** It answered, whatever it said. */
  clear(storeId: StoreId): void {
    this.#since.delete(storeId);
  }

  isSuspect(storeId: StoreId): boolean {
    const since = this.#since.get(storeId);
    return since !== undefined && this.#clock.now() - since < this.#lastsMs;
  }
}
