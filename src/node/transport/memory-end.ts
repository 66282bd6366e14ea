// One end of a stream in memory: what its owner writes sets out on a pipe, what arrives is handed to
// the owner unless he asked for a pause. A window of bytes stands for the buffers of a real socket.

import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { decodeError, encodeError } from '../../wire/error-codec.ts';
import type { MemoryPipe } from './memory-pipe.ts';
import type { Link, LinkEvents } from './wire-port.ts';

export interface MemoryEndOptions<Sent, Received> {
  readonly clock: Clock;
  readonly pipe: MemoryPipe;
  readonly encode: (frame: Sent) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => Received;
  readonly onClosed: () => void;
}

/** What the other end hears of us. */
interface OtherEnd {
  takeIn(arrival: Uint8Array | 'end'): void;
  acknowledge(bytes: number): void;
  closeWith(error: MatrixError): void;
}

/** On its way and not yet taken: from here on `write` asks to wait. */
const WINDOW_BYTES = 1024 * 1024;
/** What an end and a break weigh, for a policy that looks at sizes. */
const SIGNAL_BYTES = 16;

export class MemoryEnd<Sent, Received> implements Link<Sent> {
  readonly #options: MemoryEndOptions<Sent, Received>;
  readonly #inbox: (Uint8Array | 'end')[] = [];
  #other: OtherEnd | undefined;
  #events: LinkEvents<Received> | undefined;
  #bytesOut = 0;
  #isPaused = false;
  #isBlocked = false;
  #hasEnded = false;
  #otherHasEnded = false;
  #isClosed = false;

  constructor(options: MemoryEndOptions<Sent, Received>) {
    this.#options = options;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  join(other: OtherEnd, events: LinkEvents<Received>): void {
    this.#other = other;
    this.#events = events;
  }

  write(frame: Sent): boolean {
    if (this.#isClosed || this.#hasEnded) return true;
    const bytes = this.#options.encode(frame);
    this.#bytesOut += bytes.length;
    this.#options.pipe.push({ bytes: bytes.length, arrive: () => this.#other?.takeIn(bytes) });
    this.#isBlocked = this.#bytesOut >= WINDOW_BYTES;
    return !this.#isBlocked;
  }

  end(): void {
    if (this.#isClosed || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.pipe.push({ bytes: SIGNAL_BYTES, arrive: () => this.#other?.takeIn('end') });
    this.#closeWhenBothEnded();
  }

  destroy(error: MatrixError): void {
    if (this.#isClosed) return;
    const word = encodeError(error);
    this.#options.pipe.push({
      bytes: word.length,
      arrive: () => this.#other?.closeWith(decodeError(word) ?? error),
    });
    this.closeWith(error);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#options.clock.soon(() => this.#handOut());
  }

  takeIn(arrival: Uint8Array | 'end'): void {
    if (this.#isClosed) return;
    this.#inbox.push(arrival);
    this.#handOut();
  }

  acknowledge(bytes: number): void {
    this.#bytesOut -= bytes;
    if (!this.#isBlocked || this.#bytesOut > WINDOW_BYTES / 2) return;
    this.#isBlocked = false;
    this.#options.clock.soon(() => {
      if (!this.#isClosed) this.#events?.onDrain();
    });
  }

  /** Only the first close counts. */
  closeWith(error: MatrixError | undefined): void {
    if (this.#isClosed) return;
    const events = this.#events;
    this.vanish();
    this.#options.clock.soon(() => events?.onClose(error));
  }

  /** Closes without a word to the owner, who is gone. */
  vanish(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#inbox.length = 0;
    this.#options.onClosed();
  }

  #handOut(): void {
    while (!this.#isPaused && !this.#isClosed) {
      const arrival = this.#inbox.shift();
      if (arrival === undefined) return;
      if (arrival === 'end') this.#takeEnd();
      else this.#takeFrame(arrival);
    }
  }

  #takeFrame(bytes: Uint8Array): void {
    this.#other?.acknowledge(bytes.length);
    let frame: Received;
    try {
      frame = this.#options.decode(bytes);
    } catch (error) {
      this.destroy(MatrixError.from(error));
      return;
    }
    this.#events?.onFrame(frame);
  }

  #takeEnd(): void {
    this.#otherHasEnded = true;
    this.#events?.onEnd();
    this.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    if (this.#hasEnded && this.#otherHasEnded) this.closeWith(undefined);
  }
}
