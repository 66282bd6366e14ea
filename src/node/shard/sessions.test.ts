import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { sessionKey, sessionRange } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { clientId, contentOf, engineReader, stampOf } from './machine-suite.ts';
import { SESSION_WINDOW_MAX, SESSIONS_MAX, SessionTable } from './sessions.ts';

const NO_FLOOR = clientId(0);

class TableRig {
  readonly engine = new MemoryEngine();
  readonly table = new SessionTable(1);
  readonly batch = new OverlayBatch(this.engine);
  #at = 0;

  record(client: number, sequence: number, acknowledgedBelow = 0): void {
    this.#at += 1;
    const entry = { at: this.#at, result: utf8(`${client}/${sequence}`) };
    this.table.record(stampOf(client, sequence, acknowledgedBelow), entry, this.batch);
  }

  check(client: number, sequence: number): string {
    const check = this.table.check(stampOf(client, sequence));
    return check.type === 'duplicate' ? Buffer.from(check.result).toString() : check.type;
  }

  /** What another table reads from the disk of this one. */
  async loaded(shardId = 1, floor = this.table.floor): Promise<SessionTable> {
    await this.engine.write(this.batch.operations());
    const table = new SessionTable(shardId);
    table.load(await engineReader(this.engine).list(sessionRange(shardId)), floor);
    return table;
  }
}

function describe(table: SessionTable, client: number, sequence: number): string {
  const check = table.check(stampOf(client, sequence));
  return check.type === 'duplicate' ? Buffer.from(check.result).toString() : check.type;
}

test('check() knows a new call, its duplicate and a copy of an acknowledged one', () => {
  const rig = new TableRig();
  assert.equal(rig.check(1, 5), 'new');
  rig.record(1, 5);
  assert.equal(rig.check(1, 5), '1/5');
  assert.equal(rig.check(1, 4), 'new', 'calls arrive in any order');
  assert.equal(rig.check(2, 5), 'new', 'sessions know nothing of each other');
  rig.record(1, 6, 6);
  assert.equal(rig.check(1, 5), 'stale');
  assert.equal(rig.check(1, 6), '1/6');
});

test('acknowledgedBelow never goes back', () => {
  const rig = new TableRig();
  rig.record(1, 9, 8);
  rig.record(1, 10, 2);
  assert.equal(rig.check(1, 7), 'stale');
  assert.equal(rig.check(1, 9), '1/9');
});

test('a session is full with its window, and open again after an acknowledgement', () => {
  const rig = new TableRig();
  for (let sequence = 1; sequence <= SESSION_WINDOW_MAX; sequence += 1) rig.record(1, sequence);
  assert.equal(rig.check(1, SESSION_WINDOW_MAX + 1), 'full');
  assert.equal(rig.check(1, 1), '1/1', 'what is known is answered all the same');
  assert.equal(rig.check(2, 1), 'new', 'the bound is one for each session');
});

test('an acknowledgement makes room in the window', () => {
  const rig = new TableRig();
  for (let sequence = 1; sequence < SESSION_WINDOW_MAX; sequence += 1) rig.record(1, sequence);
  rig.record(1, SESSION_WINDOW_MAX, 100);
  assert.equal(rig.check(1, SESSION_WINDOW_MAX + 1), 'new');
});

test('a full table forgets the least recently used session and refuses it from then on', () => {
  const rig = new TableRig();
  for (let client = 1; client <= SESSIONS_MAX; client += 1) rig.record(client, 1);
  rig.record(1, 2);
  assert.equal(rig.table.size, SESSIONS_MAX);
  assert.deepEqual(Buffer.from(rig.table.floor), NO_FLOOR);
  rig.record(SESSIONS_MAX + 1, 1);
  assert.equal(rig.table.size, SESSIONS_MAX);
  assert.equal(rig.check(1, 1), '1/1', 'client 1 was used again');
  assert.equal(rig.check(2, 1), 'expired');
  assert.deepEqual(Uint8Array.from(rig.table.floor), Uint8Array.from(clientId(2)));
});

test('the floor only rises, and an unknown id at or below it is expired', () => {
  const rig = new TableRig();
  rig.record(1000, 1);
  for (let client = 1; client < SESSIONS_MAX; client += 1) rig.record(client, 1);
  rig.record(2000, 1);
  assert.equal(rig.check(1000, 1), 'expired', 'the first was the oldest');
  assert.equal(rig.check(999, 1), 'expired', 'it may have been forgotten earlier');
  assert.equal(rig.check(1001, 1), 'new');
  assert.equal(rig.check(5, 1), '5/1', 'known sessions below the floor go on');
  rig.record(2001, 1);
  assert.equal(rig.check(1, 1), 'expired');
  assert.deepEqual(Uint8Array.from(rig.table.floor), Uint8Array.from(clientId(1000)));
});

test('of sessions used in the same moment the lowest id is forgotten first', () => {
  const rig = new TableRig();
  for (let client = SESSIONS_MAX; client >= 1; client -= 1) {
    const entry = { at: 7, result: EMPTY };
    rig.table.record(stampOf(client, 1), entry, rig.batch);
  }
  rig.record(9999, 1);
  assert.equal(rig.check(1, 1), 'expired');
  assert.equal(rig.check(2, 2), 'new');
});

test('load() gives the table that flush() wrote, without what was forgotten', async () => {
  const rig = new TableRig();
  for (let client = 1; client <= SESSIONS_MAX; client += 1) rig.record(client, client);
  rig.table.flush(rig.batch);
  for (let client = 1; client <= 3; client += 1) rig.record(SESSIONS_MAX + client, 1);
  rig.record(4, 5, 5);
  rig.table.flush(rig.batch);
  const loaded = await rig.loaded();
  assert.equal(loaded.size, SESSIONS_MAX);
  for (let client = 1; client <= SESSIONS_MAX + 4; client += 1) {
    for (const sequence of [1, 4, 5, client, client + 1]) {
      assert.equal(describe(loaded, client, sequence), rig.check(client, sequence));
    }
  }
  // The next to be forgotten is the same as well.
  for (const table of [loaded, rig.table]) {
    const entry = { at: 1000, result: EMPTY };
    table.record(stampOf(5000, 1), entry, new OverlayBatch(rig.engine));
  }
  assert.deepEqual(Uint8Array.from(loaded.floor), Uint8Array.from(rig.table.floor));
  assert.equal(describe(loaded, 5, 5), 'expired');
});

test('a session that is forgotten in the turn that changed it leaves nothing on disk', async () => {
  const rig = new TableRig();
  for (let client = 1; client <= SESSIONS_MAX + 1; client += 1) rig.record(client, 1);
  rig.table.flush(rig.batch);
  await rig.loaded();
  assert.equal(rig.engine.get(sessionKey(1, clientId(1))), undefined);
  assert.equal((await contentOf(rig.engine)).length, SESSIONS_MAX);
});

test('flush() writes what changed and nothing else', () => {
  const rig = new TableRig();
  rig.record(1, 1);
  rig.record(2, 1);
  rig.table.flush(rig.batch);
  const second = new OverlayBatch(rig.engine);
  rig.record(2, 2);
  rig.table.flush(second);
  assert.deepEqual(
    second.operations().map(({ key }) => Buffer.from(key).toString('hex')),
    [Buffer.from(sessionKey(1, clientId(2))).toString('hex')],
  );
});

test('copyTo() gives another shard everything, flushed or not', async () => {
  const rig = new TableRig();
  rig.record(1, 1);
  rig.table.flush(rig.batch);
  rig.record(1, 2);
  rig.record(2, 9, 9);
  rig.table.copyTo(2, rig.batch);
  const copy = await rig.loaded(2);
  assert.equal(copy.size, 2);
  assert.equal(describe(copy, 1, 1), '1/1');
  assert.equal(describe(copy, 1, 2), '1/2');
  assert.equal(describe(copy, 2, 9), '2/9');
  assert.equal(describe(copy, 2, 8), 'stale');
});

test('load() does not hold on to the bytes it was given', async () => {
  const rig = new TableRig();
  rig.record(1, 1);
  rig.table.flush(rig.batch);
  await rig.engine.write(rig.batch.operations());
  const floor = clientId(0);
  const records = await engineReader(rig.engine).list(sessionRange(1));
  const table = new SessionTable(1);
  table.load(records, floor);
  for (const { value } of records) value.fill(0xee);
  floor.fill(0xff);
  assert.equal(describe(table, 1, 1), '1/1');
  assert.equal(describe(table, 2, 1), 'new');
});
