// What the core has to say between two Readys.

import type { ReplicaId } from '../../kernel/ids.ts';
import type { Message, ReadState, SnapshotMeta } from './messages.ts';

/** Messages kept of each sort while the owner's disk hangs. More are dropped, as a network would. */
const MESSAGES_MAX = 4096;

export interface Parcel {
  readonly snapshot?: SnapshotMeta;
  readonly messages: readonly Message[];
  readonly messagesAfterPersist: readonly Message[];
  readonly reads: readonly ReadState[];
  readonly droppedReads: readonly number[];
  readonly snapshotsWanted: readonly ReplicaId[];
}

export class Outbox {
  #messages: Message[] = [];
  #messagesAfterPersist: Message[] = [];
  #reads: ReadState[] = [];
  #droppedReads: number[] = [];
  #snapshotsWanted: ReplicaId[] = [];
  #snapshot: SnapshotMeta | undefined;

  get isEmpty(): boolean {
    return (
      this.#messages.length === 0 &&
      this.#messagesAfterPersist.length === 0 &&
      this.#reads.length === 0 &&
      this.#droppedReads.length === 0 &&
      this.#snapshotsWanted.length === 0 &&
      this.#snapshot === undefined
    );
  }

  get hasSnapshot(): boolean {
    return this.#snapshot !== undefined;
  }

  send(message: Message): void {
    const list = isPromise(message) ? this.#messagesAfterPersist : this.#messages;
    if (list.length < MESSAGES_MAX) list.push(message);
  }

  confirmReads(reads: readonly ReadState[]): void {
    this.#reads.push(...reads);
  }

  dropReads(sequences: readonly number[]): void {
    this.#droppedReads.push(...sequences);
  }

  wantSnapshot(id: ReplicaId): void {
    this.#snapshotsWanted.push(id);
  }

  install(snapshot: SnapshotMeta): void {
    this.#snapshot = snapshot;
  }

  take(): Parcel {
    const parcel: Parcel = {
      messages: this.#messages,
      messagesAfterPersist: this.#messagesAfterPersist,
      reads: this.#reads,
      droppedReads: this.#droppedReads,
      snapshotsWanted: this.#snapshotsWanted,
      ...(this.#snapshot === undefined ? {} : { snapshot: this.#snapshot }),
    };
    this.#messages = [];
    this.#messagesAfterPersist = [];
    this.#reads = [];
    this.#droppedReads = [];
    this.#snapshotsWanted = [];
    this.#snapshot = undefined;
    return parcel;
  }
}

/**
 * Answers that say "I have stored this" or "I am in this term". A heartbeat's answer promises
 * nothing that a crash could undo: it only says that no newer term was known when it was written.
 */
function isPromise(message: Message): boolean {
  return (
    message.type === 'append-response' ||
    message.type === 'vote-response' ||
    message.type === 'pre-vote-response'
  );
}
