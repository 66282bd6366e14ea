// Applies committed entries: commands to the state machine, changes of members and splits to the
// shard itself. Runs inside a turn, synchronously; whatever it decides is equal on all replicas.

import { DecodeError } from '../../kernel/byte-codec.ts';
import type { EntryId, ReplicaId } from '../../kernel/ids.ts';
import type { ConfState, Entry } from '../raft/messages.ts';
import { decodeCommand, isSplit, type SplitCommand } from './commands.ts';
import { changedMeta, decodeConfChange } from './conf-change.ts';
import type { KvMachine } from './kv-machine.ts';
import { encodeResult } from './results.ts';
import { confStateOf, replicaById, type ShardMeta } from './shard-meta.ts';
import { buryReplica, putMeta } from './shard-records.ts';
import { splitShard } from './split.ts';
import { writeCreated } from './split-apply.ts';
import type { StateMachine } from './state-machine.ts';
import type { Turn } from './turn.ts';
import type { Proposals } from './waiters.ts';

/** User data can be split; Prophet's knowledge cannot. */
export type ReplicaMachine =
  | { readonly type: 'data'; readonly machine: KvMachine }
  | { readonly type: 'prophet'; readonly machine: StateMachine };

export interface ApplierOptions {
  readonly replicaId: ReplicaId;
  readonly meta: ShardMeta;
  readonly raft: { applyConf(conf: ConfState): void; readonly role: string };
  readonly proposals: Proposals;
  readonly applied: EntryId;
  readonly machine: (meta: () => ShardMeta) => ReplicaMachine;
}

const NOTHING = new Uint8Array(0);

export class Applier {
  readonly machine: ReplicaMachine;
  readonly #replicaId: ReplicaId;
  readonly #raft: ApplierOptions['raft'];
  readonly #proposals: Proposals;
  #meta: ShardMeta;
  #applied: EntryId;
  #isRemoved = false;

  constructor(options: ApplierOptions) {
    this.#replicaId = options.replicaId;
    this.#raft = options.raft;
    this.#proposals = options.proposals;
    this.#meta = options.meta;
    this.#applied = options.applied;
    this.machine = options.machine(() => this.#meta);
  }

  /** As of the last applied entry. */
  get meta(): ShardMeta {
    return this.#meta;
  }

  get applied(): EntryId {
    return this.#applied;
  }

  /** True once the removal of this very replica was applied: it takes part in nothing any more. */
  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  /** A snapshot took the place of everything applied so far. */
  restart(meta: ShardMeta, applied: EntryId): void {
    this.#meta = meta;
    this.#applied = applied;
  }

  apply(entries: readonly Entry[], turn: Turn): void {
    for (const entry of entries) {
      const id = { term: entry.term, index: entry.index };
      const result = this.#applyEntry(entry, id, turn);
      this.#applied = id;
      this.#proposals.settle(id, result);
      if (this.#isRemoved) return;
    }
    this.machine.machine.flush(turn.batch);
  }

  #applyEntry(entry: Entry, id: EntryId, turn: Turn): Uint8Array {
    switch (entry.kind) {
      case 'empty':
        return NOTHING;
      case 'conf':
        this.#changeMembers(entry.data, turn);
        return NOTHING;
      case 'normal':
        if (this.machine.type === 'data' && isSplit(entry.data)) {
          return this.#split(entry.data, this.machine.machine, turn);
        }
        return this.machine.machine.apply(id, entry.data, turn.batch);
    }
  }

  /** The core is always told, even of a refused change: it waits for this one before the next. */
  #changeMembers(data: Uint8Array, turn: Turn): void {
    const meta = this.#metaAfterChange(data);
    this.#meta = meta;
    this.#raft.applyConf(confStateOf(meta.replicas));
    if (replicaById(meta, this.#replicaId) === undefined) {
      this.#remove(turn);
      return;
    }
    this.#putMeta(turn);
    turn.effect({ type: 'changed', shardId: meta.id });
  }

  #metaAfterChange(data: Uint8Array): ShardMeta {
    try {
      const result = changedMeta(this.#meta, decodeConfChange(data));
      return result.type === 'changed' ? result.meta : this.#meta;
    } catch (error) {
      if (error instanceof DecodeError) return this.#meta;
      throw error;
    }
  }

  #remove(turn: Turn): void {
    this.#isRemoved = true;
    buryReplica(turn.batch, { meta: this.#meta, replicaId: this.#replicaId });
    turn.effect({ type: 'removed', shardId: this.#meta.id, meta: this.#meta });
  }

  #split(data: Uint8Array, machine: KvMachine, turn: Turn): Uint8Array {
    const command = decodeSplitOrUndefined(data);
    const result = command === undefined ? undefined : splitShard(this.#meta, command);
    if (command === undefined || result === undefined) {
      return encodeResult({ type: 'epoch-not-match' });
    }
    const local = replicaById(this.#meta, this.#replicaId);
    const created = writeCreated({
      parts: command.parts,
      created: result.created,
      machine,
      storeId: local?.storeId ?? 0,
      turn,
    });
    const before = machine.counters;
    const sum = (of: (part: SplitCommand['parts'][number]) => number): number =>
      command.parts.reduce((total, part) => total + of(part), 0);
    machine.shrinkTo({
      sizeBytes: Math.max(0, before.sizeBytes - sum((part) => part.sizeBytes)),
      keys: Math.max(0, before.keys - sum((part) => part.keys)),
    });
    this.#meta = result.rest;
    this.#putMeta(turn);
    const wasLeader = this.#raft.role === 'leader';
    turn.effect({ type: 'split', parent: this.#meta.id, created, wasLeader });
    turn.effect({ type: 'changed', shardId: this.#meta.id });
    return encodeResult({ type: 'split-done' });
  }

  #putMeta(turn: Turn): void {
    putMeta(turn.batch, {
      state: 'normal',
      meta: this.#meta,
      replicaId: this.#replicaId,
      minReplicaId: this.#replicaId,
    });
  }
}

function decodeSplitOrUndefined(data: Uint8Array): SplitCommand | undefined {
  try {
    const command = decodeCommand(data);
    return command.type === 'split' ? command : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
