import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import type * as protocol from '../prophet/protocol.ts';
import { AddressBook } from './address-book.ts';
import { descriptorOf, TestCluster } from './cluster-suite.ts';
import { ProphetLink } from './prophet-link.ts';
import type { ProphetService } from './prophet-service.ts';

const NOT_ASKED = (): Promise<never> => Promise.reject(new Error('Not asked in these tests'));

/** A link of store 1 to a Prophet that the test plays. */
class TestLink {
  readonly cluster = new TestCluster();
  readonly store = this.cluster.store(1);
  readonly addressBook = new AddressBook([]);
  readonly heartbeats: protocol.StoreHeartbeatRequest[] = [];
  readonly registrations: protocol.RegisterStoreRequest[] = [];
  readonly fatal: unknown[] = [];
  answer: Partial<protocol.StoreHeartbeatResponse> = {};
  failure: MatrixError | undefined;
  probe: () => Promise<void> = () => Promise.resolve();
  readonly link = new ProphetLink({
    clock: this.cluster.clock,
    random: this.cluster.random,
    observer: SILENT,
    prophet: this.#prophet(),
    addressBook: this.addressBook,
    descriptor: descriptorOf(0),
    incarnation: 4,
    nonce: utf8('disk'),
    probe: () => this.probe(),
    measure: async () => ({
      capacityBytes: 1000,
      freeBytes: 600,
      snapshotsSending: 1,
      snapshotsReceiving: 2,
    }),
    onFatal: (error) => {
      this.fatal.push(error);
    },
  });

  reportedIds(): number[][] {
    return this.heartbeats.map(({ reports }) => reports.map(({ shard }) => shard.id));
  }

  #prophet(): ProphetService {
    return {
      registerStore: (request) => {
        this.registrations.push(request);
        return this.#reply({ storeId: 1, initialShards: [] });
      },
      storeHeartbeat: (request) => {
        this.heartbeats.push(request);
        const response = { prophetTerm: 3, steps: [], initialShards: [], stores: [] };
        return this.#reply({ ...response, ...this.answer });
      },
      allocateIds: (count) => this.#reply({ first: 500 + count }),
      routes: NOT_ASKED,
      stores: NOT_ASKED,
      cluster: NOT_ASKED,
      drain: NOT_ASKED,
      cancelDrain: NOT_ASKED,
      probeMember: NOT_ASKED,
    };
  }

  #reply<Answer>(answer: Answer): Promise<Answer> {
    return this.failure === undefined ? Promise.resolve(answer) : Promise.reject(this.failure);
  }
}

describe('ProphetLink', () => {
  test('registration is repeated until Prophet answers', async () => {
    const world = new TestLink();
    world.failure = new MatrixError('TIMEOUT', 'Nobody leads');
    const registering = world.link.register();
    await world.cluster.pass(5000);
    world.failure = undefined;
    const { storeId } = await world.cluster.settle(registering);
    assert.equal(storeId, 1);
    assert.ok(world.registrations.length > 3);
    assert.equal(new Set(world.registrations.map(({ nonce }) => nonce)).size, 1);
  });

  test('a store that must not run is told so while it registers', async () => {
    const world = new TestLink();
    world.failure = new MatrixError('STORE_REMOVED', 'Store was removed');
    await assert.rejects(
      world.cluster.settle(world.link.register()),
      (error) => error instanceof MatrixError && error.code === 'STORE_REMOVED',
    );
    assert.equal(world.registrations.length, 1);
  });

  test('the first heartbeat is complete, the next ones tell only what changed', async () => {
    const world = new TestLink();
    const first = world.cluster.addShard({ id: 1, end: utf8('m') }, 1);
    world.cluster.addShard({ id: 2, start: utf8('m') }, 1);
    world.cluster.addShard({ id: 3, start: utf8('x') }, 2);
    world.link.start(world.store);
    await world.cluster.pass(60);
    assert.deepEqual(world.reportedIds(), [[1, 2]]);
    assert.equal(world.heartbeats[0]?.isComplete, true);
    assert.equal(world.heartbeats[0]?.shards, 3);
    assert.equal(world.heartbeats[0]?.leaders, 2);
    await world.cluster.pass(2000);
    assert.deepEqual(world.reportedIds().slice(1), [[], []]);
    first.term += 1;
    world.link.onShardChanged(1);
    await world.cluster.pass(55);
    assert.deepEqual(world.reportedIds().at(-1), [1]);
    await world.cluster.pass(10_000);
    assert.ok(world.heartbeats.slice(1).some(({ isComplete }) => isComplete));
  });

  test('trouble with a replica is told every time', async () => {
    const world = new TestLink();
    world.cluster.addShard({ id: 1 }, 1);
    world.link.start(world.store);
    await world.cluster.pass(60);
    world.store.health = [{ replicaId: 12, downMs: 100, isPending: false }];
    await world.cluster.pass(2000);
    assert.deepEqual(world.reportedIds(), [[1], [1], [1]]);
    assert.equal(world.heartbeats[1]?.reports[0]?.health[0]?.downSeconds, 1);
  });

  test('lesson 21: a new leader of Prophet is told everything at once', async () => {
    const world = new TestLink();
    world.cluster.addShard({ id: 1 }, 1);
    world.link.start(world.store);
    await world.cluster.pass(500);
    world.answer = { prophetTerm: 4 };
    await world.cluster.pass(700);
    assert.deepEqual(
      world.heartbeats.map(({ isComplete }) => isComplete),
      [true, false, true],
    );
  });

  test('a report that did not arrive is told again', async () => {
    const world = new TestLink();
    const group = world.cluster.addShard({ id: 1 }, 1);
    world.link.start(world.store);
    await world.cluster.pass(60);
    group.term += 1;
    world.failure = new MatrixError('TIMEOUT', 'Lost');
    await world.cluster.pass(1000);
    world.failure = undefined;
    await world.cluster.pass(1000);
    assert.deepEqual(world.reportedIds(), [[1], [1], [1]]);
    assert.deepEqual(world.fatal, []);
  });

  test('lesson 15: a disk that hangs or fails silences the store', async () => {
    const world = new TestLink();
    let release = (): void => {};
    world.probe = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    world.link.start(world.store);
    await world.cluster.pass(20_000);
    assert.equal(world.heartbeats.length, 0);
    world.probe = () => Promise.reject(new Error('No space left on device'));
    release();
    await world.cluster.pass(100);
    assert.equal(world.heartbeats.length, 1, 'What was probed before may still be said');
    await world.cluster.pass(5000);
    assert.equal(world.heartbeats.length, 1);
    assert.deepEqual(world.fatal, []);
    world.probe = () => Promise.resolve();
    await world.cluster.pass(1000);
    assert.equal(world.heartbeats.length, 2);
  });

  test('steps, first shards and addresses of an answer reach those whom they concern', async () => {
    const world = new TestLink();
    const { meta } = world.cluster.addShard({ id: 1 }, 1);
    const foreign = {
      ...meta,
      id: 2,
      replicas: [{ replicaId: 29, storeId: 9, role: 'voter' }],
    } as const;
    world.answer = {
      steps: [
        { shardId: 1, epoch: meta.epoch, step: { type: 'add-learner', replicaId: 90, storeId: 3 } },
        { shardId: 1, epoch: meta.epoch, step: { type: 'transfer-leader', replicaId: 12 } },
        { shardId: 1, epoch: meta.epoch, step: { type: 'split', keys: [utf8('k')] } },
      ],
      initialShards: [meta, foreign],
      stores: [descriptorOf(7)],
    };
    world.link.start(world.store);
    await world.cluster.pass(60);
    const { epoch } = meta;
    assert.deepEqual(world.store.steps, [
      {
        type: 'conf-change',
        shardId: 1,
        change: { type: 'add-learner', epoch, replicaId: 90, storeId: 3 },
      },
      { type: 'transfer-leader', shardId: 1, epoch, to: 12 },
      { type: 'split', shardId: 1, epoch, keys: [utf8('k')] },
    ]);
    assert.deepEqual(world.store.created, [meta]);
    assert.equal(world.addressBook.addressOf(7), 'store7');
  });

  test('a fenced store ends the process with a clear sentence and says nothing more', async () => {
    const world = new TestLink();
    world.link.start(world.store);
    world.failure = new MatrixError('STORE_MISMATCH', 'A newer process runs', { retry: 'no' });
    await world.cluster.pass(5000);
    assert.equal(world.heartbeats.length, 1);
    const [error] = world.fatal;
    assert.ok(error instanceof MatrixError);
    assert.equal(error.text, 'Store 1 must not go on: A newer process runs');
  });

  test('an address that leads to a strange node fences nobody', async () => {
    const world = new TestLink();
    world.link.start(world.store);
    world.failure = new MatrixError('STORE_MISMATCH', 'Peer is of another cluster');
    await world.cluster.pass(3000);
    assert.deepEqual(world.fatal, []);
    assert.ok(world.heartbeats.length > 1);
  });

  test('ids come from Prophet, and a closed link is silent', async () => {
    const world = new TestLink();
    world.link.start(world.store);
    assert.equal(await world.cluster.settle(world.link.allocateIds(3)), 503);
    world.link.close();
    await world.cluster.pass(5000);
    assert.equal(world.heartbeats.length, 0);
  });
});

describe('AddressBook', () => {
  test('lesson 21: a store that spoke to us can be reached until Prophet tells where it is', () => {
    const book = new AddressBook([]);
    book.hear(2, 'heard:1');
    book.hear(0, 'nobody:1');
    assert.equal(book.addressOf(2), 'heard:1');
    assert.equal(book.addressOf(0), undefined);
    book.learn([descriptorOf(2)]);
    book.hear(2, 'late:1');
    assert.equal(book.addressOf(2), 'store2');
  });

  test('the list of Prophet replaces what was known, and an empty one says nothing', () => {
    const book = new AddressBook([]);
    book.learn([descriptorOf(2), descriptorOf(3)]);
    book.learn([descriptorOf(3)]);
    book.learn([]);
    assert.equal(book.addressOf(2), undefined);
    assert.equal(book.addressOf(3), 'store3');
    assert.throws(() => book.requireAddress(2), MatrixError);
  });
});
