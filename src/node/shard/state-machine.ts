// The port between replication and what is replicated. A shard is a Raft group and a state machine:
// user data is KvMachine, Prophet's knowledge is ProphetMachine on a group of its own.

import type { KeyRange } from '../../kernel/bytes.ts';
import type { EntryId } from '../../kernel/ids.ts';

/** Reads of durable state. */
export interface StateReader {
  get(key: Uint8Array): Uint8Array | undefined;
  /** All entries of a small range, in key order. Only for opening: never while applying. */
  list(range: KeyRange): Promise<readonly { key: Uint8Array; value: Uint8Array }[]>;
}

/**
 * The batch of one turn. `get` sees what this batch already holds; everything in it becomes durable
 * at once, together with the applied index (lesson 1).
 */
export interface ApplyBatch {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

/**
 * Rules: `apply` is synchronous and deterministic (no clock, no chance, no iteration order that
 * depends on history). A bad command is answered, never thrown: it would kill every replica in turn.
 * Whatever it keeps in memory is a function of what it wrote to the batch.
 */
export interface StateMachine {
  /** Reads the memory copies from disk: at start, and after a snapshot has replaced the state. */
  load(reader: StateReader): Promise<void>;
  /** Applies one command and returns the answer for the waiting caller as encoded bytes. */
  apply(id: EntryId, command: Uint8Array, batch: ApplyBatch): Uint8Array;
  /** Called once after the last entry of a turn, for records that change with every command. */
  flush(batch: ApplyBatch): void;
  /** The ranges of engine keys that are the whole state: what a snapshot copies and replaces. */
  stateRanges(): readonly KeyRange[];
}

/**
 * A Raft group as its user sees it: Prophet runs on one. Errors: NOT_LEADER (with hint),
 * OVERLOADED, TIMEOUT or OUTCOME_UNKNOWN when a proposal's fate is not known.
 */
export interface ReplicatedGroup {
  /** Resolves with the answer of `apply` once the command is committed and applied here. */
  propose(command: Uint8Array, deadline: number): Promise<Uint8Array>;
  /** Resolves when everything committed before the call is applied here (ReadIndex). */
  barrier(deadline: number): Promise<void>;
  status(): GroupStatus;
}

export interface GroupStatus {
  /** Leader, and an entry of its own term is applied: allowed to decide. */
  readonly isReadyLeader: boolean;
  readonly term: number;
  /** Replica id of the leader, NO_ID when unknown. */
  readonly leader: number;
}
