// Exactly-once writes (lesson 4, Raft thesis 6.3): each client session remembers the answers that
// its client may still ask for, so that a repeated call gets the first answer instead of a second
// application. The table is replicated state: it changes only by applied commands.
//
// Forgetting is safe by order: a client id begins with its creation time, and `floor` is the highest
// id that was ever forgotten here. An unknown id above the floor is new; one at or below it may have
// been forgotten, and is refused instead of being applied a second time (ADR 0005).

import { assert } from '../../kernel/assert.ts';
import { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import { compareBytes, toMapKey } from '../../kernel/bytes.ts';
import type { ShardId } from '../../kernel/ids.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import { sessionKey } from '../storage/keys.ts';
import { CLIENT_ID_BYTES, type SessionStamp } from './commands.ts';
import type { ApplyBatch } from './state-machine.ts';

/** Sessions that a shard remembers; the least recently used one goes first. */
export const SESSIONS_MAX = 256;
/** Calls of one session that may be unacknowledged at a time. */
export const SESSION_WINDOW_MAX = 8192;

export type SessionCheck =
  | { readonly type: 'new' }
  | { readonly type: 'duplicate'; readonly result: Uint8Array }
  | { readonly type: 'stale' }
  | { readonly type: 'full' }
  | { readonly type: 'expired' };

interface Session {
  readonly clientId: Uint8Array;
  acknowledgedBelow: number;
  /**
   * The shard's version counter at that time. Not the log index: that begins anew in a shard that was
   * split off, where sessions in use would then look older than those copied from the parent.
   */
  lastUsed: number;
  readonly results: Map<number, Uint8Array>;
}

const RECORD_VERSION = 1;

/**
 * Invariants: every result kept has a sequence >= acknowledgedBelow; every forgotten id <= floor;
 * what is in memory is what the records say, but for the sessions in `#dirty`.
 */
export class SessionTable {
  readonly #shardId: ShardId;
  readonly #sessions = new Map<string, Session>();
  readonly #dirty = new Set<Session>();
  #floor: Uint8Array = new Uint8Array(CLIENT_ID_BYTES);

  constructor(shardId: ShardId) {
    this.#shardId = shardId;
  }

  get floor(): Uint8Array {
    return this.#floor;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** What applying this call would mean. Changes nothing. */
  check(stamp: SessionStamp): SessionCheck {
    const session = this.#sessions.get(toMapKey(stamp.clientId));
    if (session === undefined) {
      return compareBytes(stamp.clientId, this.#floor) > 0 ? { type: 'new' } : { type: 'expired' };
    }
    if (stamp.sequence < session.acknowledgedBelow) return { type: 'stale' };
    const result = session.results.get(stamp.sequence);
    if (result !== undefined) return { type: 'duplicate', result };
    return session.results.size >= SESSION_WINDOW_MAX ? { type: 'full' } : { type: 'new' };
  }

  /** Remembers the answer of a call that `check` called new, at this state of the version counter. */
  record(
    stamp: SessionStamp,
    call: { readonly at: number; readonly result: Uint8Array },
    batch: ApplyBatch,
  ): void {
    const session = this.#open(stamp.clientId, call.at, batch);
    session.lastUsed = call.at;
    session.results.set(stamp.sequence, call.result);
    if (stamp.acknowledgedBelow > session.acknowledgedBelow) {
      session.acknowledgedBelow = stamp.acknowledgedBelow;
      for (const sequence of session.results.keys()) {
        if (sequence < stamp.acknowledgedBelow) session.results.delete(sequence);
      }
    }
    this.#dirty.add(session);
  }

  /** Writes the sessions that changed since the last call: once a turn, however many calls it had. */
  flush(batch: ApplyBatch): void {
    for (const session of this.#dirty) this.#write(this.#shardId, session, batch);
    this.#dirty.clear();
  }

  /** Writes the whole table under another shard's id: both halves of a split remember (d.6). */
  copyTo(shardId: ShardId, batch: ApplyBatch): void {
    for (const session of this.#sessions.values()) this.#write(shardId, session, batch);
  }

  /** Replaces the memory by what the disk holds. Records are in key order; so is the table then. */
  load(records: readonly { key: Uint8Array; value: Uint8Array }[], floor: Uint8Array): void {
    this.#sessions.clear();
    this.#dirty.clear();
    this.#floor = Uint8Array.from(floor);
    for (const record of records) {
      const session = decodeSession(record.key, record.value);
      this.#sessions.set(toMapKey(session.clientId), session);
    }
  }

  #open(clientId: Uint8Array, at: number, batch: ApplyBatch): Session {
    const mapKey = toMapKey(clientId);
    const known = this.#sessions.get(mapKey);
    if (known !== undefined) return known;
    if (this.#sessions.size >= SESSIONS_MAX) this.#forgetOldest(batch);
    const session: Session = {
      clientId: Uint8Array.from(clientId),
      acknowledgedBelow: 0,
      lastUsed: at,
      results: new Map(),
    };
    this.#sessions.set(mapKey, session);
    return session;
  }

  /** The least recently used; of equals the lowest id: the same on every replica. */
  #forgetOldest(batch: ApplyBatch): void {
    let oldest: Session | undefined;
    for (const session of this.#sessions.values()) {
      if (oldest === undefined || isOlder(session, oldest)) oldest = session;
    }
    assert(oldest !== undefined, 'A full session table has an oldest session');
    this.#sessions.delete(toMapKey(oldest.clientId));
    this.#dirty.delete(oldest);
    batch.delete(sessionKey(this.#shardId, oldest.clientId));
    if (compareBytes(oldest.clientId, this.#floor) > 0) this.#floor = oldest.clientId;
  }

  #write(shardId: ShardId, session: Session, batch: ApplyBatch): void {
    const key = sessionKey(shardId, session.clientId);
    const writer = new ByteWriter(64 + session.results.size * 24).raw(session.clientId);
    writer.u64(session.acknowledgedBelow).u64(session.lastUsed).u32(session.results.size);
    for (const [sequence, result] of session.results) writer.u64(sequence).bytes(result);
    batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
  }
}

function isOlder(a: Session, b: Session): boolean {
  if (a.lastUsed !== b.lastUsed) return a.lastUsed < b.lastUsed;
  return compareBytes(a.clientId, b.clientId) < 0;
}

function decodeSession(key: Uint8Array, record: Uint8Array): Session {
  const reader = new ByteReader(openRecord(key, record).payload);
  const clientId = Uint8Array.from(reader.raw(CLIENT_ID_BYTES));
  const acknowledgedBelow = reader.u64();
  const lastUsed = reader.u64();
  const results = new Map<number, Uint8Array>();
  const count = reader.u32();
  for (let read = 0; read < count; read += 1) {
    results.set(reader.u64(), Uint8Array.from(reader.bytes()));
  }
  return { clientId, acknowledgedBelow, lastUsed, results };
}
