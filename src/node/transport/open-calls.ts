// Calls that wait for an answer, by id. Each is settled exactly once: by its answer in whatever order
// answers come, by its deadline, or by the loss of the connection. Only a call whose frame was never
// handed to the stream can say that nothing happened.

import type { Clock, Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import type { PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';

interface OpenCall {
  readonly deadline: number;
  readonly resolve: (response: PeerResponse) => void;
  readonly reject: (error: MatrixError) => void;
  isSent: boolean;
}

/** Deadlines are looked at no more often than this: one timer serves thousands of calls. */
const EXPIRY_PAUSE_MS = 5;

export class OpenCalls {
  readonly #clock: Clock;
  readonly #address: string;
  readonly #calls = new Map<number, OpenCall>();
  #nextId = 1;
  #expiry: { readonly timer: Timer; readonly at: number } | undefined;

  constructor(options: { readonly clock: Clock; readonly address: string }) {
    this.#clock = options.clock;
    this.#address = options.address;
  }

  get size(): number {
    return this.#calls.size;
  }

  open(deadline: number): { readonly id: number; readonly answer: Promise<PeerResponse> } {
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = new Promise<PeerResponse>((resolve, reject) => {
      this.#calls.set(id, { deadline, resolve, reject, isSent: false });
    });
    this.#expectExpiry(deadline);
    return { id, answer };
  }

  /** The time left for a call that is about to leave; undefined when nobody waits for it any more. */
  markSent(id: number): number | undefined {
    const call = this.#calls.get(id);
    if (call === undefined) return undefined;
    call.isSent = true;
    return Math.max(1, Math.ceil(call.deadline - this.#clock.now()));
  }

  /** Answers to calls that are settled already are of no use to anyone. */
  settle(id: number, response: PeerResponse | undefined): void {
    const call = this.#remove(id);
    if (call === undefined) return;
    if (response === undefined || response.response.case === undefined) {
      call.reject(
        new MatrixError('UNSUPPORTED', `Answer of ${this.#address} is not known here`, {
          outcome: 'unknown',
        }),
      );
    } else if (response.response.case === 'error') {
      call.reject(fromErrorMessage(response.response.value));
    } else {
      call.resolve(response);
    }
  }

  /** Ends one call that was not sent. */
  refuse(id: number, error: MatrixError): void {
    this.#remove(id)?.reject(error);
  }

  /** The connection is gone. `refusal` is why nothing that was not sent ever will be. */
  failAll(refusal: MatrixError): void {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#cancelExpiry();
    for (const call of calls) call.reject(call.isSent ? this.#lost(refusal) : refusal);
  }

  #lost(cause: MatrixError): MatrixError {
    const text = `Connection to ${this.#address} was lost before the answer`;
    return new MatrixError('UNAVAILABLE', text, { outcome: 'unknown', cause });
  }

  #remove(id: number): OpenCall | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (this.#calls.size === 0) this.#cancelExpiry();
    return call;
  }

  #expectExpiry(at: number): void {
    if (this.#expiry !== undefined) {
      if (this.#expiry.at <= at) return;
      this.#expiry.timer.cancel();
    }
    const delayMs = Math.max(EXPIRY_PAUSE_MS, at - this.#clock.now());
    this.#expiry = { at, timer: this.#clock.after(delayMs, () => this.#expire()) };
  }

  #cancelExpiry(): void {
    this.#expiry?.timer.cancel();
    this.#expiry = undefined;
  }

  #expire(): void {
    this.#expiry = undefined;
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [id, call] of this.#calls) {
      if (call.deadline > now) {
        next = Math.min(next, call.deadline);
        continue;
      }
      this.#calls.delete(id);
      const outcome = call.isSent ? 'unknown' : 'not-applied';
      call.reject(new MatrixError('TIMEOUT', `No answer from ${this.#address}`, { outcome }));
    }
    if (next !== Number.POSITIVE_INFINITY) this.#expectExpiry(next);
  }
}
