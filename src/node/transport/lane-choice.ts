// Which lane an envelope to one peer takes: large appends take the bulk lane, so that votes and
// heartbeats never wait behind them. A group that has just sent a large append keeps to the bulk lane
// with its small ones for a while: overtaking on the other lane, they would arrive before what they
// follow and be refused, and the leader would fall back to probing.

import type { Clock } from '../../kernel/clock.ts';
import type { ShardId } from '../../kernel/ids.ts';
import type { Envelope } from './transport.ts';
import type { Lane } from './wire-port.ts';

const KEEP_MS = 1000;
/** Groups remembered; beyond, the memory starts anew and a few appends may be sent twice. */
const GROUPS_MAX = 4096;

export class LaneChoice {
  readonly #clock: Clock;
  readonly #bulkFromBytes: number;
  readonly #bulkUntil = new Map<ShardId, number>();

  constructor(options: { readonly clock: Clock; readonly bulkFromBytes: number }) {
    this.#clock = options.clock;
    this.#bulkFromBytes = options.bulkFromBytes;
  }

  of(envelope: Envelope, bytes: number): Lane {
    if (envelope.message.type !== 'append') return 'control';
    const { shardId } = envelope;
    if (bytes < this.#bulkFromBytes) {
      const until = this.#bulkUntil.get(shardId);
      if (until === undefined) return 'control';
      if (this.#clock.now() < until) return 'bulk';
      this.#bulkUntil.delete(shardId);
      return 'control';
    }
    if (this.#bulkUntil.size >= GROUPS_MAX) this.#bulkUntil.clear();
    this.#bulkUntil.set(shardId, this.#clock.now() + KEEP_MS);
    return 'bulk';
  }
}
