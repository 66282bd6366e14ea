// One direction of a stream in memory: pieces set out in order, arrive in order, and the policy says
// when. A stalled piece holds up all behind it, as a lost TCP segment does.

import type { Clock } from '../../kernel/clock.ts';

export type Delivery =
  | { readonly type: 'deliver'; readonly delayMs: number }
  /** Not now: asked again after `retryMs`, and whatever is behind waits too. */
  | { readonly type: 'stall'; readonly retryMs: number }
  /** The stream breaks for both ends, as a reset connection does; this piece is lost. */
  | { readonly type: 'break'; readonly delayMs: number };

/** Asked once for every piece that sets out, and again after each stall. */
export type DeliveryPolicy = (piece: {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}) => Delivery;

export interface PipeOptions {
  readonly clock: Clock;
  readonly policy: DeliveryPolicy;
  readonly from: string;
  readonly to: string;
  readonly onBreak: (reason: string) => void;
}

interface Piece {
  readonly bytes: number;
  readonly arrive: () => void;
}

/** Silence for so long breaks the stream, as unanswered HTTP/2 pings do on the real wire. */
const SILENCE_MS = 10_000;

export class MemoryPipe {
  readonly #options: PipeOptions;
  readonly #waiting: Piece[] = [];
  readonly #travelling: Piece[] = [];
  #lastArrival = 0;
  #stalledSince: number | undefined;
  #isStopped = false;

  constructor(options: PipeOptions) {
    this.#options = options;
  }

  push(piece: Piece): void {
    if (this.#isStopped) return;
    this.#waiting.push(piece);
    if (this.#stalledSince === undefined) this.#sendOut();
  }

  /** Whatever is on its way never arrives. */
  stop(): void {
    this.#isStopped = true;
    this.#waiting.length = 0;
    this.#travelling.length = 0;
  }

  #sendOut(): void {
    const { clock, policy, from, to, onBreak } = this.#options;
    for (let piece = this.#waiting[0]; piece !== undefined; piece = this.#waiting[0]) {
      const delivery = policy({ from, to, bytes: piece.bytes });
      if (delivery.type === 'break') {
        // Nothing behind it sets out any more.
        this.#stalledSince = clock.now();
        clock.after(delivery.delayMs, () => {
          if (!this.#isStopped) onBreak('Connection was reset');
        });
        return;
      }
      if (delivery.type === 'stall') {
        this.#stall(delivery.retryMs);
        return;
      }
      this.#stalledSince = undefined;
      this.#waiting.shift();
      this.#travelling.push(piece);
      const now = clock.now();
      this.#lastArrival = Math.max(this.#lastArrival, now + delivery.delayMs);
      const delayMs = this.#lastArrival - now;
      // Whichever timer comes first brings the piece that set out first: order does not depend on how
      // the clock orders timers of the same moment.
      if (delayMs === 0) clock.soon(() => this.#arrive());
      else clock.after(delayMs, () => this.#arrive());
    }
  }

  #stall(retryMs: number): void {
    const { clock, onBreak } = this.#options;
    this.#stalledSince ??= clock.now();
    if (clock.now() - this.#stalledSince >= SILENCE_MS) {
      onBreak('Peer was silent for too long');
      return;
    }
    clock.after(Math.max(1, retryMs), () => {
      if (!this.#isStopped) this.#sendOut();
    });
  }

  #arrive(): void {
    this.#travelling.shift()?.arrive();
  }
}
