import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Scheduler } from '../../../test/sim/scheduler.ts';
import { SimulatedClock } from '../../../test/sim/simulated-clock.ts';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SeededRandom } from '../../kernel/random.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { EXCHANGE_REQUESTS, EXCHANGE_RESPONSES } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type * as protocol from '../prophet/protocol.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { CallOptions } from '../transport/transport.ts';
import { AddressBook } from './address-book.ts';
import { descriptorOf } from './cluster-suite.ts';
import { createCallHandler } from './peer-handlers.ts';
import { ProphetClient } from './prophet-client.ts';
import type { ProphetService } from './prophet-service.ts';

const SHARD: ShardMeta = {
  id: 4,
  start: utf8('a'),
  end: utf8('m'),
  epoch: { generation: 3, confVersion: 5 },
  replicas: [
    { replicaId: 41, storeId: 1, role: 'voter' },
    { replicaId: 42, storeId: 2, role: 'learner' },
  ],
};

const CLUSTER: protocol.ClusterResponse = {
  clusterId: 'test',
  bootstrapped: true,
  maxReplicas: 3,
  prophetLeaderReplicaId: 2,
  prophetTerm: 7,
  stores: 4,
  storesUp: 3,
  shards: 9,
  shardsUnderReplicated: 1,
  shardsWithoutLeader: 0,
};

const STATUS: protocol.StoreStatus = {
  store: { ...descriptorOf(3), labels: { zone: 'a' }, isProphetMember: true },
  state: 'draining',
  shards: 3,
  leaders: 1,
  sizeBytes: 5000,
  lastHeartbeatMs: 120,
  blockedBy: 'Too few stores',
  capacityBytes: 2 ** 40,
  freeBytes: 2 ** 39,
};

const REPORT: protocol.ShardReport = {
  shard: SHARD,
  term: 8,
  leaderReplicaId: 41,
  health: [{ replicaId: 42, downSeconds: 12, isPending: true }],
  sizeBytes: 77,
  keys: 3,
};

const HEARTBEAT: protocol.StoreHeartbeatRequest = {
  storeId: 1,
  incarnation: 2,
  nonce: utf8('nonce'),
  capacityBytes: 2 ** 40,
  freeBytes: 9,
  sizeBytes: 8,
  shards: 7,
  leaders: 6,
  snapshotsSending: 1,
  snapshotsReceiving: 2,
  reports: [REPORT],
  isComplete: true,
};

const STEPS: protocol.Step[] = [
  { type: 'add-learner', replicaId: 50, storeId: 3 },
  { type: 'promote', replicaId: 50 },
  { type: 'remove', replicaId: 42 },
  { type: 'transfer-leader', replicaId: 50 },
  { type: 'split', keys: [utf8('c'), utf8('d')] },
];

const HEARD: protocol.StoreHeartbeatResponse = {
  prophetTerm: 7,
  steps: STEPS.map((step) => ({ shardId: 4, epoch: SHARD.epoch, step })),
  initialShards: [SHARD],
  stores: [descriptorOf(1), STATUS.store],
};

const ROUTES: protocol.RoutesResponse = {
  routes: [
    { shard: SHARD, leader: { replicaId: 41, storeId: 1, term: 8 }, sizeBytes: 9, keys: 2 },
    { shard: { ...SHARD, id: 5, start: utf8('m'), end: EMPTY }, sizeBytes: 0, keys: 0 },
  ],
};

/** One member of Prophet: answers while it leads, and keeps what it was asked. */
class Member implements ProphetService {
  readonly asked: unknown[] = [];
  /** What it does instead of answering. */
  refusal: MatrixError | undefined;
  term = 7;

  registerStore(request: protocol.RegisterStoreRequest): Promise<protocol.RegisterStoreResponse> {
    return this.#answer(request, { storeId: 9, initialShards: [SHARD] });
  }

  storeHeartbeat(
    request: protocol.StoreHeartbeatRequest,
  ): Promise<protocol.StoreHeartbeatResponse> {
    return this.#answer(request, { ...HEARD, prophetTerm: this.term });
  }

  allocateIds(count: number): Promise<protocol.AllocateIdsResponse> {
    return this.#answer(count, { first: 1000 });
  }

  routes(request: protocol.RoutesRequest): Promise<protocol.RoutesResponse> {
    return this.#answer(request, ROUTES);
  }

  stores(): Promise<protocol.StoresResponse> {
    return this.#answer('stores', { stores: [STATUS] });
  }

  cluster(): Promise<protocol.ClusterResponse> {
    return this.#answer('cluster', { ...CLUSTER, prophetTerm: this.term });
  }

  drain(storeId: number): Promise<void> {
    return this.#answer(['drain', storeId], undefined);
  }

  cancelDrain(storeId: number): Promise<void> {
    return this.#answer(['cancel', storeId], undefined);
  }

  probeMember(request: protocol.ProbeMemberRequest): Promise<protocol.ProbeMemberResponse> {
    return this.#answer(request, { hasTakenPart: true });
  }

  #answer<Answer>(request: unknown, answer: Answer): Promise<Answer> {
    this.asked.push(request);
    return this.refusal === undefined ? Promise.resolve(answer) : Promise.reject(this.refusal);
  }
}

class TestMembers {
  readonly scheduler = new Scheduler();
  readonly clock = new SimulatedClock({ scheduler: this.scheduler });
  readonly members = [new Member(), new Member(), new Member()];
  readonly dead = new Set<number>();
  readonly calls: number[] = [];
  readonly addressBook = new AddressBook(
    ['c', 'a', 'b'].map((name) => ({ name, address: `member-${name}` })),
  );

  /** `at`: the replica id of the member on the client's own node. */
  client(at?: number): ProphetClient {
    const { clock, addressBook } = this;
    return new ProphetClient({
      clock,
      addressBook,
      random: new SeededRandom(3),
      transport: { call: (address, request, options) => this.#call(address, request, options) },
      ...(at === undefined ? {} : { local: { replicaId: at, prophet: this.member(at) } }),
    });
  }

  member(replicaId: number): Member {
    const member = this.members[replicaId - 1];
    if (member === undefined) throw new Error(`No member ${replicaId}`);
    return member;
  }

  lead(replicaId: number, options: { readonly isHinted: boolean }): void {
    for (const [index, member] of this.members.entries()) {
      const hint = options.isHinted ? { hint: { leader: { replicaId, storeId: 0, term: 7 } } } : {};
      member.refusal =
        index + 1 === replicaId ? undefined : new MatrixError('NOT_LEADER', 'Leads not', hint);
    }
  }

  async settle<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    promise.then(mark, mark);
    await this.scheduler.run({ untilMs: this.scheduler.now() + 600_000, until: () => isSettled });
    return promise;
  }

  async #call(address: string, sent: PeerRequest, options: CallOptions): Promise<PeerResponse> {
    const replicaId = 'abc'.indexOf(address.slice(-1)) + 1;
    this.calls.push(replicaId);
    await new Promise<void>((resolve) => {
      this.clock.after(1, resolve);
    });
    if (this.dead.has(replicaId)) throw new MatrixError('UNAVAILABLE', `${address} is dead`);
    const frame = EXCHANGE_REQUESTS.encode({ calls: [{ id: 1n, request: sent }] });
    const request = EXCHANGE_REQUESTS.decode(frame).calls[0]?.request;
    assert.ok(request);
    const handle = createCallHandler({
      localStore: () => undefined,
      prophet: () => this.member(replicaId),
      addressBook: this.addressBook,
      onFatal: (error) => assert.fail(String(error)),
    });
    const response = await handle(request, { storeId: 0, address: '' }, options);
    const bytes = EXCHANGE_RESPONSES.encode({ answers: [{ id: 1n, response }] });
    const answer = EXCHANGE_RESPONSES.decode(bytes).answers[0]?.response;
    assert.ok(answer);
    if (answer.response.case === 'error') throw fromErrorMessage(answer.response.value);
    return answer;
  }
}

/** Bytes that came over a wire are Buffers here and plain arrays there. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}

describe('ProphetClient', () => {
  test('every call arrives as it was asked and comes back as it was answered', async () => {
    const world = new TestMembers();
    world.lead(1, { isHinted: true });
    const client = world.client();
    const registration = {
      store: { ...STATUS.store, id: 0 },
      incarnation: 3,
      nonce: utf8('nonce'),
    };
    const probe = { name: 'a', nonce: utf8('disk') };
    const range = { start: utf8('a'), end: EMPTY, limit: 5 };
    const answers = [
      await world.settle(client.registerStore(registration, 1000)),
      await world.settle(client.storeHeartbeat(HEARTBEAT, 1000)),
      await world.settle(client.allocateIds(12, 1000)),
      await world.settle(client.routes(range, 1000)),
      await world.settle(client.stores(1000)),
      await world.settle(client.cluster(1000)),
      await world.settle(client.drain(3, 1000)),
      await world.settle(client.cancelDrain(4, 1000)),
      await world.settle(client.probeMember(probe, 1000)),
    ];
    const asked = [registration, HEARTBEAT, 12, range, 'stores', 'cluster'];
    assert.deepEqual(
      plain(world.member(1).asked),
      plain([...asked, ['drain', 3], ['cancel', 4], probe]),
    );
    const wanted = [
      { storeId: 9, initialShards: [SHARD] },
      HEARD,
      { first: 1000 },
      ROUTES,
      { stores: [STATUS] },
      CLUSTER,
      undefined,
      undefined,
      { hasTakenPart: true },
    ];
    assert.deepEqual(plain(answers), plain(wanted));
  });

  test('a hint leads to the leader, who is remembered', async () => {
    const world = new TestMembers();
    world.lead(3, { isHinted: true });
    const client = world.client();
    await world.settle(client.cluster(1000));
    await world.settle(client.cluster(1000));
    assert.deepEqual(world.calls, [1, 3, 3]);
  });

  test('lesson 21: another leader is found when the old one is dead, with and without hints', async () => {
    for (const isHinted of [true, false]) {
      const world = new TestMembers();
      world.lead(1, { isHinted });
      const client = world.client();
      await world.settle(client.cluster(1000));
      world.dead.add(1);
      world.lead(3, { isHinted });
      await world.settle(client.cluster(world.clock.now() + 1000));
      assert.equal(world.calls.at(-1), 3);
      assert.ok(world.calls.length <= 4);
    }
  });

  test('the member on this node is asked without the network, and others when it does not lead', async () => {
    const world = new TestMembers();
    world.lead(2, { isHinted: true });
    const client = world.client(2);
    await world.settle(client.cluster(1000));
    assert.deepEqual(
      world.calls.filter((replicaId) => replicaId === 2),
      [],
    );
    world.lead(1, { isHinted: true });
    await world.settle(client.cluster(1000));
    assert.equal(world.calls.at(-1), 1);
  });

  test('the answer of a leader that was replaced is dropped', async () => {
    const world = new TestMembers();
    world.lead(1, { isHinted: false });
    const client = world.client();
    world.member(1).term = 8;
    await world.settle(client.cluster(1000));
    world.member(1).term = 7;
    world.member(2).refusal = undefined;
    world.member(2).term = 9;
    const { prophetTerm } = await world.settle(client.cluster(1000));
    assert.equal(prophetTerm, 9);
  });

  test('what no other member would answer differently comes back at once', async () => {
    const world = new TestMembers();
    world.lead(1, { isHinted: false });
    world.member(1).refusal = new MatrixError('PRECONDITION_FAILED', 'Three stores are needed');
    await assert.rejects(
      world.settle(world.client().drain(1, 1000)),
      (error) => error instanceof MatrixError && error.text === 'Three stores are needed',
    );
    assert.deepEqual(world.calls, [1]);
  });

  test('members are asked again and again until the deadline, with pauses', async () => {
    const world = new TestMembers();
    for (const replicaId of [1, 2, 3]) world.dead.add(replicaId);
    const asking = world.settle(world.client().cluster(5000));
    await assert.rejects(
      asking,
      (error) => error instanceof MatrixError && error.code === 'TIMEOUT',
    );
    assert.ok(world.clock.now() >= 5000);
    assert.ok(world.calls.length > 10 && world.calls.length < 200, `${world.calls.length} calls`);
  });

  test('members have the ids that the order of their names gives them', () => {
    const { addressBook } = new TestMembers();
    assert.deepEqual(
      addressBook.members.map(({ replicaId, name }) => [replicaId, name]),
      [
        [1, 'a'],
        [2, 'b'],
        [3, 'c'],
      ],
    );
    assert.equal(addressBook.memberAddress(2), 'member-b');
    assert.equal(addressBook.memberAddress(4), undefined);
  });
});
