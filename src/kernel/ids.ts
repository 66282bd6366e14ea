// The numbers that name things. Every id is a safe integer handed out by Prophet, never reused and
// without meaning of its own; 0 means "none" and is never handed out.

export type StoreId = number;
export type ShardId = number;
export type ReplicaId = number;
export type Term = number;
export type LogIndex = number;

/** Position of one entry: an index means nothing without the term that wrote it (Raft 5.3). */
export interface EntryId {
  readonly term: Term;
  readonly index: LogIndex;
}

/** The Raft group that Prophet itself runs on. User shards start at 1. */
export const PROPHET_SHARD: ShardId = 0;

/** What an id that is not there is called on the wire and in records. */
export const NO_ID = 0;

/** True when `a` is at least as new as `b` in the sense of Raft 5.4.1. */
export function isUpToDate(a: EntryId, b: EntryId): boolean {
  return a.term > b.term || (a.term === b.term && a.index >= b.index);
}
