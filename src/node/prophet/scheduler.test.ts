// Tables of situations for the scheduler, played out in a small world in which the leaders of shards
// do at once what they are asked to, and which checks after every step that nobody lost a quorum.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EMPTY } from '../../kernel/bytes.ts';
import { SILENT } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import { SeededRandom } from '../../kernel/random.ts';
import type { ReplicaDescriptor, ShardMeta } from '../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo, StoreInfo } from './cluster-view.ts';
import { Operators } from './operators.ts';
import type { Plan } from './plan.ts';
import { addedTo } from './plan.ts';
import { isBraked, RELEASED, watchForMassFailure } from './policies/brake.ts';
import { describeBlockedDrain } from './policies/drain.ts';
import { LIMITS } from './prophet-config.ts';
import type { ShardStep } from './protocol.ts';
import { schedule } from './scheduler.ts';

const BRAKE_MS = 1_800_000;

class World {
  now = 0;
  maxReplicas = 3;
  /** Of every shard. */
  sizeBytes = 64 * 2 ** 20;
  readonly stores = new Map<number, StoreInfo>();
  readonly metas = new Map<number, ShardMeta>();
  readonly leaders = new Map<number, number>();
  /** Replicas that are still receiving a snapshot. */
  readonly pending = new Set<number>();
  readonly log: string[] = [];
  readonly #usedIds = new Set<number>();
  operators = new Operators(SILENT.log);
  #brake = RELEASED;
  #nextId = 100_000;

  addStore(id: number, changes: Partial<StoreInfo> = {}): void {
    this.stores.set(id, {
      id,
      state: 'serving',
      liveness: 'up',
      isReachable: true,
      zone: '',
      shards: 0,
      capacityBytes: 0,
      freeBytes: 0,
      sizeBytes: 0,
      snapshotsSending: 0,
      snapshotsReceiving: 0,
      ...changes,
    });
  }

  setStore(id: number, changes: Partial<StoreInfo>): void {
    const store = this.stores.get(id);
    assert.ok(store);
    this.stores.set(id, { ...store, ...changes });
    for (const [shardId, meta] of this.metas) this.#elect(shardId, meta);
  }

  /** A shard with voters on these stores, led by the first; replica ids are shard * 100 + store. */
  addShard(id: number, voters: readonly number[], learners: readonly number[] = []): void {
    const replica = (role: 'voter' | 'learner') => (storeId: number) => ({
      replicaId: id * 100 + storeId,
      storeId,
      role,
    });
    const replicas = [...voters.map(replica('voter')), ...learners.map(replica('learner'))];
    for (const { replicaId } of replicas) this.#usedIds.add(replicaId);
    const epoch = { generation: 1, confVersion: 1 };
    this.metas.set(id, { id, start: EMPTY, end: EMPTY, epoch, replicas });
    this.leaders.set(id, replicas[0]?.replicaId ?? 0);
  }

  storesOf(id: number): readonly number[] {
    return (this.metas.get(id)?.replicas ?? []).map((replica) => replica.storeId).sort();
  }

  leaderStore(id: number): number {
    const leader = this.leaders.get(id);
    return this.metas.get(id)?.replicas.find((one) => one.replicaId === leader)?.storeId ?? 0;
  }

  view(): ClusterInfo {
    const shards = new Map<number, ShardInfo>();
    for (const [id, meta] of this.metas) {
      const leader = meta.replicas.find((replica) => replica.replicaId === this.leaders.get(id));
      const isLed = leader !== undefined && this.#isUp(leader);
      const health = meta.replicas.map(
        (replica) =>
          [
            replica.replicaId,
            {
              replicaId: replica.replicaId,
              downSeconds: this.#isUp(replica) ? 0 : 60,
              isPending: this.pending.has(replica.replicaId),
            },
          ] as const,
      );
      const { sizeBytes } = this;
      const healthById = new Map(health);
      shards.set(id, { meta, leader: isLed ? leader : undefined, health: healthById, sizeBytes });
    }
    return { now: this.now, maxReplicas: this.maxReplicas, stores: this.stores, shards };
  }

  plans(): readonly Plan[] {
    const cluster = this.view();
    this.#brake = watchForMassFailure(cluster, this.#brake);
    const running = {
      operators: this.operators.all(),
      addBytesPerStore: this.operators.addBytesPerStore(this.now),
    };
    const braked = isBraked(this.#brake, { now: this.now, brakeMs: BRAKE_MS });
    return schedule(cluster, { running, isBraked: braked });
  }

  /** One patrol, and then every leader does its step. Returns how much was begun or done. */
  round(): number {
    this.now += 1_000;
    this.operators.advance(this.view());
    const plans = this.plans();
    for (const plan of plans) {
      const shard = this.view().shards.get(plan.shardId);
      assert.ok(shard);
      this.#nextId += 1;
      this.operators.start(plan, { freshId: this.#nextId, shard, now: this.now });
      this.log.push(plan.type);
    }
    this.operators.advance(this.view());
    const steps = [...this.stores.keys()].flatMap((id) => this.operators.stepsFor(id));
    for (const step of steps) this.apply(step);
    return plans.length + steps.length;
  }

  /** Plays until nothing happens any more. */
  settle(roundsMax = 400): void {
    for (let round = 0; round < roundsMax; round += 1) {
      if (this.round() === 0 && this.operators.size === 0 && !this.#isRateLimited()) return;
    }
    assert.fail(`Not settled after ${roundsMax} rounds: ${this.log.slice(-20).join(' ')}`);
  }

  /** What the leader of a shard does with a step, and what it must never be asked to do. */
  apply({ shardId, epoch, step }: ShardStep): void {
    const meta = this.metas.get(shardId);
    assert.ok(meta && step.type !== 'split');
    assert.deepEqual(epoch, meta.epoch);
    this.#assertQuorum(meta, 'before');
    const replica = meta.replicas.find((one) => one.replicaId === step.replicaId);
    this.log.push(step.type);
    if (step.type === 'transfer-leader') {
      assert.ok(replica?.role === 'voter' && this.#isUp(replica));
      this.leaders.set(shardId, step.replicaId);
      return;
    }
    let replicas = meta.replicas;
    if (step.type === 'add-learner') {
      assert.ok(!this.#usedIds.has(step.replicaId), 'A replica id was used twice');
      assert.ok(!replicas.some((one) => one.storeId === step.storeId));
      this.#usedIds.add(step.replicaId);
      replicas = [
        ...replicas,
        { replicaId: step.replicaId, storeId: step.storeId, role: 'learner' },
      ];
    } else if (step.type === 'promote') {
      assert.equal(replica?.role, 'learner');
      assert.ok(!this.pending.has(step.replicaId));
      replicas = replicas.map((one) => (one === replica ? { ...one, role: 'voter' } : one));
    } else {
      assert.ok(replica, 'A replica was removed twice');
      assert.notEqual(this.leaders.get(shardId), step.replicaId, 'A leader was removed');
      replicas = replicas.filter((one) => one !== replica);
    }
    const next = { ...meta, replicas, epoch: { ...epoch, confVersion: epoch.confVersion + 1 } };
    this.#assertQuorum(next, 'after');
    this.metas.set(shardId, next);
  }

  /** Limits per minute may be all that keeps the next move back. */
  #isRateLimited(): boolean {
    const sums = this.operators.addBytesPerStore(this.now);
    return [...sums.values()].some((bytes) => bytes >= LIMITS.addBytesPerMinute);
  }

  #isUp(replica: ReplicaDescriptor): boolean {
    return this.stores.get(replica.storeId)?.liveness === 'up';
  }

  #assertQuorum(meta: ShardMeta, when: string): void {
    const voters = meta.replicas.filter((replica) => replica.role === 'voter');
    const live = voters.filter((voter) => this.#isUp(voter)).length;
    assert.ok(live > voters.length / 2, `Shard ${meta.id} has no quorum ${when} a step`);
  }

  #elect(shardId: number, meta: ShardMeta): void {
    const voters = meta.replicas.filter((replica) => replica.role === 'voter');
    const live = voters.filter((voter) => this.#isUp(voter));
    if (live.length <= voters.length / 2) return;
    if (live.some((voter) => voter.replicaId === this.leaders.get(shardId))) return;
    this.leaders.set(shardId, live[0]?.replicaId ?? 0);
  }
}

function worldOf(stores: number, shards: readonly (readonly number[])[]): World {
  const world = new World();
  for (let id = 1; id <= stores; id += 1) world.addStore(id);
  shards.forEach((voters, index) => {
    world.addShard(index + 1, voters);
  });
  return world;
}

function planned(world: World): readonly string[] {
  return world.plans().map((plan) => {
    const target = addedTo(plan);
    return target === undefined ? plan.type : `${plan.type} to ${target}`;
  });
}

describe('repair', () => {
  test('one of four stores is down: the spare gets the replica, the dead one leaves first', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.settle();
    assert.deepEqual(world.storesOf(1), [1, 2, 4]);
    assert.deepEqual(world.log, ['replace', 'add-learner', 'remove', 'promote']);
  });

  test('a leader dies: its successor replaces it', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(1, { liveness: 'down' });
    world.settle();
    assert.deepEqual(world.storesOf(1), [2, 3, 4]);
  });

  test('a disconnected store is waited for', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'disconnected' });
    assert.deepEqual(planned(world), []);
  });

  test('a store that Prophet misses but the leader hears is not replaced', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    const cluster = world.view();
    const shard = cluster.shards.get(1);
    assert.ok(shard);
    const deaf = { ...cluster, shards: new Map([[1, { ...shard, health: new Map() }]]) };
    const running = { operators: [], addBytesPerStore: new Map() };
    assert.deepEqual(schedule(deaf, { running, isBraked: false }), []);
  });

  test('one of three stores is down: there is nowhere to go', () => {
    const world = worldOf(3, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    assert.deepEqual(planned(world), []);
  });

  test('the down store returns before it is replaced: the new learner goes away', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.pending.add(100_001);
    world.round();
    assert.deepEqual(world.storesOf(1), [1, 2, 3, 4]);
    world.setStore(3, { liveness: 'up' });
    world.settle();
    assert.deepEqual(world.storesOf(1), [1, 2, 3]);
    assert.deepEqual(world.log, ['replace', 'add-learner', 'remove', 'remove']);
  });

  test('a dead voter stays until its successor has caught up', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.pending.add(100_001);
    for (let round = 0; round < 5; round += 1) world.round();
    assert.deepEqual(world.storesOf(1), [1, 2, 3, 4]);
    world.pending.clear();
    world.settle();
    assert.deepEqual(world.storesOf(1), [1, 2, 4]);
  });

  test('the down store returns after it was removed: its successor is promoted', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.round();
    world.round();
    world.setStore(3, { liveness: 'up' });
    world.settle();
    assert.deepEqual(world.storesOf(1), [1, 2, 4]);
    assert.equal(
      world.metas.get(1)?.replicas.every((replica) => replica.role === 'voter'),
      true,
    );
  });

  test('a new leader of Prophet finds a replacement half-way and finishes it', () => {
    for (const rounds of [1, 2]) {
      const world = worldOf(4, [[1, 2, 3]]);
      world.setStore(3, { liveness: 'down' });
      for (let round = 0; round < rounds; round += 1) world.round();
      world.operators = new Operators(SILENT.log);
      world.settle();
      assert.deepEqual(world.storesOf(1), [1, 2, 4]);
      assert.equal(world.log.filter((entry) => entry === 'add-learner').length, 1);
    }
  });

  test('the target dies while it catches up: its learner goes, and another store is taken', () => {
    const world = worldOf(5, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.pending.add(100_001);
    world.round();
    world.setStore(4, { liveness: 'down' });
    world.stores.delete(3);
    world.settle();
    assert.deepEqual(world.storesOf(1), [1, 2, 5]);
  });

  test('a replica that does not catch up is given up after ten minutes', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.pending.add(100_001);
    world.round();
    world.now += 601_000;
    world.operators.advance(world.view());
    assert.equal(world.operators.size, 1, 'Adding was seen only now: the time starts again');
    world.now += 601_000;
    world.operators.advance(world.view());
    assert.equal(world.operators.size, 0);
  });

  test('an epoch that moved on by itself cancels the operator', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(3, { liveness: 'down' });
    world.pending.add(100_001);
    world.round();
    const meta = world.metas.get(1);
    assert.ok(meta);
    world.metas.set(1, { ...meta, epoch: { generation: 2, confVersion: meta.epoch.confVersion } });
    world.operators.advance(world.view());
    assert.equal(world.operators.size, 0);
  });

  test('too few voters are made up, too many are reduced without touching the leader', () => {
    const world = worldOf(4, [[1], [2, 1, 3, 4]]);
    world.settle();
    assert.equal(world.storesOf(1).length, 3);
    assert.equal(world.storesOf(2).length, 3);
    assert.ok(world.storesOf(2).includes(2));
  });

  test('a learner is promoted where a voter is missing, and removed where none is', () => {
    const world = worldOf(4, []);
    world.addShard(1, [1, 2], [3]);
    world.addShard(2, [1, 2, 3], [4]);
    assert.deepEqual(planned(world), ['promote', 'remove']);
  });

  test('a shard without quorum is left alone', () => {
    const world = worldOf(5, [[1, 2, 3]]);
    world.setStore(2, { liveness: 'down' });
    world.setStore(3, { liveness: 'down' });
    world.plans();
    world.now = BRAKE_MS * 2;
    assert.equal(world.leaderStore(1), 1);
    assert.deepEqual(planned(world), []);
  });
});

describe('brake', () => {
  test('lesson 13: two of six stores are down: nothing is copied for half an hour, then it is', () => {
    const world = worldOf(6, [
      [1, 2, 5],
      [3, 4, 6],
    ]);
    world.setStore(5, { liveness: 'down' });
    world.setStore(6, { liveness: 'down' });
    assert.deepEqual(planned(world), []);
    world.now += BRAKE_MS - 1;
    assert.deepEqual(planned(world), []);
    world.now += 1;
    assert.equal(planned(world).length, 2);
  });

  test('one of four stores down is an accident, two of four are a mass failure', () => {
    const world = worldOf(4, [[1, 2, 3, 4]]);
    world.setStore(4, { liveness: 'down' });
    assert.equal(watchForMassFailure(world.view(), RELEASED).since, undefined);
    world.setStore(3, { liveness: 'down' });
    assert.equal(watchForMassFailure(world.view(), RELEASED).since, world.now);
  });

  test('a dead store that holds nothing any more does not count', () => {
    const world = worldOf(6, [[1, 2, 3]]);
    for (const id of [3, 4, 5, 6]) world.setStore(id, { liveness: 'down' });
    assert.equal(watchForMassFailure(world.view(), RELEASED).since, undefined);
  });

  test('the stores come back: the brake is released at once', () => {
    const world = worldOf(6, [
      [1, 2, 5],
      [3, 4, 6],
    ]);
    world.setStore(5, { liveness: 'down' });
    world.setStore(6, { liveness: 'down' });
    world.plans();
    world.setStore(6, { liveness: 'up' });
    assert.equal(planned(world).length, 1);
  });
});

describe('drain', () => {
  test('a draining store hands over its leaders first, and then all its replicas', () => {
    const world = worldOf(4, [
      [1, 2, 3],
      [2, 1, 3],
    ]);
    world.setStore(1, { state: 'draining' });
    assert.deepEqual(planned(world), ['transfer-leader', 'move to 4']);
    world.settle();
    assert.deepEqual(world.storesOf(1), [2, 3, 4]);
    assert.deepEqual(world.storesOf(2), [2, 3, 4]);
    assert.equal(world.log.indexOf('transfer-leader') < world.log.indexOf('remove'), true);
  });

  test('a drain is cancelled half-way: the shard has its three voters again', () => {
    const world = worldOf(4, [[2, 1, 3]]);
    world.setStore(1, { state: 'draining' });
    world.round();
    world.setStore(1, { state: 'serving' });
    world.settle();
    assert.equal(world.storesOf(1).length, 3);
  });

  test('lesson 11: a drain that cannot go on says why', () => {
    const world = worldOf(4, [[1, 2, 3]]);
    world.setStore(1, { state: 'draining' });
    assert.equal(describeBlockedDrain(world.view(), 1), '');
    world.setStore(4, { liveness: 'disconnected' });
    assert.match(describeBlockedDrain(world.view(), 1), /3 replicas are wanted and only 2 other/);
    assert.deepEqual(
      planned(world).filter((plan) => plan !== 'transfer-leader'),
      [],
    );
  });
});

describe('placement', () => {
  test('a zone without siblings is better than an emptier store', () => {
    const world = new World();
    ['a', 'b', 'c', 'a', 'c'].forEach((zone, index) => {
      world.addStore(index + 1, { zone });
    });
    world.addShard(1, [1, 2, 3]);
    world.addShard(2, [1, 2, 5]);
    world.setStore(3, { liveness: 'down' });
    assert.equal(planned(world)[0], 'replace to 5');
  });

  test('a store that is full, unreachable or busy gets nothing', () => {
    const full = { capacityBytes: 100, freeBytes: 10 };
    for (const changes of [full, { isReachable: false }, { snapshotsReceiving: 2 }]) {
      const world = worldOf(4, [[1, 2, 3]]);
      world.setStore(3, { liveness: 'down' });
      world.setStore(4, changes);
      assert.deepEqual(planned(world), []);
    }
  });

  test('lesson 20: one round gives a store two snapshots at most', () => {
    const world = worldOf(
      4,
      Array.from({ length: 9 }, (_, index) => (index % 2 === 0 ? [1, 2, 3] : [2, 1, 3])),
    );
    world.setStore(3, { liveness: 'down' });
    assert.deepEqual(planned(world), ['replace to 4', 'replace to 4']);
  });

  test('small shards are copied in numbers, up to the same bytes', () => {
    const world = worldOf(
      4,
      Array.from({ length: 300 }, (_, index) => (index % 2 === 0 ? [1, 2, 3] : [2, 1, 3])),
    );
    world.sizeBytes = 1_000;
    world.setStore(3, { liveness: 'down' });
    assert.equal(planned(world).length, 32);
    for (let round = 0; round < 58; round += 1) world.round();
    assert.equal(world.log.filter((entry) => entry === 'add-learner').length, 240);
  });

  test('a store is given fifteen large replicas a minute at most', () => {
    const world = worldOf(
      4,
      Array.from({ length: 40 }, () => [1, 2, 3]),
    );
    world.setStore(3, { liveness: 'down' });
    for (let round = 0; round < 58; round += 1) world.round();
    assert.equal(world.log.filter((entry) => entry === 'add-learner').length, 15);
    for (let round = 0; round < 60; round += 1) world.round();
    assert.equal(world.log.filter((entry) => entry === 'add-learner').length, 30);
  });
});

describe('balance', () => {
  test('an empty store gets its share, and then nothing moves any more', () => {
    const world = worldOf(
      4,
      Array.from({ length: 8 }, () => [1, 2, 3]),
    );
    world.settle();
    assert.deepEqual(replicaCounts(world), [6, 6, 6, 6]);
    assert.deepEqual(planned(world), []);
  });

  test('leaders are spread without a snapshot, and do not swing', () => {
    const world = worldOf(
      3,
      Array.from({ length: 7 }, () => [1, 2, 3]),
    );
    world.settle();
    assert.deepEqual(leaderCounts(world).sort(), [2, 2, 3]);
    const transfers = world.log.filter((entry) => entry === 'transfer-leader').length;
    assert.equal(transfers, 2 * 4, 'Each of four leaders was planned once and moved once');
    assert.equal(world.log.includes('move'), false);
  });

  test('a difference of one is left alone', () => {
    const world = worldOf(3, [
      [1, 2, 3],
      [2, 3, 1],
    ]);
    assert.deepEqual(planned(world), []);
  });

  test('from any cluster the rounds come to rest, whole, even, and never without a quorum', () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const random = new SeededRandom(seed);
      const world = randomWorld(random);
      try {
        world.settle(2_000);
        assertWhole(world);
        assert.deepEqual(planned(world), []);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });

  test('stores that fall and return while everything moves never cost a quorum', () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const random = new SeededRandom(seed);
      const world = randomWorld(random);
      for (let round = 0; round < 120; round += 1) {
        if (random.below(6) === 0) disturb(world, random);
        world.round();
      }
      for (const id of world.stores.keys())
        world.setStore(id, { liveness: 'up', state: 'serving' });
      world.pending.clear();
      world.settle(2_000);
      assertWhole(world);
    }
  });
});

function replicaCounts(world: World): number[] {
  const counts = new Map([...world.stores.keys()].map((id) => [id, 0]));
  for (const meta of world.metas.values()) {
    for (const { storeId } of meta.replicas) counts.set(storeId, (counts.get(storeId) ?? 0) + 1);
  }
  return [...counts.values()];
}

function leaderCounts(world: World): number[] {
  const leaders = [...world.metas.keys()].map((id) => world.leaderStore(id));
  return [...world.stores.keys()].map((id) => leaders.filter((leader) => leader === id).length);
}

function assertWhole(world: World): void {
  for (const meta of world.metas.values()) {
    assert.equal(meta.replicas.length, world.maxReplicas, `shard ${meta.id}`);
    assert.ok(meta.replicas.every((replica) => replica.role === 'voter'));
    for (const { storeId } of meta.replicas) {
      assert.equal(world.stores.get(storeId)?.state, 'serving');
    }
  }
  const serving = [...world.stores.values()].filter((store) => store.state === 'serving');
  const counts = serving.map(
    (store) =>
      [...world.metas.keys()].filter((shardId) => world.storesOf(shardId).includes(store.id))
        .length,
  );
  const difference = Math.max(...counts) - Math.min(...counts);
  const isZoned = serving.some((store) => store.zone !== '');
  const tolerated = Math.max(1, (Math.max(...counts) * 5) / 100);
  if (!isZoned) assert.ok(difference <= tolerated, `replicas ${counts.join(', ')}`);
}

function randomWorld(random: Random): World {
  const world = new World();
  const isZoned = random.below(3) === 0;
  const count = 5 + random.below(3);
  for (let id = 1; id <= count; id += 1) {
    world.addStore(id, { zone: isZoned ? `zone ${random.below(3)}` : '' });
  }
  const shards = 1 + random.below(20);
  for (let id = 1; id <= shards; id += 1) {
    const order = [...world.stores.keys()];
    for (let at = order.length - 1; at > 0; at -= 1) {
      const other = random.below(at + 1);
      [order[at], order[other]] = [order[other] ?? 0, order[at] ?? 0];
    }
    const voters = 1 + random.below(4);
    world.addShard(id, order.slice(0, voters), order.slice(voters, voters + random.below(2)));
  }
  const unlucky = 1 + random.below(count);
  const fate = random.below(3);
  if (fate === 1) world.setStore(unlucky, { state: 'draining' });
  return world;
}

function disturb(world: World, random: Random): void {
  const id = 1 + random.below(world.stores.size);
  const fates: readonly Partial<StoreInfo>[] = [
    { liveness: 'down' },
    { liveness: 'disconnected' },
    { liveness: 'up' },
    { liveness: 'up' },
    { state: 'draining' },
    { state: 'serving' },
  ];
  world.setStore(id, fates[random.below(fates.length)] ?? {});
  if (random.below(2) === 0) world.pending.clear();
  else for (const operator of world.operators.all()) world.pending.add(operator.newId);
}
