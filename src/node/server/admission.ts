// Admission: how many requests, and how many bytes of their bodies, one face holds at a time. It is
// asked before a body is read, so that a flood costs refusals and not memory (lesson 18). Waiting
// would only move the queue: what does not fit is refused at once, and the client told to come back.

import { assert } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';

const RETRY_AFTER_MS = 1000;

export interface AdmissionLimits {
  readonly requestsInFlightMax: number;
  readonly bodyBytesInFlightMax: number;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  #requests = 0;
  #bytes = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Room for one request with a body of up to `bytes`, or OVERLOADED. */
  enter(bytes: number): Ticket {
    const { requestsInFlightMax, bodyBytesInFlightMax } = this.#limits;
    if (this.#requests >= requestsInFlightMax) {
      throw overloaded(`${this.#requests} requests are in flight`);
    }
    if (this.#bytes + bytes > bodyBytesInFlightMax) {
      throw overloaded(`${this.#bytes} bytes of request bodies are in flight`);
    }
    this.#requests += 1;
    this.#bytes += bytes;
    return new Ticket(() => {
      this.#requests -= 1;
      this.#bytes -= bytes;
      assert(this.#requests >= 0 && this.#bytes >= 0, 'More requests left than entered');
    });
  }

  get requestsInFlight(): number {
    return this.#requests;
  }
}

/**
 * The room of one request. Its connection and its work both hold it, and the last one to let go
 * gives it back: a client that goes away in the middle does not make room for unfinished work.
 */
export class Ticket {
  readonly #giveBack: () => void;
  #holders = 1;

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack;
  }

  hold(): void {
    assert(this.#holders > 0, 'A ticket that was given back is held again');
    this.#holders += 1;
  }

  letGo(): void {
    assert(this.#holders > 0, 'A ticket is given back twice');
    this.#holders -= 1;
    if (this.#holders === 0) this.#giveBack();
  }
}

function overloaded(reason: string): MatrixError {
  return new MatrixError('OVERLOADED', `This node is busy: ${reason}`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}
