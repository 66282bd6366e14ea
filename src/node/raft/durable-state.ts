// The gate between the disk and the core: what was durable must not contradict itself, or the replica
// would vote and answer from a history that never was.

import type { EntryId, LogIndex } from '../../kernel/ids.ts';
import type { ConfState, Entry, HardState } from './messages.ts';

/** What was durable when the process ended. */
export interface RaftState {
  readonly hardState: HardState;
  readonly conf: ConfState;
  /** The entry just before the log window; 0/0 for a group that starts from nothing. */
  readonly truncated: EntryId;
  /** Without gaps from truncated.index + 1 on. */
  readonly entries: readonly Entry[];
  /** truncated.index <= applied <= hardState.commit. */
  readonly applied: LogIndex;
}

/** The disk holds something that no correct replica can have written. */
export class RaftStateError extends Error {
  override readonly name = 'RaftStateError';
}

export function checkDurableState(state: RaftState): void {
  const { hardState, truncated, applied } = state;
  const last = checkEntries(truncated, state.entries);
  require([
    hardState.term,
    hardState.vote,
    hardState.commit,
    applied,
    truncated.term,
    truncated.index,
  ].every(
    (value) => Number.isSafeInteger(value) && value >= 0,
  ), 'A number of the stored state is not a whole number');
  require(last.term <= hardState.term, `Last term ${last.term} is above term ${hardState.term}`);
  require(truncated.index <=
    applied, `Applied index ${applied} is below truncated index ${truncated.index}`);
  require(applied <=
    hardState.commit, `Applied index ${applied} is above commit index ${hardState.commit}`);
  require(hardState.commit <=
    last.index, `Commit index ${hardState.commit} is above last index ${last.index}`);
  checkConf(state.conf);
}

function checkEntries(truncated: EntryId, entries: readonly Entry[]): EntryId {
  let last = truncated;
  for (const entry of entries) {
    require(entry.index === last.index + 1 &&
      entry.term >=
        last.term, `Entry ${entry.term}/${entry.index} does not follow ${last.term}/${last.index}`);
    last = { term: entry.term, index: entry.index };
  }
  return last;
}

function checkConf(conf: ConfState): void {
  const members = [...conf.voters, ...conf.learners];
  require(new Set(members).size ===
    members.length, `Members ${members.join(',')} repeat themselves`);
}

function require(condition: boolean, message: string): void {
  if (!condition) throw new RaftStateError(message);
}
