// The real node in simulated clusters of three: crashes that lose unsynced writes, partitions, message
// loss and reordering, stalled disks and processes, splits; every key linearizable, every disk alike.
// SIM_SEEDS and SIM_FROM widen the search; `npm run sim -- --seed N` tells the story of one seed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runCluster } from './cluster-run.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 60);
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
