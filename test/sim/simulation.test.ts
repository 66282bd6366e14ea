import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SimulationFailure, type SimulationOptions, simulate } from './simulation.ts';
import { type ToyFault, toyNode } from './toy-node.ts';

const SEEDS = 10;

function optionsFor(seed: number, fault: ToyFault): SimulationOptions {
  return {
    seed,
    nodes: ['one', 'two'],
    // Only the first machine holds data; the second one shows that machines do not disturb each other.
    makeNode: (ports) => toyNode(ports, fault),
    faultsMs: 20_000,
    calmMsMax: 20_000,
    clients: 6,
    keys: 2,
  };
}

/** Two stores that know nothing of each other are one store only if clients ask just one of them. */
function alone(options: SimulationOptions): SimulationOptions {
  return { ...options, nodes: ['one'] };
}

/** The kinds of failure that the seeds end with. */
async function failuresOf(fault: ToyFault): Promise<ReadonlySet<string>> {
  const kinds = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      await simulate(alone(optionsFor(seed, fault)));
    } catch (error) {
      assert.ok(error instanceof SimulationFailure, String(error));
      assert.match(error.message, new RegExp(`^Seed ${seed} at `));
      kinds.add(error.kind);
    }
  }
  return kinds;
}

describe('a run of a correct store', () => {
  test('passes with every seed, and clients get most of what they ask for', async () => {
    let unknown = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const report = await simulate(alone(optionsFor(seed, 'none')));
      assert.ok(report.succeeded > report.operations / 2, JSON.stringify(report));
      unknown += report.unknown;
    }
    assert.ok(unknown > 0, 'Some crash must have hit a call');
  });

  test('is the same run again with the same seed', async () => {
    const first = await simulate(alone(optionsFor(7, 'none')));
    assert.deepEqual(await simulate(alone(optionsFor(7, 'none'))), first);
  });

  test('is another run with another seed', async () => {
    const first = await simulate(alone(optionsFor(7, 'none')));
    assert.notEqual((await simulate(alone(optionsFor(8, 'none')))).digest, first.digest);
  });
});

describe('a run finds', () => {
  const cases: readonly (readonly [ToyFault, string])[] = [
    ['answers-before-the-disk', 'not-linearizable'],
    ['reads-the-past', 'not-linearizable'],
    ['calls-a-write-failed', 'not-linearizable'],
    ['ignores-conditions', 'not-linearizable'],
    ['silent-after-restart', 'not-live'],
    ['breaks', 'crashed'],
  ];
  for (const [fault, kind] of cases) {
    test(`a store that ${fault.replaceAll('-', ' ')}`, async () => {
      assert.deepEqual([...(await failuresOf(fault))], [kind]);
    });
  }

  test('two stores that do not know of each other', async () => {
    await assert.rejects(simulate(optionsFor(1, 'none')), { kind: 'not-linearizable' });
  });
});
