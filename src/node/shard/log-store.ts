// The Raft log and hard state of a shard on disk, and the checks that refuse a damaged log instead
// of guessing (d.3): every entry is sealed; the log has no gap; commit and applied lie inside it.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { type EntryId, type LogIndex, NO_ID, type ShardId } from '../../kernel/ids.ts';
import type { Entry, EntryKind, HardState } from '../raft/messages.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import type { Engine } from '../storage/engine.ts';
import { applyStateKey, hardStateKey, logKey, logRange } from '../storage/keys.ts';
import { readPages } from '../storage/read-pages.ts';
import { decodeApplyState, decodeHardState } from './shard-records.ts';
import type { ApplyBatch } from './state-machine.ts';

/** What the disk says of a shard's log: exactly what a Raft core starts from. */
export interface StoredLog {
  readonly hardState: HardState;
  readonly applied: EntryId;
  readonly truncated: EntryId;
  readonly entries: readonly Entry[];
}

/** The durable state of one replica contradicts itself: it must neither vote nor serve. */
export class DamagedReplicaError extends Error {
  override readonly name = 'DamagedReplicaError';
}

const RECORD_VERSION = 1;
const KINDS: readonly EntryKind[] = ['normal', 'conf', 'empty'];
const PAGE_ENTRIES = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;
const NOTHING: EntryId = { term: 0, index: 0 };

/**
 * Puts entries into the batch, and removes what the disk holds behind them: `lastOnDisk` is the
 * highest index written before. A shorter rewritten suffix must not leave its old tail (Raft 5.3).
 */
export function putEntries(
  batch: ApplyBatch,
  shardId: ShardId,
  log: { readonly entries: readonly Entry[]; readonly lastOnDisk: LogIndex },
): void {
  for (const entry of log.entries) {
    const key = logKey(shardId, entry.index);
    const writer = new ByteWriter(9 + entry.data.length).u64(entry.term);
    writer.u8(KINDS.indexOf(entry.kind)).raw(entry.data);
    batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
  }
  const last = log.entries.at(-1)?.index ?? log.lastOnDisk;
  deleteEntries(batch, shardId, { from: last + 1, to: log.lastOnDisk });
}

/** Removes the entries `from` to `to`, both inclusive. */
export function deleteEntries(
  batch: ApplyBatch,
  shardId: ShardId,
  range: { readonly from: LogIndex; readonly to: LogIndex },
): void {
  for (let index = range.from; index <= range.to; index += 1) {
    batch.delete(logKey(shardId, index));
  }
}

/** Reads everything that a Raft core starts from. Throws DamagedReplicaError. */
export async function readLog(engine: Engine, shardId: ShardId): Promise<StoredLog> {
  try {
    const log = await readUnchecked(engine, shardId);
    checkLog(log);
    return log;
  } catch (error) {
    if (error instanceof DamagedReplicaError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new DamagedReplicaError(text, { cause: error });
  }
}

async function readUnchecked(engine: Engine, shardId: ShardId): Promise<StoredLog> {
  const hardKey = hardStateKey(shardId);
  const hard = engine.get(hardKey);
  const applyKey = applyStateKey(shardId);
  const apply = engine.get(applyKey);
  const state =
    apply === undefined
      ? { applied: NOTHING, truncated: NOTHING }
      : decodeApplyState(applyKey, apply);
  return {
    hardState:
      hard === undefined ? { term: 0, vote: NO_ID, commit: 0 } : decodeHardState(hardKey, hard),
    ...state,
    entries: await readEntries(engine, shardId, state.truncated.index + 1),
  };
}

async function readEntries(engine: Engine, shardId: ShardId, from: LogIndex): Promise<Entry[]> {
  const entries: Entry[] = [];
  const range = logRange(shardId, from, Number.MAX_SAFE_INTEGER);
  const options = { ...range, limit: PAGE_ENTRIES, bytesMax: PAGE_BYTES };
  for await (const page of readPages(engine, options)) {
    for (const { key, value } of page) {
      entries.push(decodeEntry(key, value, from + entries.length));
    }
  }
  return entries;
}

function decodeEntry(key: Uint8Array, value: Uint8Array, index: LogIndex): Entry {
  const reader = new ByteReader(openRecord(key, value).payload);
  const term = reader.u64();
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw new DecodeError(`Log entry ${index} has an unknown kind`);
  if (!Buffer.from(key).equals(logKeyTail(key, index))) {
    throw new DamagedReplicaError(`Log has a gap: entry ${index} is missing`);
  }
  return { term, index, kind, data: reader.rest() };
}

/** The key that this index should have, for the shard that `key` belongs to. */
function logKeyTail(key: Uint8Array, index: LogIndex): Uint8Array {
  const expected = Uint8Array.from(key);
  const tail = new ByteWriter(8).u64(index).finish();
  expected.set(tail, expected.length - tail.length);
  return expected;
}

function checkLog(log: StoredLog): void {
  const last = log.entries.at(-1)?.index ?? log.truncated.index;
  const { commit, term } = log.hardState;
  if (log.applied.index < log.truncated.index) {
    throw new DamagedReplicaError(
      `Applied index ${log.applied.index} lies below the start of the log ${log.truncated.index}`,
    );
  }
  if (log.applied.index > commit) {
    throw new DamagedReplicaError(`Applied index ${log.applied.index} exceeds commit ${commit}`);
  }
  if (commit > last) {
    throw new DamagedReplicaError(`Commit ${commit} lies behind the last log entry ${last}`);
  }
  const lastTerm = log.entries.at(-1)?.term ?? log.truncated.term;
  if (lastTerm > term) {
    throw new DamagedReplicaError(`Log has entries of term ${lastTerm}, but the term is ${term}`);
  }
}
