import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import type { Entry, EntryKind } from '../raft/messages.ts';
import { applyStateKey, hardStateKey, logKey, logRange } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { DamagedReplicaError, deleteEntries, putEntries, readLog } from './log-store.ts';
import { putApplyState, putHardState } from './shard-records.ts';

const SHARD = 3;

function entryOf(
  term: number,
  index: number,
  data = `${term}/${index}`,
  kind: EntryKind = 'normal',
): Entry {
  return { term, index, kind, data: utf8(data) };
}

function entriesOf(term: number, from: number, to: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, n) => entryOf(term, from + n));
}

class LogRig {
  readonly engine = new MemoryEngine();

  async write(work: (batch: OverlayBatch) => void): Promise<void> {
    const batch = new OverlayBatch(this.engine);
    work(batch);
    await this.engine.write(batch.operations());
  }

  put(entries: readonly Entry[], lastOnDisk = 0): Promise<void> {
    return this.write((batch) => putEntries(batch, SHARD, { entries, lastOnDisk }));
  }

  state(state: {
    term?: number;
    commit?: number;
    applied?: number;
    truncated?: number;
  }): Promise<void> {
    const { term = 9, commit = 0, applied = 0, truncated = 0 } = state;
    return this.write((batch) => {
      putHardState(batch, SHARD, { term, vote: 1, commit });
      putApplyState(batch, SHARD, {
        applied: { term: 1, index: applied },
        truncated: { term: 1, index: truncated },
      });
    });
  }

  async indexes(): Promise<number[]> {
    const range = logRange(SHARD, 0, Number.MAX_SAFE_INTEGER);
    const page = await this.engine.scan({ ...range, limit: 1e5, bytesMax: 1e9 });
    return page.entries.map(({ key }) => Number(Buffer.from(key).readBigUInt64BE(10)));
  }

  async flip(key: Uint8Array): Promise<void> {
    const value = this.engine.get(key);
    assert.ok(value);
    value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
    await this.engine.write([{ type: 'put', key, value }]);
  }

  async refusal(): Promise<string> {
    const error: unknown = await readLog(this.engine, SHARD).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof DamagedReplicaError, String(error));
    return error.message;
  }
}

test('a shard without records starts from nothing', async () => {
  assert.deepEqual(await readLog(new MemoryEngine(), SHARD), {
    hardState: { term: 0, vote: 0, commit: 0 },
    applied: { term: 0, index: 0 },
    truncated: { term: 0, index: 0 },
    entries: [],
  });
});

test('readLog() gives back entries of every kind, and none of another shard', async () => {
  const rig = new LogRig();
  const entries = [
    entryOf(1, 1, '', 'empty'),
    entryOf(1, 2, 'x'),
    entryOf(2, 3, 'change', 'conf'),
    entryOf(2, 4, ''),
  ];
  await rig.put(entries);
  await rig.write((batch) => {
    putEntries(batch, SHARD + 1, { entries: entriesOf(1, 5, 6), lastOnDisk: 0 });
  });
  await rig.state({ term: 2, commit: 3, applied: 2 });
  const log = await readLog(rig.engine, SHARD);
  assert.deepEqual(log.hardState, { term: 2, vote: 1, commit: 3 });
  assert.deepEqual(log.applied, { term: 1, index: 2 });
  assert.deepEqual(
    log.entries.map((entry) => [entry.term, entry.index, entry.kind, String(entry.data)]),
    entries.map((entry) => [entry.term, entry.index, entry.kind, String(entry.data)]),
  );
});

test('readLog() reads a log of several pages', async () => {
  const rig = new LogRig();
  await rig.put(entriesOf(1, 6, 2505));
  await rig.state({ commit: 2505, applied: 5, truncated: 5 });
  const { entries } = await readLog(rig.engine, SHARD);
  assert.equal(entries.length, 2500);
  assert.equal(entries.at(-1)?.index, 2505);
});

test('a shorter rewritten suffix leaves no old tail (Raft 5.3)', async () => {
  const rig = new LogRig();
  await rig.put(entriesOf(1, 1, 9));
  await rig.put(entriesOf(2, 4, 5), 9);
  assert.deepEqual(await rig.indexes(), [1, 2, 3, 4, 5]);
  await rig.state({ commit: 5 });
  const { entries } = await readLog(rig.engine, SHARD);
  assert.deepEqual(
    entries.map(({ term }) => term),
    [1, 1, 1, 2, 2],
  );
  await rig.put(entriesOf(2, 6, 7), 5);
  assert.deepEqual(await rig.indexes(), [1, 2, 3, 4, 5, 6, 7]);
});

test('deleteEntries() removes both ends of its range', async () => {
  const rig = new LogRig();
  await rig.put(entriesOf(1, 1, 6));
  await rig.write((batch) => deleteEntries(batch, SHARD, { from: 2, to: 4 }));
  assert.deepEqual(await rig.indexes(), [1, 5, 6]);
});

test('a gap in the log is refused, at its start and inside', async () => {
  for (const index of [1, 3]) {
    const rig = new LogRig();
    await rig.put(entriesOf(1, 1, 5));
    await rig.state({ commit: 5 });
    await rig.write((batch) => deleteEntries(batch, SHARD, { from: index, to: index }));
    assert.match(await rig.refusal(), /gap/);
  }
});

test('a lost tail is refused when it was committed, accepted when it was not', async () => {
  const rig = new LogRig();
  await rig.put(entriesOf(1, 1, 5));
  await rig.state({ commit: 4 });
  await rig.write((batch) => deleteEntries(batch, SHARD, { from: 5, to: 5 }));
  assert.equal((await readLog(rig.engine, SHARD)).entries.length, 4);
  await rig.write((batch) => deleteEntries(batch, SHARD, { from: 4, to: 4 }));
  assert.match(await rig.refusal(), /Commit 4/);
});

test('lesson 23: a flipped byte in an entry or in a state record is refused', async () => {
  for (const key of [logKey(SHARD, 2), hardStateKey(SHARD), applyStateKey(SHARD)]) {
    const rig = new LogRig();
    await rig.put(entriesOf(1, 1, 3));
    await rig.state({ commit: 3 });
    await rig.flip(key);
    assert.match(await rig.refusal(), /damaged/);
  }
});

test('lesson 1: marks that contradict each other are refused', async () => {
  const cases = [
    { state: { commit: 3, applied: 4 }, reason: /exceeds commit/ },
    { state: { commit: 6 }, reason: /Commit 6/ },
    { state: { commit: 5, applied: 1, truncated: 2 }, reason: /below the start/ },
    { state: { term: 1, commit: 5 }, reason: /term 2, but the term is 1/ },
  ];
  for (const { state, reason } of cases) {
    const rig = new LogRig();
    const first = (state.truncated ?? 0) + 1;
    await rig.put(entriesOf(2, first, 5));
    await rig.state(state);
    assert.match(await rig.refusal(), reason);
  }
});

test('a log whose every entry was cut away stands at its last one', async () => {
  const rig = new LogRig();
  await rig.state({ commit: 8, applied: 8, truncated: 8 });
  const log = await readLog(rig.engine, SHARD);
  assert.deepEqual(log.truncated, { term: 1, index: 8 });
  assert.deepEqual(log.entries, []);
});

test('an entry of an unknown kind is refused', async () => {
  const rig = new LogRig();
  await rig.put([{ term: 1, index: 1, kind: 'normal', data: EMPTY }]);
  const { sealRecord } = await import('../storage/checksum.ts');
  const key = logKey(SHARD, 1);
  const value = sealRecord(1, key, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 7));
  await rig.engine.write([{ type: 'put', key, value }]);
  await rig.state({ commit: 1 });
  assert.match(await rig.refusal(), /unknown kind/);
});
