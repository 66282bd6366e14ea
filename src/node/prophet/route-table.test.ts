import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, toHex, utf8, view } from '../../kernel/bytes.ts';
import { SeededRandom } from '../../kernel/random.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { RouteTable } from './route-table.ts';

function shard(id: number, range: string, generation: number): ShardMeta {
  const [start = '', end = ''] = range.split('-');
  return {
    id,
    start: utf8(start),
    end: utf8(end),
    epoch: { generation, confVersion: 1 },
    replicas: [{ replicaId: 1, storeId: 1, role: 'voter' }],
  };
}

function shown(table: RouteTable, range = '-', limit = 0): string {
  const [start = '', end = ''] = range.split('-');
  return table
    .find({ start: utf8(start), end: utf8(end) }, limit)
    .map(
      (piece) => `${piece.id}@${piece.epoch.generation}[${text(piece.start)},${text(piece.end)})`,
    )
    .join(' ');
}

function text(bytes: Uint8Array): string {
  return view(bytes).toString('utf8');
}

test('between the reports of two halves the rest of the old range stays', () => {
  const table = new RouteTable([shard(1, '-', 1)]);
  table.insert(shard(1, 'm-', 2));
  assert.equal(shown(table), '1@1[,m) 1@2[m,)');
  table.insert(shard(2, '-m', 2));
  assert.equal(shown(table), '2@2[,m) 1@2[m,)');
});

test('a middle piece splits an older range, and a late older report fills only what is free', () => {
  const table = new RouteTable([shard(1, '-', 1)]);
  table.insert(shard(2, 'c-f', 3));
  assert.equal(shown(table), '1@1[,c) 2@3[c,f) 1@1[f,)');
  table.insert(shard(1, 'a-', 2));
  assert.equal(shown(table), '1@1[,a) 1@2[a,c) 2@3[c,f) 1@2[f,)');
});

test('a search gives the overlapping pieces only, up to the limit', () => {
  const table = new RouteTable([shard(1, '-c', 1), shard(2, 'c-f', 1), shard(3, 'f-', 1)]);
  assert.equal(shown(table, 'c-d'), '2@1[c,f)');
  assert.equal(shown(table, 'd-'), '2@1[c,f) 3@1[f,)');
  assert.equal(shown(table, '-', 1), '1@1[,c)');
  assert.equal(shown(new RouteTable([])), '');
});

test('in whatever order a history of splits is reported, the newest shards remain', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = new SeededRandom(seed);
    let current: ShardMeta[] = [shard(1, '-', 1)];
    const reports: ShardMeta[] = [];
    for (let split = 2; split < 12; split += 1) {
      const at = random.below(current.length);
      const old = current[at];
      const key = Uint8Array.of(random.below(256), random.below(256));
      if (old === undefined) continue;
      if (Buffer.compare(key, old.start) <= 0) continue;
      if (old.end.length > 0 && Buffer.compare(key, old.end) >= 0) continue;
      const epoch = { ...old.epoch, generation: old.epoch.generation + 1 };
      const halves = [
        { ...old, id: split, end: key, epoch },
        { ...old, start: key, epoch },
      ];
      current = [...current.slice(0, at), ...halves, ...current.slice(at + 1)];
      reports.push(...halves);
    }
    const table = new RouteTable([shard(1, '-', 1)]);
    while (reports.length > 0) {
      const [next] = reports.splice(random.below(reports.length), 1);
      if (next !== undefined) table.insert(next);
      assertWhole(table);
    }
    const expected = current.map((piece) => [piece.id, toHex(piece.start), toHex(piece.end)]);
    const found = table.find({ start: EMPTY, end: EMPTY }, 0);
    assert.deepEqual(
      found.map((piece) => [piece.id, toHex(piece.start), toHex(piece.end)]),
      expected,
      `seed ${seed}`,
    );
  }
});

function assertWhole(table: RouteTable): void {
  const pieces = table.find({ start: EMPTY, end: EMPTY }, 0);
  let cursor = '';
  for (const piece of pieces) {
    assert.equal(toHex(piece.start), cursor);
    cursor = toHex(piece.end);
  }
  assert.equal(cursor, '');
}
