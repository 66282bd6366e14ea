// Commands on their way into the log, until the next turn takes them. A turn may last as long as the
// disk hangs, so their bytes are bounded and not only their number (lesson 18).

import { MatrixError } from '../../kernel/errors.ts';
import type { Waiter } from './waiters.ts';

export interface QueuedProposal {
  readonly bytes: Uint8Array;
  readonly waiter: Waiter<Uint8Array>;
}

export class ProposalQueue {
  readonly #bytesMax: number;
  #queue: QueuedProposal[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#queue.length;
  }

  /** What is too large on its own goes through alone: a limit is no dead end. */
  hasRoomFor(bytes: Uint8Array): boolean {
    return this.#queue.length === 0 || this.#bytes + bytes.length <= this.#bytesMax;
  }

  add(proposal: QueuedProposal): void {
    this.#queue.push(proposal);
    this.#bytes += proposal.bytes.length;
  }

  /** Everything that waits, in the order in which it came. */
  take(): QueuedProposal[] {
    const queue = this.#queue;
    this.#queue = [];
    this.#bytes = 0;
    return queue;
  }

  /** A disk that hangs holds the queue back, but not the word that nothing was done. */
  expire(now: number): void {
    if (this.#queue.every(({ waiter }) => waiter.deadline > now)) return;
    for (const proposal of this.take()) {
      if (proposal.waiter.deadline > now) this.add(proposal);
      else proposal.waiter.reject(tooLate());
    }
  }
}

function tooLate(): MatrixError {
  return new MatrixError('TIMEOUT', 'Write was not begun before its deadline', {
    outcome: 'not-applied',
  });
}
