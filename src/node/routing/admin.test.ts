import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MatrixError } from '../../kernel/errors.ts';
import { AddressBook } from './address-book.ts';
import { Admin } from './admin.ts';
import { descriptorOf, TestCluster } from './cluster-suite.ts';
import type { ProphetService } from './prophet-service.ts';
import type { Health } from './services.ts';

class TestAdmin {
  readonly cluster = new TestCluster([1, 2, 3]);
  readonly drained: string[] = [];
  state: Pick<Health, 'isLive' | 'checks'> = { isLive: true, checks: [] };

  admin(at?: number): Admin {
    const { cluster } = this;
    const addressBook = new AddressBook([
      { name: 'b', address: 'host-b:1' },
      { name: 'a', address: 'host-a:1' },
    ]);
    addressBook.learn([1, 2, 3].map(descriptorOf));
    return new Admin({
      clock: cluster.clock,
      localStore: () => (at === undefined ? undefined : cluster.store(at)),
      transport: { call: (address, request, options) => cluster.call(address, request, options) },
      addressBook,
      prophet: this.#prophet(),
      version: '1.2.3',
      health: () => this.state,
    });
  }

  #prophet(): ProphetService {
    const notAsked = (): Promise<never> => Promise.reject(new Error('Not asked in these tests'));
    return {
      registerStore: notAsked,
      storeHeartbeat: notAsked,
      allocateIds: notAsked,
      probeMember: notAsked,
      routes: (request) => this.cluster.routes(request),
      stores: async () => ({
        stores: [
          {
            store: descriptorOf(1),
            state: 'up',
            ...{ shards: 2, leaders: 1, sizeBytes: 3, lastHeartbeatMs: 4, blockedBy: '' },
            ...{ capacityBytes: 5, freeBytes: 6 },
          },
        ],
      }),
      cluster: async () => ({
        clusterId: 'test',
        bootstrapped: true,
        ...{ maxReplicas: 3, prophetLeaderReplicaId: 2, prophetTerm: 9, stores: 3, storesUp: 2 },
        ...{ shards: 1, shardsUnderReplicated: 1, shardsWithoutLeader: 0 },
      }),
      drain: async (storeId) => {
        this.drained.push(`drain ${storeId}`);
      },
      cancelDrain: async (storeId) => {
        this.drained.push(`cancel ${storeId}`);
      },
    };
  }
}

describe('Admin', () => {
  test('shards are those of the cluster, or those with a replica here', async () => {
    const world = new TestAdmin();
    const group = world.cluster.addShard({ id: 1 }, 2);
    group.meta = { ...group.meta, replicas: group.meta.replicas.slice(0, 2) };
    const context = { deadline: 1000 };
    const { settle } = { settle: world.cluster.settle.bind(world.cluster) };
    const everywhere = await settle(world.admin(3).shards({ isLocal: false }, context));
    assert.deepEqual(
      everywhere.map(({ id, leaderStoreId }) => [id, leaderStoreId]),
      [[1, 2]],
    );
    assert.deepEqual(await settle(world.admin(3).shards({ isLocal: true }, context)), []);
    const [local] = await settle(world.admin(1).shards({ isLocal: true }, context));
    assert.equal(local?.leaderStoreId, 2);
    assert.equal(local?.sizeBytes, 100);
  });

  test('the cluster names the leader of Prophet and all its members', async () => {
    const view = await new TestAdmin().admin().cluster({ deadline: 1000 });
    assert.deepEqual(view.prophet, {
      leader: 'b',
      term: 9,
      members: [
        { name: 'a', address: 'host-a:1' },
        { name: 'b', address: 'host-b:1' },
      ],
    });
    assert.equal(view.version, '1.2.3');
    assert.equal(view.shardsUnderReplicated, 1);
  });

  test('stores are told as Prophet knows them', async () => {
    const [store] = await new TestAdmin().admin().stores({ deadline: 1000 });
    assert.equal(store?.name, 'node1');
    assert.equal(store?.state, 'up');
    assert.equal(store?.lastHeartbeatMs, 4);
  });

  test('ready means live and without a problem', () => {
    const world = new TestAdmin();
    const admin = world.admin();
    assert.deepEqual(admin.health(), { isLive: true, isReady: true, checks: [] });
    const checks = [{ name: 'disk', problem: 'Disk is full' }];
    world.state = { isLive: true, checks };
    assert.deepEqual(admin.health(), { isLive: true, isReady: false, checks });
    world.state = { isLive: false, checks: [] };
    assert.equal(admin.health().isReady, false);
  });

  test('draining and its end go to Prophet', async () => {
    const world = new TestAdmin();
    const admin = world.admin();
    await admin.drain(3, { deadline: 1000 });
    await admin.cancelDrain(3, { deadline: 1000 });
    assert.deepEqual(world.drained, ['drain 3', 'cancel 3']);
  });

  test('a leader transfer is carried out where the leader is, near or far', async () => {
    for (const at of [undefined, 1, 2]) {
      const world = new TestAdmin();
      const { meta } = world.cluster.addShard({ id: 1 }, 2);
      const transfer = { shardId: 1, storeId: 3 };
      await world.cluster.settle(world.admin(at).transferLeader(transfer, { deadline: 1000 }));
      assert.deepEqual(world.cluster.store(2).steps, [
        { type: 'transfer-leader', shardId: 1, epoch: meta.epoch, to: 13 },
      ]);
    }
  });

  test('a leader transfer follows a leader that has moved meanwhile', async () => {
    const world = new TestAdmin();
    const group = world.cluster.addShard({ id: 1 }, 1);
    world.cluster.store(2).freeze(group);
    world.cluster.elect(group, 3);
    const transfer = { shardId: 1, storeId: 2 };
    await world.cluster.settle(world.admin(2).transferLeader(transfer, { deadline: 1000 }));
    assert.equal(world.cluster.store(3).steps.length, 1);
  });

  test('a leader transfer that cannot be is refused with the reason', async () => {
    const world = new TestAdmin();
    world.cluster.addShard({ id: 1 }, 2);
    const admin = world.admin();
    const codeOf = async (transfer: { shardId: number; storeId: number }): Promise<string> => {
      try {
        await world.cluster.settle(admin.transferLeader(transfer, { deadline: 1000 }));
      } catch (error) {
        if (error instanceof MatrixError) return error.code;
      }
      return 'none';
    };
    assert.equal(await codeOf({ shardId: 1, storeId: 9 }), 'INVALID_ARGUMENT');
    assert.equal(await codeOf({ shardId: 8, storeId: 1 }), 'NOT_FOUND');
  });
});
