// Makes `onClose` of a stream happen exactly once and last, in whatever order gRPC reports its ends.

import type { MatrixError } from '../../kernel/errors.ts';

export class OneClose {
  readonly #report: (error: MatrixError | undefined) => void;
  #isClosed = false;

  constructor(report: (error: MatrixError | undefined) => void) {
    this.#report = report;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** For an event of gRPC. */
  now(error: MatrixError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#report(error);
  }

  /** For a method of the link, which must return before its owner is called. False when too late. */
  soon(error: MatrixError | undefined): boolean {
    if (this.#isClosed) return false;
    this.#isClosed = true;
    queueMicrotask(() => this.#report(error));
    return true;
  }

  unlessClosed(event: () => void): void {
    if (!this.#isClosed) event();
  }
}
