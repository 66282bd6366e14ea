// The world under real transports: two nodes that send each other one Raft heartbeat after the other.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { must } from '../../src/kernel/assert.ts';
import { every } from '../../src/kernel/clock.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import { SILENT } from '../../src/kernel/observer.ts';
import { SeededRandom } from '../../src/kernel/random.ts';
import type { KvService } from '../../src/node/routing/services.ts';
import { NodeTransport } from '../../src/node/transport/node-transport.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';
import { CALM_NETWORK, type Fault, NOTHING_LOST, type RunPlan } from './faults.ts';
import { type Lossiness, lossyTransport } from './lossy-transport.ts';
import { Scheduler } from './scheduler.ts';
import { type NodePorts, type SimulatedNode, World } from './world.ts';

const INTERVAL_MS = 50;
const NAMES = ['one', 'two'];

const refuse = (): Promise<never> => Promise.reject(new MatrixError('UNSUPPORTED', 'No data here'));
const NO_DATA: KvService = { get: refuse, put: refuse, delete: refuse, scan: refuse };

/** A heartbeat whose commit is its number. */
function heartbeat(number: number): Envelope {
  const replica = { replicaId: 1, storeId: 0, role: 'voter' } as const;
  const message = { type: 'heartbeat', from: 1, to: 2, term: 1 } as const;
  return {
    shardId: 1,
    toStoreId: 0,
    from: replica,
    to: { ...replica, replicaId: 2 },
    shard: {
      start: new Uint8Array(),
      end: new Uint8Array(),
      epoch: { generation: 1, confVersion: 1 },
    },
    message: { ...message, commit: number, readSequence: 0 },
  };
}

interface Rig {
  readonly scheduler: Scheduler;
  readonly world: World;
  /** Numbers of the heartbeats that each node received, over all its processes. */
  readonly heard: ReadonlyMap<string, number[]>;
  readonly unreachable: readonly string[];
}

function rig(faults: readonly Fault[], lossiness: Lossiness = NOTHING_LOST): Rig {
  const scheduler = new Scheduler();
  const heard = new Map(NAMES.map((name): [string, number[]] => [name, []]));
  const unreachable: string[] = [];
  const plan: RunPlan = {
    faults: faults.map((fault) => ({ atMs: 1_000, fault })),
    disk: { writeMicrosMin: 100, writeMicrosMax: 200, slowPerMille: 0 },
    network: CALM_NETWORK,
    lossiness,
    driftsPpm: [0, 0],
    wallErrorMsMax: 0,
  };
  const makeNode = (ports: NodePorts): SimulatedNode => ({
    kv: NO_DATA,
    start: () => beat(ports, { heard: must(heard.get(ports.name), 'A known name'), unreachable }),
  });
  const random = new SeededRandom(1);
  const world = new World({ scheduler, random, names: NAMES, plan, makeNode });
  world.start();
  return { scheduler, world, heard, unreachable };
}

async function beat(
  { name, names, clock, random, wire, lossiness }: NodePorts,
  seen: { readonly heard: number[]; readonly unreachable: string[] },
): Promise<void> {
  const inner = new NodeTransport({
    wire,
    clock,
    random,
    observer: SILENT,
    clusterId: 'test',
    listenAddress: name,
    address: name,
  });
  const transport = lossyTransport(inner, { clock, random, lossiness });
  await transport.start({
    onEnvelope: ({ message }) => {
      if (message.type === 'heartbeat') seen.heard.push(message.commit);
    },
    onCall: refuse,
    onSnapshot: refuse,
    onUnreachable: (address) => seen.unreachable.push(`${name} > ${address}`),
  });
  const other = must(
    names.find((one) => one !== name),
    'There are two nodes',
  );
  let number = 0;
  every(clock, INTERVAL_MS, () => {
    number += 1;
    transport.send(other, heartbeat(number));
  });
}

function heardBy({ heard }: Rig, name: string): number {
  return heard.get(name)?.length ?? 0;
}

/** How many heartbeats each node receives in this span, which begins some time after the faults. */
async function heardDuring(run: Rig, span: { fromMs: number; untilMs: number }): Promise<number[]> {
  await run.scheduler.run({ untilMs: span.fromMs });
  const before = NAMES.map((name) => heardBy(run, name));
  await run.scheduler.run({ untilMs: span.untilMs });
  return NAMES.map((name, index) => heardBy(run, name) - (before[index] ?? 0));
}

const DURING = { fromMs: 1_500, untilMs: 3_500 };
const AFTER = { fromMs: 8_000, untilMs: 10_000 };
const ALL = 40;

function assertAbout(counts: readonly number[], expected: readonly number[]): void {
  counts.forEach((count, index) => {
    assert.ok(Math.abs(count - (expected[index] ?? 0)) <= 1, `${counts} instead of ${expected}`);
  });
}

describe('a world of two nodes', () => {
  test('without faults brings every heartbeat once and in order', async () => {
    const run = rig([]);
    assertAbout(await heardDuring(run, DURING), [ALL, ALL]);
    const numbers = run.heard.get('two') ?? [];
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => (numbers[0] ?? 0) + index),
    );
  });

  test('a partition silences both, and ends', async () => {
    const run = rig([{ type: 'partition', nodes: ['one'], forMs: 4_000 }]);
    assertAbout(await heardDuring(run, DURING), [0, 0]);
    assertAbout(await heardDuring(run, AFTER), [ALL, ALL]);
  });

  test('a cut in one direction silences only that one', async () => {
    const run = rig([{ type: 'one-way', from: 'one', to: 'two', forMs: 4_000 }]);
    assertAbout(await heardDuring(run, DURING), [ALL, 0]);
  });

  test('a crash silences both and breaks the connections; a restart joins again', async () => {
    const run = rig([{ type: 'crash', node: 'two', downMs: 4_000 }]);
    assertAbout(await heardDuring(run, DURING), [0, 0]);
    assert.ok(run.unreachable.includes('one > two'));
    assertAbout(await heardDuring(run, AFTER), [ALL, ALL]);
  });

  test('a paused node hears nothing and says nothing, and takes everything in afterwards', async () => {
    const run = rig([{ type: 'pause', node: 'two', forMs: 4_000 }]);
    assertAbout(await heardDuring(run, DURING), [0, 0]);
    await run.scheduler.run({ untilMs: 5_500 });
    const before = heardBy(run, 'two');
    assert.ok(before > 80, `${before}`);
    assertAbout(await heardDuring(run, AFTER), [ALL, ALL]);
  });

  test('a heal ends every fault at once', async () => {
    const run = rig([
      { type: 'crash', node: 'one', downMs: 1_000_000 },
      { type: 'partition', nodes: ['two'], forMs: 1_000_000 },
      { type: 'pause', node: 'two', forMs: 1_000_000 },
    ]);
    assertAbout(await heardDuring(run, DURING), [0, 0]);
    run.world.heal();
    assertAbout(await heardDuring(run, AFTER), [ALL, ALL]);
  });

  test('a lossy transport loses, repeats and reorders single messages', async () => {
    const rates = { lostPerMille: 300, repeatedPerMille: 300, delayedPerMille: 300 };
    const run = rig([], { ...rates, delayMsMax: 400 });
    await run.scheduler.run({ untilMs: 20_000 });
    const numbers = run.heard.get('two') ?? [];
    const different = new Set(numbers);
    assert.ok(different.size < 380, `${different.size}: none is lost`);
    assert.ok(different.size < numbers.length, 'None is repeated');
    assert.ok(
      numbers.some((number, index) => number < (numbers[index - 1] ?? 0)),
      'None is overtaken',
    );
  });
});
