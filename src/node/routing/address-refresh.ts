// Where the stores are, for a node that has none itself. A store learns the addresses of all others
// with every heartbeat; a member of Prophet without a store sends none and would reach nobody, but it
// has to answer requests on keys like any other node (decision 8). So it asks Prophet now and then.

import { type Clock, every, type Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { AddressBook } from './address-book.ts';
import type { ProphetService } from './prophet-service.ts';

export interface AddressRefreshOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly prophet: Pick<ProphetService, 'stores'>;
  readonly addressBook: AddressBook;
}

const REFRESH_MS = 2000;
const CALL_TIMEOUT_MS = 1500;

export class AddressRefresh {
  readonly #options: AddressRefreshOptions;
  #timer: Timer | undefined;
  #isAsking = false;
  #isClosed = false;

  constructor(options: AddressRefreshOptions) {
    this.#options = options;
  }

  /** Begins to ask. Harmless when it was begun before. */
  start(): void {
    if (this.#timer !== undefined || this.#isClosed) return;
    this.#timer = every(this.#options.clock, REFRESH_MS, () => void this.#ask());
    void this.#ask();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { clock, observer, prophet, addressBook } = this.#options;
    try {
      const { stores } = await prophet.stores(clock.now() + CALL_TIMEOUT_MS);
      const present = stores.filter(({ state, store }) => state !== 'removed' && store.address);
      if (!this.#isClosed) addressBook.learn(present.map(({ store }) => store));
    } catch (error) {
      // What was learned before still holds; Prophet is asked again.
      if (!(error instanceof MatrixError)) throw error;
      observer.log.debug({ error }, 'Prophet was asked in vain for the addresses of stores');
    } finally {
      this.#isAsking = false;
    }
  }
}
