// Fifty times, random nodes die by kill -9 under load and are started again. Whatever the clients were
// told in all that time must be explained by one order of events for each key.
//
// MATRIXKV_SEED=<number> repeats a plan; the operating system's timing stays its own.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { between, chance, type Random, SeededRandom } from '../../src/kernel/random.ts';
import { checkLinearizable } from '../sim/linearizable.ts';
import { readShards, readStores, replicationProblem } from './cluster-views.ts';
import { PlainNodes } from './plain-nodes.ts';
import { RecordedClients } from './recorded-clients.ts';
import { pause, until } from './until.ts';

const ROUNDS = 50;
const NODES = 4;
const PATIENCE_MS = 30_000;
/** Successes that show that the cluster serves again before the next round. */
const SUCCESSES = 20;
const DOWN_MS_MAX = 600;
const FLAGS = [
  // Small shards and an early "down", so that splits and moves meet the kills.
  ...['--shard-capacity', '16KiB'],
  ...['--store-down-after', '10s'],
  ...['--prepare-after', '1s'],
];

interface Round {
  readonly victims: readonly number[];
  readonly downMs: number;
}

function drawPlan(random: Random): readonly Round[] {
  return Array.from({ length: ROUNDS }, () => {
    const isTotal = chance(random, 1, 15);
    const count = isTotal ? NODES : chance(random, 1, 4) ? 2 : 1;
    const victims = new Set<number>();
    while (victims.size < count) victims.add(random.below(NODES));
    return { victims: [...victims], downMs: between(random, 0, DOWN_MS_MAX) };
  });
}

describe('kill -9 of random nodes', () => {
  let nodes: PlainNodes | undefined;
  let clients: RecordedClients | undefined;
  after(async () => {
    await clients?.stop().catch(() => {});
    await nodes?.close();
  });

  test('fifty rounds leave a linearizable history', { timeout: 300_000 }, async (t) => {
    const seed = Number(process.env['MATRIXKV_SEED'] ?? Date.now() % 1_000_000);
    const random = new SeededRandom(seed);
    const plan = drawPlan(random);
    t.diagnostic(`seed ${seed}`);
    t.diagnostic(plan.map(({ victims, downMs }) => `${victims.join('+')}/${downMs}ms`).join(' '));
    const cluster = await PlainNodes.prepare({ nodes: NODES, flags: FLAGS });
    nodes = cluster;
    const all = cluster.urls().map((_, index) => index);
    for (const index of all) await cluster.start(index);
    await cluster.untilReady(all, PATIENCE_MS);

    const options = { random, clients: 6, keys: 40, pauseMsMax: 10, valueBytes: 2_000 };
    const load = new RecordedClients({ ...options, nodes: cluster.urls() });
    clients = load;
    load.start();
    for (const [number, { victims, downMs }] of plan.entries()) {
      const before = load.endings.ok;
      await until({ what: `load in round ${number}`, withinMs: PATIENCE_MS }, () =>
        load.endings.ok >= before + SUCCESSES ? '' : `${load.endings.ok - before} successes`,
      );
      await Promise.all(victims.map((index) => cluster.kill(index)));
      await pause(downMs);
      for (const index of victims) await cluster.start(index);
      // Alive is enough: the next kill may meet a node that is still finding its place.
      await Promise.all(victims.map((index) => cluster.untilAlive(index, PATIENCE_MS)));
    }
    // In the end all is whole again.
    await cluster.untilReady(all, PATIENCE_MS);
    await until({ what: 'three replicas of every shard', withinMs: PATIENCE_MS }, async () => {
      const stores = await readStores(cluster.url(0));
      const live = stores.map(({ id }) => id);
      return await replicationProblem(cluster.url(0), { live, replicas: 3 });
    });
    await load.stop();

    const shards = await readShards(cluster.url(0));
    const { ok, fail, unknown } = load.endings;
    t.diagnostic(`${ok} ok, ${fail} failed, ${unknown} unknown; ${shards.length} shards`);
    assert.ok(shards.length > 1, 'Shards have split');
    const verdict = checkLinearizable(load.history.operations());
    const explanation = verdict.type === 'violation' ? verdict.explanation : '';
    assert.equal(verdict.type, 'linearizable', `Seed ${seed}. ${explanation}`);
  });
});
