import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SeededRandom } from '../../src/kernel/random.ts';
import { CALM_NETWORK, describePlan, drawPlan } from './faults.ts';
import { SimulatedNetwork } from './simulated-network.ts';

function rig(): { network: SimulatedNetwork; time: { ms: number } } {
  const time = { ms: 0 };
  const random = new SeededRandom(1);
  const network = new SimulatedNetwork({ random, now: () => time.ms, quality: CALM_NETWORK });
  return { network, time };
}

const THERE = { from: 'a', to: 'b' };
const BACK = { from: 'b', to: 'a' };

describe('the simulated network', () => {
  test('a calm one delivers everything within its latency', () => {
    const { network } = rig();
    for (let count = 0; count < 100; count += 1) {
      const delivery = network.deliveryOf(THERE);
      assert.ok(delivery.type === 'deliver' && delivery.delayMs >= 1 && delivery.delayMs <= 2);
    }
  });

  test('a cut stops one direction for its time', () => {
    const { network, time } = rig();
    network.cut(THERE, 100);
    assert.equal(network.deliveryOf(THERE).type, 'stall');
    assert.equal(network.deliveryOf(BACK).type, 'deliver');
    time.ms = 100;
    assert.equal(network.deliveryOf(THERE).type, 'deliver');
  });

  test('a shorter cut does not end a longer one', () => {
    const { network, time } = rig();
    network.cut(THERE, 100);
    network.cut(THERE, 50);
    time.ms = 60;
    assert.equal(network.deliveryOf(THERE).type, 'stall');
  });

  test('a heal ends all cuts', () => {
    const { network } = rig();
    network.cut(THERE, 100);
    network.heal();
    assert.equal(network.deliveryOf(THERE).type, 'deliver');
  });

  test('what goes into a clogged direction arrives when the clog is over', () => {
    const { network, time } = rig();
    network.clog(THERE, 100);
    time.ms = 40;
    const delivery = network.deliveryOf(THERE);
    assert.ok(delivery.type === 'deliver' && delivery.delayMs >= 60 && delivery.delayMs <= 63);
  });

  test('bad quality breaks streams now and then', () => {
    const { network } = rig();
    network.setQuality({ ...CALM_NETWORK, breaksPer10000: 1_000 });
    const types = Array.from({ length: 200 }, () => network.deliveryOf(THERE).type);
    assert.deepEqual([...new Set(types)].sort(), ['break', 'deliver']);
  });
});

describe('the plan of a run', () => {
  const nodes = ['a', 'b', 'c'];
  const planOf = (seed: number): ReturnType<typeof drawPlan> =>
    drawPlan({
      random: new SeededRandom(seed),
      nodes,
      fromMs: 500,
      untilMs: 30_000,
      mayLose: true,
    });

  test('is the same for the same seed', () => {
    assert.deepEqual(planOf(3), planOf(3));
    assert.notDeepEqual(planOf(3), planOf(4));
  });

  test('has each kind of fault in some seeds and lacks it in others, all in the span', () => {
    const plans = Array.from({ length: 100 }, (_, seed) => planOf(seed));
    for (const kind of ['crash', 'pause', 'stall-disk', 'partition', 'one-way', 'clog']) {
      const having = plans.filter(({ faults }) => faults.some(({ fault }) => fault.type === kind));
      assert.ok(having.length > 20 && having.length < 80, `${kind}: ${having.length}`);
    }
    for (const { faults } of plans) {
      for (const { atMs } of faults) assert.ok(atMs >= 500 && atMs < 30_000, `${atMs}`);
    }
  });

  test('is told in words', () => {
    const plan = { ...planOf(1), faults: [] };
    const fault = { type: 'partition', nodes: ['a', 'b'], forMs: 5 } as const;
    const text = describePlan({ ...plan, faults: [{ atMs: 7, fault }] });
    assert.match(text, /7 ms: partition \[a b\] for 5 ms/);
  });
});
