// One group under a hostile world, from seeds: messages are lost, repeated and reordered, links are
// cut, replicas crash back to what their disk holds, members change, leadership is handed around and
// logs are compacted. After each step the promises of the paper (figure 3) are checked; at the end
// the world turns kind, and the group must agree again. A failing seed: RAFT_SEED=17 node --test ...

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RandomWorld } from './random-world-suite.ts';

const SEEDS = 200;
const STEPS = 3000;

const only = process.env['RAFT_SEED'];
const seeds =
  only === undefined ? Array.from({ length: SEEDS }, (_, seed) => seed) : [Number(only)];

test('a group keeps its promises in a hostile world, and agrees again in a kind one', () => {
  let committed = 0;
  let leaders = 0;
  let reads = 0;
  let snapshots = 0;
  let changes = 0;
  for (const seed of seeds) {
    const world = new RandomWorld(seed);
    try {
      for (let step = 0; step < STEPS; step += 1) world.step();
      world.heal();
    } catch (error) {
      throw new Error(`Seed ${seed} failed`, { cause: error });
    }
    committed += world.counts.committed;
    leaders += world.counts.leaders;
    reads += world.counts.reads;
    snapshots += world.counts.snapshots;
    changes += world.counts.changes;
  }
  // A world in which nothing happens proves nothing.
  assert.ok(committed > 20 * seeds.length, `Only ${committed} entries were committed`);
  assert.ok(leaders > 2 * seeds.length, `Only ${leaders} leaders were elected`);
  assert.ok(reads > seeds.length, `Only ${reads} reads were confirmed`);
  assert.ok(snapshots > seeds.length / 4, `Only ${snapshots} snapshots were installed`);
  assert.ok(changes > seeds.length, `Only ${changes} changes of members were applied`);
});

test('the same seed gives the same run', () => {
  const [first, second] = [1, 2].map(() => {
    const world = new RandomWorld(42);
    for (let step = 0; step < STEPS; step += 1) world.step();
    return world.fingerprint();
  });
  assert.equal(first, second);
});
