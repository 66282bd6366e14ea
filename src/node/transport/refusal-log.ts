// Refused handshakes repeat with every attempt to connect; the log hears of each address once a minute.

import type { Clock } from '../../kernel/clock.ts';
import type { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';

const PAUSE_MS = 60_000;
/** Beyond, everything is forgotten: at worst a line is repeated. */
const ADDRESSES_MAX = 1024;

export class RefusalLog {
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #loggedAt = new Map<string, number>();

  constructor(options: { readonly clock: Clock; readonly observer: Observer }) {
    this.#clock = options.clock;
    this.#observer = options.observer;
  }

  report(address: string, error: MatrixError): void {
    this.#observer.metrics.count('matrixkv_transport_handshakes_refused_total');
    const now = this.#clock.now();
    const loggedAt = this.#loggedAt.get(address);
    if (loggedAt !== undefined && now - loggedAt < PAUSE_MS) return;
    if (this.#loggedAt.size >= ADDRESSES_MAX) this.#loggedAt.clear();
    this.#loggedAt.set(address, now);
    this.#observer.log.warn(
      { address, code: error.code, reason: error.text },
      'Handshake was refused',
    );
  }
}
