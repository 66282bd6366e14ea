// The numbers that bound one replica and its log. Relations between them are asserted at start.

import { assert } from '../../kernel/assert.ts';
import type { LogLimits } from '../shard/log-compaction.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const REPLICA_LIMITS: LogLimits = {
  messageBytesMax: MIB,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * MIB,
  uncommittedBytesMax: 32 * MIB,
  applyBytesMax: 4 * MIB,
  logEntriesMax: 10_000,
  logBytesMax: 8 * MIB,
  cutEntriesMax: 4_000,
  proposalsMax: 16_384,
  readsMax: 65_536,
};

/** A follower may lag by what is in flight without needing a snapshot. */
export function checkLimits(limits: LogLimits): void {
  assert(
    limits.inflightBytesMax <= limits.logBytesMax,
    `Window of ${limits.logBytesMax} bytes is smaller than what is in flight`,
  );
  assert(limits.messageBytesMax <= limits.inflightBytesMax, 'One message fits what is in flight');
}
