import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, EMPTY, rangeContains, rangesOverlap, utf8 } from '../../kernel/bytes.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { RouteCache } from './route-cache.ts';

function shard(
  id: number,
  generation: number,
  range: [string, string],
  confVersion = 1,
): ShardMeta {
  return {
    id,
    start: utf8(range[0]),
    end: utf8(range[1]),
    epoch: { generation, confVersion },
    replicas: [{ replicaId: id * 10, storeId: 1, role: 'voter' }],
  };
}

/** A cluster's whole history: every shard at every generation, from splits at the given keys. */
function historyOf(splits: readonly number[]): { all: ShardMeta[]; current: ShardMeta[] } {
  let current: ShardMeta[] = [{ ...shard(1, 1, ['', '']), start: EMPTY, end: EMPTY }];
  const all = [...current];
  for (const [index, byte] of splits.entries()) {
    const key = Uint8Array.of(byte);
    const whole = current.find((one) => rangeContains(one, key));
    if (whole === undefined || compareBytes(whole.start, key) === 0) continue;
    const epoch = { ...whole.epoch, generation: whole.epoch.generation + 1 };
    const left = { ...whole, id: index + 2, end: key, epoch };
    const right = { ...whole, start: key, epoch };
    all.push(left, right);
    current = [...current.filter((one) => one !== whole), left, right];
  }
  return { all, current };
}

function isSound(cache: RouteCache): boolean {
  const pieces = cache.pieces();
  return pieces.every((piece, index) => {
    const next = pieces[index + 1];
    if (next === undefined) return true;
    return compareBytes(piece.start, next.start) < 0 && !rangesOverlap(piece, next);
  });
}

/** The generation of each key, none of which may be lower than before or missing again. */
function raised(cache: RouteCache, before: Map<number, number>): Map<number, number> {
  const after = new Map<number, number>();
  for (let byte = 0; byte < 256; byte += 5) {
    const generation = cache.at(Uint8Array.of(byte))?.epoch.generation ?? 0;
    assert.ok(generation >= (before.get(byte) ?? 0), `Generation of key ${byte} fell`);
    after.set(byte, generation);
  }
  return after;
}

describe('RouteCache', () => {
  test('lesson 10: whatever the order of the news, the newest of every key remains', () => {
    const histories = fc.tuple(
      fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 20 }),
      fc.infiniteStream(fc.nat()),
    );
    fc.assert(
      fc.property(histories, ([splits, chance]) => {
        const { all, current } = historyOf(splits);
        const news = [...all, ...all]
          .map((one) => ({ one, order: Number(chance.next().value) }))
          .sort((a, b) => a.order - b.order);
        const cache = new RouteCache({ routesMax: 1000 });
        let highest = new Map<number, number>();
        for (const { one } of news) {
          cache.insert(one);
          assert.ok(isSound(cache), 'Pieces overlap or are out of order');
          highest = raised(cache, highest);
        }
        for (let byte = 0; byte < 256; byte += 1) {
          const key = Uint8Array.of(byte);
          const wanted = current.find((one) => rangeContains(one, key));
          assert.deepEqual(cache.at(key), wanted);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('an older shard is taken only where nothing newer is known', () => {
    const cache = new RouteCache({ routesMax: 10 });
    assert.equal(cache.insert(shard(2, 2, ['a', 'm'])), true);
    assert.equal(cache.insert(shard(1, 1, ['a', 'k'])), false);
    assert.equal(cache.insert(shard(1, 1, ['A', 'z'])), true);
    assert.equal(cache.at(utf8('b'))?.id, 2);
    assert.equal(cache.at(utf8('p'))?.id, 1);
    assert.equal(cache.at(utf8('B'))?.id, 1);
  });

  test('lesson 21: a newer shard inside an older one leaves it the rest', () => {
    const cache = new RouteCache({ routesMax: 10 });
    cache.insert(shard(1, 1, ['', '']));
    cache.insert(shard(2, 3, ['f', 'm']));
    const ids = ['a', 'f', 'g', 'm', 'z'].map((key) => cache.at(utf8(key))?.id);
    assert.deepEqual(ids, [1, 2, 2, 1, 1]);
  });

  test('within a generation the later members win, and the same again is no news', () => {
    const cache = new RouteCache({ routesMax: 10 });
    const once = shard(1, 1, ['a', 'z'], 2);
    assert.equal(cache.insert(once), true);
    assert.equal(cache.insert(once), false);
    assert.equal(cache.insert(shard(1, 1, ['a', 'z'], 2)), false);
    assert.equal(cache.insert(shard(1, 1, ['a', 'z'], 1)), false);
    assert.equal(cache.insert(shard(1, 1, ['a', 'z'], 3)), true);
    assert.equal(cache.at(utf8('a'))?.epoch.confVersion, 3);
  });

  test('the end of a range belongs to the next one', () => {
    const cache = new RouteCache({ routesMax: 10 });
    cache.insert(shard(1, 1, ['a', 'm']));
    cache.insert(shard(2, 1, ['m', '']));
    assert.equal(cache.at(utf8('lzz'))?.id, 1);
    assert.equal(cache.at(utf8('m'))?.id, 2);
    assert.equal(cache.at(utf8('zzz'))?.id, 2);
    assert.equal(cache.at(utf8('A')), undefined);
  });

  test('a range that holds nothing is not taken in', () => {
    const cache = new RouteCache({ routesMax: 10 });
    assert.equal(cache.insert(shard(1, 9, ['m', 'a'])), false);
    assert.equal(cache.insert(shard(1, 9, ['m', 'm'])), false);
    assert.equal(cache.pieces().length, 0);
  });

  test('a full cache forgets others and keeps what is new', () => {
    const cache = new RouteCache({ routesMax: 3 });
    for (let byte = 10; byte < 40; byte += 1) {
      const one = {
        ...shard(byte, 1, ['', '']),
        start: Uint8Array.of(byte),
        end: Uint8Array.of(byte + 1),
      };
      cache.insert(one);
      assert.equal(cache.at(Uint8Array.of(byte)), one);
      assert.ok(cache.pieces().length <= 3);
    }
  });

  test('a leader is believed until one of a later term is named', () => {
    const cache = new RouteCache({ routesMax: 10 });
    assert.equal(cache.learnLeader(1, { replicaId: 11, storeId: 1, term: 5 }), true);
    assert.equal(cache.learnLeader(1, { replicaId: 12, storeId: 2, term: 4 }), false);
    assert.equal(cache.learnLeader(1, { replicaId: 12, storeId: 2, term: 5 }), false);
    assert.equal(cache.leaderOf(1)?.storeId, 1);
    assert.equal(cache.learnLeader(1, { replicaId: 12, storeId: 2, term: 6 }), true);
    assert.equal(cache.learnLeader(1, { replicaId: 0, storeId: 0, term: 9 }), false);
    assert.equal(cache.leaderOf(1)?.storeId, 2);
  });

  test('a store that answered as leader counts more than an old hint', () => {
    const cache = new RouteCache({ routesMax: 10 });
    cache.learnLeader(1, { replicaId: 11, storeId: 1, term: 5 });
    cache.confirmLeader(1, { replicaId: 12, storeId: 2 });
    assert.equal(cache.leaderOf(1)?.storeId, 2);
    assert.equal(cache.learnLeader(1, { replicaId: 11, storeId: 1, term: 5 }), false);
  });
});
