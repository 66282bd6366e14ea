// The real node in simulated clusters: crashes that lose unsynced writes, partitions, message loss and
// reordering, stalled disks and processes, splits, snapshots, moves; every key linearizable, all disks
// alike in the end. SIM_SEEDS and SIM_FROM widen the search; `npm run sim -- --seed N` tells the story
// of one seed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runCluster, runScene, type Scene } from './cluster-run.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 150);
const FROM = Number(process.env['SIM_FROM'] ?? 1);
/** A failing seed is easier to find among few. */
const SEEDS_PER_TEST = 10;

describe('a simulated cluster of real nodes', () => {
  for (let first = FROM; first < FROM + SEEDS; first += SEEDS_PER_TEST) {
    const last = Math.min(first + SEEDS_PER_TEST, FROM + SEEDS) - 1;
    test(`is linearizable and recovers with the seeds ${first} to ${last}`, async () => {
      for (let seed = first; seed <= last; seed += 1) {
        const report = await runCluster(seed);
        assert.ok(report.succeeded > 0, `Nothing was ever served: ${JSON.stringify(report)}`);
      }
    });
  }

  test('does the same again with the same seed, and something else with another', async () => {
    for (const seed of [FROM, FROM + 1, FROM + 2]) {
      const first = await runCluster(seed);
      assert.deepEqual(await runCluster(seed), first);
      assert.notEqual((await runCluster(seed + 1)).digest, first.digest);
    }
  });
});

describe('scenes in a simulated cluster', () => {
  const plain: Scene = {
    hasSpare: false,
    settings: { shardCapacityBytes: 2 ** 20, logEntriesMax: 10_000, drains: false },
    keys: 5,
    faults: [],
  };
  const splitting = { ...plain.settings, shardCapacityBytes: 40 };

  test('without faults every call is answered, also while shards split', async () => {
    for (const settings of [plain.settings, splitting]) {
      const { operations, succeeded, unknown } = await runScene({ ...plain, settings, keys: 12 });
      assert.equal(unknown, 0);
      // Only the very first calls find no shard yet.
      assert.ok(succeeded > operations - 100, `${succeeded} of ${operations}`);
    }
  });

  test('nodes that are stopped one after the other are hardly missed', async () => {
    const stop = (node: string, atMs: number): Scene['faults'][number] => ({
      atMs,
      fault: { type: 'stop', node, downMs: 1_000 },
    });
    const faults = [stop('one', 5_000), stop('two', 10_000), stop('three', 15_000)];
    const { operations, unknown } = await runScene({ ...plain, faults });
    assert.ok(unknown < operations / 100, `${unknown} of ${operations}`);
  });

  test('a cluster comes back from blackouts', async () => {
    const at = [3_000, 6_000, 6_500, 9_000, 12_000, 15_000, 18_000];
    const faults = at.map((atMs) => ({ atMs, fault: { type: 'blackout', downMs: 500 } }) as const);
    await runScene({ ...plain, settings: splitting, faults });
  });

  test('followers that were away get snapshots', async () => {
    const faults = ['one', 'two', 'three'].map((node, position) => {
      const atMs = 4_000 + 5_000 * position;
      return { atMs, fault: { type: 'crash', node, downMs: 3_000 } } as const;
    });
    await runScene({ ...plain, settings: { ...splitting, logEntriesMax: 8 }, faults, keys: 12 });
  });

  test('replicas of a machine that is lost are made anew on the spare one', async () => {
    for (const node of ['one', 'two', 'three', 'four']) {
      const faults = [{ atMs: 10_000, fault: { type: 'lose', node } } as const];
      await runScene({ ...plain, hasSpare: true, settings: splitting, faults, keys: 12 });
    }
  });
});
