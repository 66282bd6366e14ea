// Lesson 1: data, sessions, shard meta and applied index are one. A store is killed at each of its
// writes; what any disk ever held at an applied index must be the same on all of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommand } from '../../src/node/shard/commands.ts';
import { decodeApplyState, decodeMeta } from '../../src/node/shard/shard-records.ts';
import { stateRangesOf } from '../../src/node/shard/state-ranges.ts';
import { applyStateKey, metaKey } from '../../src/node/storage/keys.ts';
import { StoreCluster } from './store-cluster.ts';

/** What the disks held, by shard and applied index. */
class Observed {
  readonly #states = new Map<string, Promise<string>>();
  readonly #checks: Promise<void>[] = [];

  get indexes(): number {
    return this.#states.size;
  }

  /** The pages are cut in this call: between two writes. */
  look(cluster: StoreCluster, storeId: number): void {
    const engine = cluster.nodes.get(storeId)?.engine;
    if (engine === undefined) return;
    for (const shardId of [1, 1000]) {
      const bytes = engine.get(metaKey(shardId));
      const apply = engine.get(applyStateKey(shardId));
      if (bytes === undefined || apply === undefined) continue;
      const { meta, state } = decodeMeta(metaKey(shardId), bytes);
      if (state !== 'normal') continue;
      const { applied } = decodeApplyState(applyStateKey(shardId), apply);
      const pages = stateRangesOf(meta).map((range) =>
        engine.scan({ ...range, limit: 1e6, bytesMax: Number.MAX_SAFE_INTEGER }),
      );
      const text = Promise.all(pages).then((all) =>
        [JSON.stringify(meta), ...all.flatMap(({ entries }) => entries.map(lineOf))].join('\n'),
      );
      this.#compare(`shard ${shardId} at ${applied.term}/${applied.index}`, text);
    }
  }

  async check(): Promise<void> {
    await Promise.all(this.#checks);
  }

  #compare(place: string, text: Promise<string>): void {
    const known = this.#states.get(place) ?? text;
    this.#states.set(place, known);
    const check = async (): Promise<void> => assert.equal(await text, await known, place);
    this.#checks.push(check());
  }
}

function lineOf({ key, value }: { key: Uint8Array; value: Uint8Array }): string {
  return `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`;
}

/** Writes, refused writes, nonsense, changes of members and a split. */
async function work(cluster: StoreCluster, revive: () => Promise<void>): Promise<void> {
  const steps: (() => Promise<void>)[] = [
    ...['a', 'b', 'y', 'z'].map((key) => () => tried(cluster, key, 'first')),
    () => tried(cluster, 'a', undefined),
    () => proposed(cluster, Uint8Array.of(9, 9, 9)),
    () => proposed(cluster, encodeCommand(cluster.command('a', 'x', 77))),
    () => changed(cluster, { type: 'add-learner', replicaId: 20, storeId: 4 }),
    () => split(cluster),
    () => changed(cluster, { type: 'remove', replicaId: 20 }),
    ...['a', 'c', 'z'].map((key) => () => tried(cluster, key, 'second')),
  ];
  for (const step of steps) {
    await step();
    await revive();
  }
}

function split(cluster: StoreCluster): Promise<void> {
  return cluster.until(() => {
    const leader = cluster.leader(1);
    if (leader === undefined) return false;
    const { epoch } = leader.shard.meta;
    if (epoch.generation > 1) return true;
    const keys = [Buffer.from('m')];
    leader.node.store.takeStep({ type: 'split', shardId: 1, epoch, keys });
    return false;
  }, 'the shard is split');
}

/** A write whose leader may be killed under it: asked again until it is answered. */
async function tried(cluster: StoreCluster, key: string, value: string | undefined): Promise<void> {
  const command = cluster.command(key, value, 1);
  for (;;) {
    const { node, shard } = await cluster.leaderAt(key);
    const { id, epoch } = shard.meta;
    const again = { ...command, generation: epoch.generation };
    const request = { shardId: id, command: again };
    let isOver = false;
    let isDone = false;
    node.store.write(request, node.clock.now() + 1000).then(
      () => {
        isDone = true;
        isOver = true;
      },
      () => {
        isOver = true;
      },
    );
    await cluster.until(() => isOver || node.clock.isDead(), `a write to ${key}`);
    if (isDone) return;
  }
}

async function proposed(cluster: StoreCluster, bytes: Uint8Array): Promise<void> {
  const { node } = await cluster.leaderOf(1);
  const replica = node.store.replica(1);
  const nothing = (): void => {};
  const deadline = node.clock.now() + 1000;
  replica?.propose(bytes, { deadline, resolve: nothing, reject: nothing });
  if (replica !== undefined) node.store.wake(replica);
  await cluster.run(20);
}

async function changed(
  cluster: StoreCluster,
  change:
    | { type: 'add-learner'; replicaId: number; storeId: number }
    | { type: 'remove'; replicaId: number },
): Promise<void> {
  const isMember = change.type === 'remove';
  await cluster.until(() => {
    const leader = cluster.leader(1);
    if (leader === undefined) return false;
    const { meta } = leader.shard;
    const found = meta.replicas.some(({ replicaId }) => replicaId === change.replicaId);
    if (found !== isMember) return true;
    const step = { type: 'conf-change', shardId: 1, change: { epoch: meta.epoch, ...change } };
    leader.node.store.takeStep(step as never);
    return false;
  }, change.type);
}

async function run(victim: number, at: number): Promise<{ isKilled: boolean; indexes: number }> {
  const cluster = new StoreCluster();
  const observed = new Observed();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  const before = cluster.nodes.get(victim)?.disk.writes ?? 0;
  let isKilled = false;
  cluster.fate = ({ storeId, number }) => {
    observed.look(cluster, storeId);
    if (isKilled || storeId !== victim || number !== before + at) return 'done';
    isKilled = true;
    // Lost, or durable and nobody knows.
    return (at + victim) % 4 < 2 ? 'crash-before' : 'crash-after';
  };
  const revive = async (): Promise<void> => {
    if (!cluster.nodes.has(victim)) await cluster.add(victim);
  };
  await work(cluster, revive);
  await cluster.run(1000);
  await revive();
  await cluster.run(3000);
  for (const storeId of [1, 2, 3]) observed.look(cluster, storeId);
  await observed.check();
  assert.deepEqual(cluster.failures, []);
  const applied = [1, 2, 3].map((id) => cluster.nodes.get(id)?.store.replica(1)?.durable);
  assert.ok(applied[0] !== undefined);
  for (const one of applied) assert.deepEqual(one, applied[0], 'everybody has applied everything');
  return { isKilled, indexes: observed.indexes };
}

test('lesson 1: killed at any write, no store holds another state at the same applied index', async () => {
  // The first store leads in most runs; the third follows.
  for (const victim of [1, 3]) {
    let killed = 0;
    for (let at = 1; ; at += 1) {
      const { isKilled, indexes } = await run(victim, at);
      assert.ok(indexes > 15, `${indexes} states were compared`);
      if (!isKilled) break;
      killed += 1;
    }
    assert.ok(killed >= 20, `killed ${killed} times`);
  }
});
