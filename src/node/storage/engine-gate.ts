// The duties of the port that do not depend on the medium, kept in one place for both engines: one
// write at a time, no write after a failed one, nothing after close, and a close that waits.

import { AssertionError, assert } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { readFailure, writeFailure } from './engine-errors.ts';

/**
 * Invariants: at most one write runs; once a write has failed no other starts; nothing starts after
 * `close`, and what is freed then is used by nobody.
 */
export class EngineGate {
  readonly #name: string;
  readonly #running = new Set<Promise<unknown>>();
  #isWriting = false;
  #failure: MatrixError | undefined;
  #closing: Promise<void> | undefined;

  /** `name` is what an operator calls this storage: its directory. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Throws when the engine is closed: requests may still arrive while a node stops. */
  requireOpen(): void {
    if (this.#closing === undefined) return;
    throw new MatrixError('UNAVAILABLE', `Storage ${this.#name} is closed`);
  }

  /** Starts a write in this very call, so that its bytes are the caller's again on return. */
  async write(start: () => Promise<void>): Promise<void> {
    this.requireOpen();
    assert(!this.#isWriting, `A second write to ${this.#name} while one is in flight`);
    if (this.#failure !== undefined) throw this.#failure;
    this.#isWriting = true;
    try {
      await this.#track(start());
    } catch (cause) {
      if (cause instanceof AssertionError) throw cause;
      this.#failure = writeFailure(this.#name, cause);
      throw this.#failure;
    } finally {
      this.#isWriting = false;
    }
  }

  /** Runs anything else that takes time; failures come out as MatrixError. */
  async run<T>(start: () => Promise<T>): Promise<T> {
    this.requireOpen();
    try {
      return await this.#track(start());
    } catch (cause) {
      throw readFailure(this.#name, cause);
    }
  }

  /** Calls `free` once, when nothing runs any more. */
  close(free: () => Promise<void>): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#running).then(free);
    return this.#closing;
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}
