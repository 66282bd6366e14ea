// The log lives in memory inside a bounded window, and on disk just as far (ADR 0004). Each replica
// cuts its own log; a leader keeps what its live followers still need, up to a second, hard bound.

import type { LogIndex } from '../../kernel/ids.ts';
import type { RaftLimits } from '../raft/core.ts';
import type { RaftStatus } from '../raft/raft.ts';

export interface LogLimits extends RaftLimits {
  /** Cut the log when it is longer than this. */
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
  /** Entries removed in one turn: removal costs a write each. */
  readonly cutEntriesMax: number;
  readonly proposalsMax: number;
  readonly readsMax: number;
}

/** Of the window that is kept behind the cut, so that the next cut is not due at once. */
const KEEP_SHARE = 2;
/** Beyond so many windows nobody is waited for: the follower gets a snapshot instead. */
const HARD_SHARE = 4;

export interface CompactionInput {
  /** Never cut above what is applied AND on disk. */
  readonly durable: LogIndex;
  /** Indexes of snapshots on their way: their receivers go on from there. */
  readonly held: readonly LogIndex[];
  readonly limits: LogLimits;
}

/** The last index to forget, or undefined when nothing may go. */
export function compactionPoint(status: RaftStatus, input: CompactionInput): LogIndex | undefined {
  const { limits, durable } = input;
  const length = status.lastIndex - status.truncated.index;
  if (length === 0) return undefined;
  const bytesPerEntry = Math.max(1, Math.ceil(status.logBytes / length));
  const windowEntries = Math.min(
    limits.logEntriesMax,
    Math.floor(limits.logBytesMax / bytesPerEntry),
  );
  const wanted = status.lastIndex - Math.floor(windowEntries / KEEP_SHARE);
  const hard = status.lastIndex - windowEntries * HARD_SHARE;
  const needed = Math.min(...input.held, ...activeMatches(status));
  const to = Math.min(
    wanted,
    durable,
    Math.max(needed, hard),
    status.truncated.index + limits.cutEntriesMax,
  );
  return to > status.truncated.index ? to : undefined;
}

/** How far the followers are that answer. A silent one does not hold the log. */
function activeMatches(status: RaftStatus): LogIndex[] {
  return [...(status.progress?.values() ?? [])]
    .filter((progress) => progress.isRecentlyActive && progress.state !== 'snapshot')
    .map((progress) => progress.match);
}
