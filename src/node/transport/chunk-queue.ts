// The chunks of one incoming snapshot between the stream that brings them and the handler that takes
// them: a queue that asks the stream to pause when the handler is slow.

import { MatrixError } from '../../kernel/errors.ts';

/** Asked to pause at this many; a stream may bring a few more before it obeys. */
const QUEUED_MAX = 4;

export interface ChunkFlow {
  pause(): void;
  resume(): void;
}

export class ChunkQueue implements AsyncIterable<Uint8Array> {
  readonly #flow: ChunkFlow;
  readonly #chunks: Uint8Array[] = [];
  #waiter:
    | {
        resolve: (result: IteratorResult<Uint8Array>) => void;
        reject: (error: MatrixError) => void;
      }
    | undefined;
  #end: { readonly error: MatrixError | undefined } | undefined;
  #isPaused = false;

  constructor(flow: ChunkFlow) {
    this.#flow = flow;
  }

  /** True while the handler wants a chunk that has not come: the peer's turn. */
  get isStarving(): boolean {
    return this.#waiter !== undefined;
  }

  push(chunk: Uint8Array): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve({ done: false, value: chunk });
      return;
    }
    this.#chunks.push(chunk);
    if (this.#chunks.length < QUEUED_MAX || this.#isPaused) return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  /** All chunks are there. */
  end(): void {
    this.#finish(undefined);
  }

  /** No more will come, and what came is worth nothing. Without effect once all are there. */
  fail(error: MatrixError): void {
    if (this.#end === undefined) this.#chunks.length = 0;
    this.#finish(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => this.#next(),
      return: () => {
        this.fail(new MatrixError('UNAVAILABLE', 'Snapshot is not wanted any more'));
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<Uint8Array>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#resumeWhenEmpty();
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error);
    if (this.#end !== undefined) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  #resumeWhenEmpty(): void {
    if (!this.#isPaused || this.#chunks.length > 0) return;
    this.#isPaused = false;
    this.#flow.resume();
  }

  #finish(error: MatrixError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (error === undefined) waiter?.resolve({ done: true, value: undefined });
    else waiter?.reject(error);
    // A paused stream would never report its own end.
    if (this.#isPaused) this.#flow.resume();
    this.#isPaused = false;
  }
}
