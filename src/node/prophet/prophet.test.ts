// Prophet as the other nodes see it, on a group of one member that commits at once.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EMPTY, toMapKey, utf8 } from '../../kernel/bytes.ts';
import type { Clock, Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { ApplyBatch, GroupStatus, ReplicatedGroup } from '../shard/state-machine.ts';
import { Prophet } from './prophet.ts';
import type { ProphetConfig } from './prophet-config.ts';
import { DEFAULT_PROPHET_CONFIG } from './prophet-config.ts';
import { ProphetMachine } from './prophet-machine.ts';
import type { ShardReport, StoreHeartbeatRequest, StoreHeartbeatResponse } from './protocol.ts';

const LATER = Number.POSITIVE_INFINITY;

/** Time that passes only when a test says so. */
class HandClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  pass(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
    for (const timer of due) timer.callback();
  }
}

/** A group of one member: everything is committed as soon as it is proposed. */
class LoneGroup implements ReplicatedGroup {
  isLeading = true;
  term = 1;
  readonly #machine: ProphetMachine;
  readonly #entries = new Map<string, Uint8Array>();
  #index = 0;

  constructor(machine: ProphetMachine) {
    this.#machine = machine;
  }

  async propose(command: Uint8Array): Promise<Uint8Array> {
    if (!this.isLeading) throw new MatrixError('NOT_LEADER', 'Not the leader');
    const batch: ApplyBatch = {
      get: (key) => this.#entries.get(toMapKey(key)),
      put: (key, value) => {
        this.#entries.set(toMapKey(key), value);
      },
      delete: (key) => {
        this.#entries.delete(toMapKey(key));
      },
    };
    this.#index += 1;
    return this.#machine.apply({ term: this.term, index: this.#index }, command, batch);
  }

  async barrier(): Promise<void> {
    if (!this.isLeading) throw new MatrixError('NOT_LEADER', 'Not the leader');
  }

  status(): GroupStatus {
    return { isReadyLeader: this.isLeading, term: this.term, leader: this.isLeading ? 1 : 2 };
  }
}

class Setting {
  readonly clock = new HandClock();
  readonly machine = new ProphetMachine();
  readonly group = new LoneGroup(this.machine);
  readonly prophet: Prophet;

  constructor(changes: Partial<ProphetConfig> = {}) {
    this.prophet = new Prophet({
      clock: this.clock,
      observer: SILENT,
      group: this.group,
      machine: this.machine,
      config: { ...DEFAULT_PROPHET_CONFIG, storeDownMs: 20_000, prepareMs: 5_000, ...changes },
      clusterId: 'c1',
      memberNames: ['n1', 'n2', 'n3'],
    });
  }

  async register(name: string, nonce = `disk of ${name}`, incarnation = 1): Promise<number> {
    const store = {
      id: 0,
      name,
      address: `${name}:1`,
      httpAddress: `${name}:2`,
      version: '1.0.0',
      labels: {},
      isProphetMember: false,
    };
    const request = { store, incarnation, nonce: utf8(nonce) };
    return (await this.prophet.registerStore(request, LATER)).storeId;
  }

  /** Patrols until the proposals that it makes of its own accord have been applied. */
  async tick(): Promise<void> {
    for (let round = 0; round < 4; round += 1) {
      this.prophet.tick();
      await settled();
    }
  }

  heartbeat(storeId: number, changes: Partial<StoreHeartbeatRequest> = {}) {
    const record = this.machine.state.stores.get(storeId);
    return this.prophet.storeHeartbeat({
      storeId,
      incarnation: 1,
      nonce: record?.nonce ?? EMPTY,
      capacityBytes: 0,
      freeBytes: 0,
      sizeBytes: 0,
      shards: 1,
      leaders: 0,
      snapshotsSending: 0,
      snapshotsReceiving: 0,
      reports: [],
      isComplete: false,
      ...changes,
    });
  }

  onlyShard(): ShardMeta {
    const [shard] = [...this.machine.state.shards.values()];
    assert.ok(shard);
    return shard;
  }

  /** A cluster of so many stores with its first shard, led and reported by store 1. */
  static async running(stores: number, changes: Partial<ProphetConfig> = {}): Promise<Setting> {
    const setting = new Setting({ bootstrapExpect: 3, ...changes });
    for (let id = 1; id <= stores; id += 1) await setting.register(`n${id}`);
    await setting.tick();
    await setting.heartbeat(1, { reports: [reportOf(setting.onlyShard())] });
    return setting;
  }
}

/** Lets everything that was resolved by now run to its end. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function reportOf(shard: ShardMeta, changes: Partial<ShardReport> = {}): ShardReport {
  const leaderReplicaId = shard.replicas.find((replica) => replica.storeId === 1)?.replicaId ?? 0;
  return { shard, term: 6, leaderReplicaId, health: [], sizeBytes: 10, keys: 2, ...changes };
}

function refusedWith(code: string): (error: unknown) => boolean {
  return (error) => error instanceof MatrixError && error.code === code;
}

function namesOf(answer: StoreHeartbeatResponse): readonly string[] {
  return answer.stores.map((store) => store.name);
}

describe('bootstrap', () => {
  test('the first shard is made once enough stores are there, with all replicas', async () => {
    const setting = new Setting();
    await setting.register('n1');
    await setting.register('n2');
    await setting.tick();
    assert.equal(setting.machine.state.cluster.isBootstrapped, false);
    await setting.register('n3');
    await setting.tick();
    const shard = setting.onlyShard();
    assert.deepEqual(
      shard.replicas.map((replica) => replica.storeId),
      [1, 2, 3],
    );
    assert.equal((await setting.prophet.cluster(LATER)).bootstrapped, true);
  });

  test('a lone store is enough when one is expected, and others join later', async () => {
    const setting = new Setting({ bootstrapExpect: 1 });
    await setting.register('n1');
    await setting.tick();
    assert.equal(setting.onlyShard().replicas.length, 1);
    await setting.register('n2');
    await setting.heartbeat(1, { reports: [reportOf(setting.onlyShard())] });
    await setting.tick();
    const { steps } = await setting.heartbeat(1);
    assert.equal(steps[0]?.step.type, 'add-learner');
  });

  test('a store is told its first shards until their leader hears it', async () => {
    const setting = await Setting.running(4);
    const shard = setting.onlyShard();
    const silent = {
      replicaId: shard.replicas[2]?.replicaId ?? 0,
      downSeconds: 3,
      isPending: true,
    };
    await setting.heartbeat(1, { reports: [reportOf(shard, { health: [silent] })] });
    assert.deepEqual((await setting.heartbeat(3)).initialShards, [shard]);
    assert.deepEqual((await setting.heartbeat(4)).initialShards, []);
    await setting.heartbeat(1, { reports: [reportOf(shard)] });
    assert.deepEqual((await setting.heartbeat(3)).initialShards, []);
  });
});

describe('identity', () => {
  test('a heartbeat of a wrong disk, an older process or a stranger is refused for good', async () => {
    const setting = await Setting.running(3);
    const refused = refusedWith('STORE_MISMATCH');
    await assert.rejects(setting.heartbeat(2, { nonce: utf8('other') }), refused);
    await assert.rejects(setting.heartbeat(9), refused);
    await setting.heartbeat(2, { incarnation: 3 });
    await assert.rejects(setting.heartbeat(2, { incarnation: 2 }), refused);
    await setting.register('n3', 'disk of n3', 7);
    await assert.rejects(setting.heartbeat(3, { incarnation: 6 }), refused);
  });

  test('lesson 12: a node that lost its disk is a new store; the old one goes down and is replaced', async () => {
    const setting = await Setting.running(3);
    const fresh = await setting.register('n3', 'a new disk');
    assert.equal(fresh > 3, true);
    const { stores } = await setting.prophet.stores(LATER);
    assert.deepEqual(
      stores.map(({ store }) => store.address),
      ['n1:1', 'n2:1', '', 'n3:1'],
    );
    setting.clock.pass(20_000);
    const shard = setting.onlyShard();
    const dead = shard.replicas[2]?.replicaId ?? 0;
    const health = [{ replicaId: dead, downSeconds: 20, isPending: false }];
    await setting.heartbeat(2);
    await setting.heartbeat(fresh);
    await setting.heartbeat(1, { reports: [reportOf(shard, { health })] });
    await setting.tick();
    const answer = await setting.heartbeat(1);
    assert.deepEqual(namesOf(answer), ['n1', 'n2', 'n3']);
    const [step] = answer.steps;
    assert.ok(step?.step.type === 'add-learner');
    assert.equal(step.step.storeId, fresh);
    assert.deepEqual(step.epoch, shard.epoch);
    assert.equal((await setting.prophet.stores(LATER)).stores[2]?.state, 'down');
  });

  test('a replica of a shard that a split made is younger than every id of that split', async () => {
    const setting = await Setting.running(4);
    const [one, two, three] = setting.onlyShard().replicas;
    assert.ok(one && two && three);
    const lone = { ...setting.onlyShard(), replicas: [one, two] };
    const beat = async (shard: ShardMeta) => {
      for (const storeId of [2, 3, 4]) await setting.heartbeat(storeId);
      await setting.heartbeat(1, { reports: [reportOf(shard)] });
      await setting.tick();
      return (await setting.heartbeat(1)).steps;
    };
    // The first missing voter makes the leader fetch a pool of ids.
    const newer = { ...lone.epoch, confVersion: lone.epoch.confVersion + 1 };
    const [early] = await beat({ ...lone, epoch: newer });
    assert.ok(early?.step.type === 'add-learner');
    const { first } = await setting.prophet.allocateIds(3, LATER);
    const created: ShardMeta = {
      ...lone,
      id: first,
      replicas: [
        { ...one, replicaId: first + 1 },
        { ...two, replicaId: first + 2 },
      ],
      epoch: { generation: newer.generation + 1, confVersion: newer.confVersion },
    };
    const steps = await beat(created);
    const late = steps.find((step) => step.shardId === first);
    assert.ok(late?.step.type === 'add-learner');
    assert.ok(late.step.replicaId > first + 2, `${late.step.replicaId} after ${first + 2}`);
  });

  test('a member with an empty disk is told that its name has taken part', async () => {
    const setting = new Setting();
    const probe = (nonce: string, name = 'n1') =>
      setting.prophet.probeMember({ name, nonce: utf8(nonce) }, LATER);
    assert.deepEqual(await probe(''), { hasTakenPart: false });
    assert.deepEqual(await probe('first disk'), { hasTakenPart: false });
    assert.deepEqual(await probe('first disk'), { hasTakenPart: false });
    assert.deepEqual(await probe('second disk'), { hasTakenPart: true });
    assert.deepEqual(await probe(''), { hasTakenPart: true });
    await assert.rejects(probe('disk', 'stranger'), refusedWith('INVALID_ARGUMENT'));
  });

  test('a data directory of another cluster is refused', async () => {
    const setting = await Setting.running(3);
    const prophet = new Prophet({
      clock: setting.clock,
      observer: SILENT,
      group: setting.group,
      machine: setting.machine,
      config: DEFAULT_PROPHET_CONFIG,
      clusterId: 'c2',
      memberNames: [],
    });
    await assert.rejects(prophet.cluster(LATER), refusedWith('STORE_MISMATCH'));
  });
});

describe('leadership', () => {
  test('a member that does not lead refuses everything and names the leader', async () => {
    const setting = await Setting.running(3);
    setting.group.isLeading = false;
    const calls = [
      setting.prophet.allocateIds(1, LATER),
      setting.prophet.routes({ start: EMPTY, end: EMPTY, limit: 0 }, LATER),
      setting.prophet.stores(LATER),
      setting.prophet.cluster(LATER),
      setting.prophet.drain(1, LATER),
      setting.prophet.cancelDrain(1, LATER),
      setting.heartbeat(1),
      setting.register('n1'),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof MatrixError);
        assert.equal(error.code, 'NOT_LEADER');
        return error.hint?.leader?.replicaId === 2;
      });
    }
  });

  test('ids are consecutive, and no two calls get the same', async () => {
    const setting = await Setting.running(3);
    const { first } = await setting.prophet.allocateIds(5, LATER);
    setting.group.term += 1;
    assert.ok((await setting.prophet.allocateIds(1, LATER)).first >= first + 5);
    await assert.rejects(setting.prophet.allocateIds(0, LATER), refusedWith('INVALID_ARGUMENT'));
  });

  test('lesson 21: a new leader serves routes at once, and moves nothing before it is prepared', async () => {
    const setting = await Setting.running(4);
    setting.group.term += 1;
    const request = { start: EMPTY, end: EMPTY, limit: 0 };
    const [before] = (await setting.prophet.routes(request, LATER)).routes;
    assert.equal(before?.shard.id, setting.onlyShard().id);
    assert.equal(before.leader, undefined);
    await setting.prophet.drain(2, LATER);
    await setting.tick();
    assert.deepEqual((await setting.heartbeat(1)).steps, []);
    assert.match(
      (await setting.prophet.stores(LATER)).stores[1]?.blockedBy ?? '',
      /waits for reports/,
    );
    await setting.heartbeat(4);
    await setting.heartbeat(1, { reports: [reportOf(setting.onlyShard())] });
    await setting.tick();
    assert.equal((await setting.heartbeat(1)).steps.length, 1);
    const [after] = (await setting.prophet.routes(request, LATER)).routes;
    assert.equal(after?.leader?.storeId, 1);
  });

  test('lesson 21: half of the shards reported is too little to move one, four fifths are not', async () => {
    const setting = await Setting.running(4, { initialSplitKeys: [utf8('m')] });
    setting.group.term += 1;
    await setting.heartbeat(4);
    const [first, second] = [...setting.machine.state.shards.values()];
    assert.ok(first && second);
    await setting.prophet.drain(2, LATER);
    await setting.heartbeat(1, { reports: [reportOf(first)] });
    await setting.tick();
    assert.deepEqual((await setting.heartbeat(1)).steps, []);
    await setting.heartbeat(1, { reports: [reportOf(second)] });
    await setting.tick();
    assert.equal((await setting.heartbeat(1)).steps.length, 2);
  });

  test('a fail-over of Prophet restarts the time of every store', async () => {
    const setting = await Setting.running(3);
    setting.clock.pass(20_000);
    assert.equal((await setting.prophet.cluster(LATER)).storesUp, 0);
    setting.group.term += 1;
    assert.equal((await setting.prophet.cluster(LATER)).storesUp, 3);
  });

  test('the patrol runs by the clock from start to stop', async () => {
    const setting = new Setting({ bootstrapExpect: 1 });
    await setting.register('n1');
    setting.prophet.start();
    for (let round = 0; round < 3; round += 1) {
      setting.clock.pass(DEFAULT_PROPHET_CONFIG.patrolMs);
      await settled();
    }
    assert.equal(setting.machine.state.cluster.isBootstrapped, true);
    setting.prophet.stop();
    setting.clock.pass(60_000);
    await settled();
    assert.equal(setting.machine.state.shards.size, 1);
  });
});

describe('shards', () => {
  test('a new epoch is written within a second, an old one never', async () => {
    const setting = await Setting.running(3);
    const shard = setting.onlyShard();
    const newer = { ...shard, epoch: { generation: 1, confVersion: 4 } };
    await setting.heartbeat(1, { reports: [reportOf(newer)] });
    await setting.heartbeat(1, { reports: [reportOf(shard)] });
    setting.clock.pass(1_000);
    await setting.tick();
    assert.deepEqual(setting.onlyShard(), newer);
  });

  test('the two halves of a split are served, whoever reports first', async () => {
    const setting = await Setting.running(3);
    const shard = setting.onlyShard();
    const epoch = { generation: 2, confVersion: 1 };
    const { first } = await setting.prophet.allocateIds(4, LATER);
    const left = {
      ...shard,
      id: first,
      end: utf8('m'),
      epoch,
      replicas: shard.replicas.map((one, at) => ({ ...one, replicaId: first + 1 + at })),
    };
    const right = { ...shard, start: utf8('m'), epoch };
    const routed = async () => {
      const { routes } = await setting.prophet.routes(
        { start: EMPTY, end: EMPTY, limit: 0 },
        LATER,
      );
      return routes.map(
        (route) => `${route.shard.id === shard.id ? 'old' : 'new'} ${route.shard.epoch.generation}`,
      );
    };
    await setting.heartbeat(1, { reports: [reportOf(right)] });
    assert.deepEqual(await routed(), ['old 1', 'old 2']);
    await setting.heartbeat(1, { reports: [reportOf(left)] });
    assert.deepEqual(await routed(), ['new 2', 'old 2']);
  });

  test('the cluster is described by what lives, not by what was written', async () => {
    const setting = await Setting.running(3);
    setting.clock.pass(11_000);
    await setting.heartbeat(1);
    await setting.heartbeat(2);
    const cluster = await setting.prophet.cluster(LATER);
    assert.equal(cluster.clusterId, 'c1');
    assert.equal(cluster.storesUp, 2);
    assert.equal(cluster.shardsUnderReplicated, 1);
    assert.equal(cluster.shardsWithoutLeader, 0);
    setting.clock.pass(11_000);
    assert.equal((await setting.prophet.cluster(LATER)).shardsWithoutLeader, 1);
  });
});

describe('drain', () => {
  test('lesson 11: draining a store of three is refused with the reason', async () => {
    const setting = await Setting.running(3);
    await assert.rejects(
      setting.prophet.drain(3, LATER),
      (error) =>
        error instanceof MatrixError &&
        error.code === 'PRECONDITION_FAILED' &&
        error.text ===
          'Cannot drain store 3 as 3 replicas are wanted and only 2 other stores serve',
    );
    await assert.rejects(setting.prophet.drain(9, LATER), refusedWith('NOT_FOUND'));
  });

  test('lesson 11: a spare that is down is no reason to begin', async () => {
    const setting = await Setting.running(4);
    setting.clock.pass(20_000);
    for (const id of [1, 2, 3]) await setting.heartbeat(id);
    await assert.rejects(setting.prophet.drain(3, LATER), refusedWith('PRECONDITION_FAILED'));
  });

  test('a drained store is removed only when it and all leaders say that it is empty', async () => {
    const setting = await Setting.running(4);
    await setting.prophet.drain(3, LATER);
    await setting.heartbeat(4);
    const stateOf = async () => (await setting.prophet.stores(LATER)).stores[2]?.state;
    assert.equal(await stateOf(), 'draining');
    let shard = setting.onlyShard();
    for (let round = 0; round < 6; round += 1) {
      await setting.tick();
      const [next] = (await setting.heartbeat(1)).steps;
      if (next === undefined) break;
      shard = withStep(shard, next.step);
      await setting.heartbeat(1, { reports: [reportOf(shard)] });
      setting.clock.pass(1_000);
    }
    assert.deepEqual(
      shard.replicas.map((replica) => replica.storeId),
      [1, 2, 4],
    );
    await setting.tick();
    assert.equal(await stateOf(), 'draining', 'The store itself still counts a replica');
    await setting.heartbeat(3, { shards: 0 });
    await setting.tick();
    assert.equal(await stateOf(), 'removed');
    await assert.rejects(setting.heartbeat(3), refusedWith('STORE_REMOVED'));
  });

  test('a new leader removes no store before every shard has reported', async () => {
    const setting = await Setting.running(4);
    setting.group.term += 1;
    await setting.prophet.drain(4, LATER);
    await setting.heartbeat(4, { shards: 0 });
    await setting.tick();
    assert.equal((await setting.prophet.stores(LATER)).stores[3]?.state, 'draining');
    await setting.heartbeat(1, { reports: [reportOf(setting.onlyShard())] });
    await setting.tick();
    assert.equal((await setting.prophet.stores(LATER)).stores[3]?.state, 'removed');
  });

  test('a drain can be cancelled', async () => {
    const setting = await Setting.running(4);
    await setting.prophet.drain(3, LATER);
    await setting.prophet.cancelDrain(3, LATER);
    assert.equal((await setting.prophet.stores(LATER)).stores[2]?.state, 'up');
  });
});

/** The shard after its leader did the step. */
function withStep(
  shard: ShardMeta,
  step: StoreHeartbeatResponse['steps'][number]['step'],
): ShardMeta {
  assert.ok(step.type !== 'split' && step.type !== 'transfer-leader');
  const { generation, confVersion } = shard.epoch;
  const rest = shard.replicas.filter((replica) => replica.replicaId !== step.replicaId);
  const known = shard.replicas.find((replica) => replica.replicaId === step.replicaId);
  const storeId = step.type === 'add-learner' ? step.storeId : (known?.storeId ?? 0);
  const role = step.type === 'promote' ? 'voter' : 'learner';
  const replicas =
    step.type === 'remove'
      ? rest
      : [...rest, { replicaId: step.replicaId, storeId, role } as const];
  return { ...shard, replicas, epoch: { generation, confVersion: confVersion + 1 } };
}
