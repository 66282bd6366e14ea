// The state machine of user data: put and delete with preconditions, each applied at most once.
//
// The order of checks is fixed (d.4): epoch and range, session, precondition, execution. A refused
// call is not remembered in its session: it was not applied, and its retry may be.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { type KeyRange, rangeContains } from '../../kernel/bytes.ts';
import type { EntryId, ShardId } from '../../kernel/ids.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import { dataKey, machineStateKey, sessionRange } from '../storage/keys.ts';
import { type Command, decodeCommand, type WriteCommand } from './commands.ts';
import type { Precondition, WriteResult } from './kv-types.ts';
import { decodeValue, encodeValue, type StoredValue } from './record.ts';
import { type CommandResult, encodeResult } from './results.ts';
import { SessionTable } from './sessions.ts';
import type { ShardMeta } from './shard-meta.ts';
import type { ApplyBatch, StateMachine, StateReader } from './state-machine.ts';
import { stateRangesOf } from './state-ranges.ts';

/** Replicated counters of a shard. A split gives both halves the version counter (d.4). */
export interface KvCounters {
  /** The version of the newest write; every write takes the next. */
  readonly lastVersion: number;
  /** Bytes of keys and values, kept exactly at every apply (d.6, 1). */
  readonly sizeBytes: number;
  readonly keys: number;
}

const RECORD_VERSION = 1;
const WRITE_REFUSED: Readonly<Record<string, CommandResult>> = {
  stale: { type: 'stale-duplicate' },
  full: { type: 'session-full' },
};

export class KvMachine implements StateMachine {
  readonly #shardId: ShardId;
  readonly #meta: () => ShardMeta;
  readonly #sessions: SessionTable;
  #lastVersion = 0;
  #sizeBytes = 0;
  #keys = 0;
  #isDirty = false;

  /** `meta` gives the shard's range and epoch as of the entry being applied. */
  constructor(shardId: ShardId, meta: () => ShardMeta) {
    this.#shardId = shardId;
    this.#meta = meta;
    this.#sessions = new SessionTable(shardId);
  }

  get counters(): KvCounters {
    return { lastVersion: this.#lastVersion, sizeBytes: this.#sizeBytes, keys: this.#keys };
  }

  async load(reader: StateReader): Promise<void> {
    const key = machineStateKey(this.#shardId);
    const record = reader.get(key);
    const state = record === undefined ? undefined : decodeMachineState(key, record);
    this.#lastVersion = state?.lastVersion ?? 0;
    this.#sizeBytes = state?.sizeBytes ?? 0;
    this.#keys = state?.keys ?? 0;
    this.#isDirty = false;
    const sessions = await reader.list(sessionRange(this.#shardId));
    this.#sessions.load(sessions, state?.floor ?? this.#sessions.floor);
  }

  apply(_id: EntryId, bytes: Uint8Array, batch: ApplyBatch): Uint8Array {
    const command = decodeOrUndefined(bytes);
    if (command === undefined || command.type === 'split') {
      return encodeResult({ type: 'bad-command' });
    }
    const refusal = this.#refuse(command);
    if (refusal !== undefined) return refusal;
    const result = encodeResult({ type: 'written', ...this.#execute(command, batch) });
    this.#sessions.record(command.session, { at: this.#lastVersion, result }, batch);
    this.#isDirty = true;
    return result;
  }

  flush(batch: ApplyBatch): void {
    if (!this.#isDirty) return;
    this.#sessions.flush(batch);
    this.#writeState(this.#shardId, this.counters, batch);
    this.#isDirty = false;
  }

  stateRanges(): readonly KeyRange[] {
    return stateRangesOf(this.#meta());
  }

  /** Gives a new shard that is split off this one its counters and a copy of the sessions. */
  splitOff(shardId: ShardId, counters: KvCounters, batch: ApplyBatch): void {
    this.#sessions.copyTo(shardId, batch);
    this.#writeState(shardId, counters, batch);
  }

  /** After a split: what is left in this shard. Persisted by the next `flush`. */
  shrinkTo(counters: Pick<KvCounters, 'sizeBytes' | 'keys'>): void {
    this.#sizeBytes = counters.sizeBytes;
    this.#keys = counters.keys;
    this.#isDirty = true;
  }

  /** The answer that ends the matter without executing anything, if there is one. */
  #refuse(command: WriteCommand): Uint8Array | undefined {
    const meta = this.#meta();
    if (command.generation !== meta.epoch.generation || !rangeContains(meta, command.key)) {
      return encodeResult({ type: 'epoch-not-match' });
    }
    const check = this.#sessions.check(command.session);
    if (check.type === 'new') return undefined;
    if (check.type === 'duplicate') return check.result;
    if (check.type === 'expired') {
      return encodeResult({ type: 'session-expired', floor: this.#sessions.floor });
    }
    return encodeResult(WRITE_REFUSED[check.type] ?? { type: 'bad-command' });
  }

  #execute(command: WriteCommand, batch: ApplyBatch): WriteResult {
    const key = dataKey(command.key);
    const record = batch.get(key);
    const current = record === undefined ? undefined : decodeValue(key, record);
    const existed = current !== undefined;
    if (!holds(command.precondition, current)) {
      return { applied: false, existed, version: current?.version ?? 0 };
    }
    this.#lastVersion += 1;
    if (current !== undefined) this.#count(-1, command.key.length + current.value.length);
    if (command.type === 'put') {
      this.#count(1, command.key.length + command.value.length);
      const stored = { version: this.#lastVersion, value: command.value };
      batch.put(key, encodeValue(key, stored));
    } else if (existed) {
      batch.delete(key);
    }
    return { applied: true, existed, version: this.#lastVersion };
  }

  /** Never below zero: after a split the two halves share what was written meanwhile by estimate. */
  #count(sign: 1 | -1, bytes: number): void {
    this.#keys = Math.max(0, this.#keys + sign);
    this.#sizeBytes = Math.max(0, this.#sizeBytes + sign * bytes);
  }

  #writeState(shardId: ShardId, counters: KvCounters, batch: ApplyBatch): void {
    const key = machineStateKey(shardId);
    const writer = new ByteWriter().u64(counters.lastVersion).u64(counters.sizeBytes);
    writer.u64(counters.keys).bytes(this.#sessions.floor);
    batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
  }
}

/** Whether a write under this precondition may go ahead. */
function holds(precondition: Precondition | undefined, current: StoredValue | undefined): boolean {
  switch (precondition?.type) {
    case undefined:
      return true;
    case 'absent':
      return current === undefined;
    case 'present':
      return current !== undefined;
    case 'version':
      return current?.version === precondition.version;
  }
}

function decodeOrUndefined(bytes: Uint8Array): Command | undefined {
  try {
    return decodeCommand(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function decodeMachineState(
  key: Uint8Array,
  record: Uint8Array,
): KvCounters & { readonly floor: Uint8Array } {
  const reader = new ByteReader(openRecord(key, record).payload);
  return {
    lastVersion: reader.u64(),
    sizeBytes: reader.u64(),
    keys: reader.u64(),
    floor: reader.bytes(),
  };
}
