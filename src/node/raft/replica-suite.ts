// (test) A replica on a simulated disk: does with a Ready what the store does, in two halves, so that
// tests can crash in between. Members change by entries that read `add 4`, `promote 4`, `remove 4`.

import { assert } from '../../kernel/assert.ts';
import { utf8 } from '../../kernel/bytes.ts';
import type { LogIndex, ReplicaId } from '../../kernel/ids.ts';
import type { RaftOptions } from './core.ts';
import type { RaftState } from './durable-state.ts';
import type { ConfState, Entry, Message, Ready } from './messages.ts';
import { Raft } from './raft.ts';

export const LIMITS: RaftOptions['limits'] = {
  messageBytesMax: 4096,
  inflightMessagesMax: 8,
  inflightBytesMax: 65_536,
  uncommittedBytesMax: 65_536,
  applyBytesMax: 4096,
};

export const NOTHING: RaftState = {
  hardState: { term: 0, vote: 0, commit: 0 },
  conf: { voters: [], learners: [] },
  truncated: { term: 0, index: 0 },
  entries: [],
  applied: 0,
};

/** A group that starts with these members and an empty log. */
export function freshGroup(
  voters: readonly ReplicaId[],
  learners: readonly ReplicaId[] = [],
): RaftState {
  return { ...NOTHING, conf: { voters, learners } };
}

export class DiskReplica {
  readonly #options: RaftOptions;
  #raft: Raft;
  #disk: RaftState;
  #inFlight: Ready | undefined;

  constructor(options: RaftOptions, disk: RaftState) {
    this.#options = options;
    this.#disk = disk;
    this.#raft = new Raft(options, disk);
  }

  get id(): ReplicaId {
    return this.#options.id;
  }

  get raft(): Raft {
    return this.#raft;
  }

  get disk(): RaftState {
    return this.#disk;
  }

  get isWriting(): boolean {
    return this.#inFlight !== undefined;
  }

  /** The first half: what may leave before the disk is done is in `messages`. */
  begin(): Ready {
    const ready = this.#raft.ready();
    this.#inFlight = ready;
    return ready;
  }

  /** The second half: one atomic write, then everything that had to wait for it. */
  finish(): readonly Message[] {
    const ready = this.#inFlight;
    assert(ready !== undefined, 'Nothing is being written');
    this.#inFlight = undefined;
    this.#disk = written(this.#disk, ready);
    this.#raft.persisted();
    let conf = ready.snapshot?.conf ?? this.#raft.status().conf;
    for (const entry of ready.committed) {
      if (entry.kind === 'conf') {
        conf = changed(conf, entry);
        this.#raft.applyConf(conf);
      }
      this.#raft.applied(entry.index);
    }
    return ready.messagesAfterPersist;
  }

  /** Loses everything that is not on the disk. The write under way has landed whole, or not at all. */
  crash(hasWriteLanded: boolean): void {
    if (this.#inFlight !== undefined && hasWriteLanded) {
      this.#disk = written(this.#disk, this.#inFlight);
    }
    this.#inFlight = undefined;
    this.#raft = new Raft(this.#options, this.#disk);
  }

  compact(to: LogIndex): void {
    const { truncated, entries } = this.#disk;
    const kept = to - truncated.index;
    const last = entries[kept - 1];
    if (last === undefined) return;
    this.#raft.compact(to);
    this.#disk = {
      ...this.#disk,
      truncated: { term: last.term, index: last.index },
      entries: entries.slice(kept),
    };
  }
}

export function confEntry(change: 'add' | 'promote' | 'remove', id: ReplicaId): Uint8Array {
  return utf8(`${change} ${id}`);
}

/** The disk after one Ready, with what it applies: a single batch. */
function written(disk: RaftState, ready: Ready): RaftState {
  let { conf, truncated, entries, applied } = disk;
  if (ready.snapshot !== undefined) {
    ({ conf, last: truncated } = ready.snapshot);
    entries = [];
    applied = truncated.index;
  }
  const first = ready.entries[0];
  if (first !== undefined) {
    entries = [...entries.slice(0, first.index - truncated.index - 1), ...ready.entries];
  }
  for (const entry of ready.committed) {
    if (entry.kind === 'conf') conf = changed(conf, entry);
    applied = entry.index;
  }
  return { hardState: ready.hardState ?? disk.hardState, conf, truncated, entries, applied };
}

/** The members after a change; the same as before when the change makes no sense. */
function changed(conf: ConfState, entry: Entry): ConfState {
  const [change, text] = Buffer.from(entry.data).toString('utf8').split(' ');
  const id = Number(text);
  const { voters, learners } = conf;
  if (change === 'add' && !voters.includes(id) && !learners.includes(id)) {
    return { voters, learners: [...learners, id] };
  }
  if (change === 'promote' && learners.includes(id)) {
    return { voters: [...voters, id], learners: learners.filter((other) => other !== id) };
  }
  if (change === 'remove' && (voters.length > 1 || !voters.includes(id))) {
    return {
      voters: voters.filter((other) => other !== id),
      learners: learners.filter((other) => other !== id),
    };
  }
  return conf;
}
