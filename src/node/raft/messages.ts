// The words of consensus: what a Raft group stores, sends, and hands to its owner. Messages are a
// closed union in which every kind has just its own fields.

import type { EntryId, LogIndex, ReplicaId, Term } from '../../kernel/ids.ts';

/** `empty` is what a new leader appends (Raft 8); `conf` changes the members of the group. */
export type EntryKind = 'normal' | 'conf' | 'empty';

export interface Entry {
  readonly term: Term;
  readonly index: LogIndex;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** What must be durable before anything that depends on it leaves the node (Raft figure 2). */
export interface HardState {
  readonly term: Term;
  /** The replica voted for in `term`, or NO_ID. */
  readonly vote: ReplicaId;
  readonly commit: LogIndex;
}

/** The members of a group. Learners receive the log and count in no quorum. */
export interface ConfState {
  readonly voters: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

/** What a snapshot stands for: everything up to `last`, with the members as of then. */
export interface SnapshotMeta {
  readonly last: EntryId;
  readonly conf: ConfState;
}

interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** The sender's term; of a pre-vote, the term that it would campaign in. */
  readonly term: Term;
}

export interface PreVoteRequest extends Envelope {
  readonly type: 'pre-vote';
  readonly last: EntryId;
}
export interface PreVoteResponse extends Envelope {
  readonly type: 'pre-vote-response';
  readonly granted: boolean;
}
export interface VoteRequest extends Envelope {
  readonly type: 'vote';
  readonly last: EntryId;
  /** A leader handed over on purpose: voters need not wait for its lease to pass (thesis 3.10). */
  readonly isTransfer: boolean;
}
export interface VoteResponse extends Envelope {
  readonly type: 'vote-response';
  readonly granted: boolean;
}
export interface AppendRequest extends Envelope {
  readonly type: 'append';
  readonly previous: EntryId;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
}
export interface AppendResponse extends Envelope {
  readonly type: 'append-response';
  /** Accepted: the highest index known to equal the leader's. Refused: the `previous.index` refused. */
  readonly index: LogIndex;
  /** Present when refused: the last entry at which the logs may still agree (thesis, fast back-up). */
  readonly hint?: EntryId;
}
export interface HeartbeatRequest extends Envelope {
  readonly type: 'heartbeat';
  readonly commit: LogIndex;
  /** The newest read round that this heartbeat confirms, 0 when none waits. */
  readonly readSequence: number;
}
export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeat-response';
  readonly readSequence: number;
}
/** Sent by the snapshot stream once the content lies safely at the receiver, never by the core. */
export interface SnapshotRequest extends Envelope {
  readonly type: 'snapshot';
  readonly snapshot: SnapshotMeta;
}
/** Campaign now: the last step of a leader transfer. */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeout-now';
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse
  | SnapshotRequest
  | TimeoutNow;

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/**
 * Everything that one step of the core asks of its owner. The owner takes it with `ready()`, writes
 * `hardState`, `entries` and `snapshot` in ONE durable batch, and then calls `persisted()`; until
 * then the core gives no further Ready. Applying may happen before or after: see `applied()`.
 */
export interface Ready {
  /** Present when term, vote or commit changed. */
  readonly hardState?: HardState;
  /** To be made durable. Overwrites whatever the disk holds from the first index on. */
  readonly entries: readonly Entry[];
  /** A snapshot that was accepted: install it, in place of the whole log and state. */
  readonly snapshot?: SnapshotMeta;
  /** May leave before the disk is done (thesis 10.2.1): appends, heartbeats, requests for votes. */
  readonly messages: readonly Message[];
  /** Must wait for the disk: they promise something that has to survive a crash. */
  readonly messagesAfterPersist: readonly Message[];
  /** To be applied, in order, each exactly once. */
  readonly committed: readonly Entry[];
  /** Read rounds that were confirmed by a quorum: serve them once `index` is applied. */
  readonly reads: readonly ReadState[];
  /** Read rounds that will never be confirmed because leadership was lost. */
  readonly droppedReads: readonly number[];
  /** Followers whose next entries are no longer in the log: stream them a snapshot. */
  readonly snapshotsWanted: readonly ReplicaId[];
}

export interface ReadState {
  readonly sequence: number;
  readonly index: LogIndex;
}
