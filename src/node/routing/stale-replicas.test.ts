import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SILENT } from '../../kernel/observer.ts';
import { AddressBook } from './address-book.ts';
import { descriptorOf, type Group, TestCluster } from './cluster-suite.ts';
import { StaleReplicas } from './stale-replicas.ts';

/** Store 3 slept while its replica was moved to store 4. */
function sleptThrough(): { cluster: TestCluster; group: Group; stale: StaleReplicas } {
  const cluster = new TestCluster([1, 2, 3, 4]);
  const group = cluster.addShard({ id: 1 }, 1);
  cluster.store(3).freeze(group);
  const { meta } = group;
  group.meta = {
    ...meta,
    epoch: { ...meta.epoch, confVersion: 3 },
    replicas: [...meta.replicas.slice(0, 2), { replicaId: 14, storeId: 4, role: 'voter' }],
  };
  const addressBook = new AddressBook([]);
  addressBook.learn([1, 2, 3, 4].map(descriptorOf));
  const stale = new StaleReplicas({
    clock: cluster.clock,
    observer: SILENT,
    localStore: () => cluster.store(3),
    transport: { call: (address, request, options) => cluster.call(address, request, options) },
    addressBook,
    prophet: { routes: (request) => cluster.routes(request) },
  });
  return { cluster, group, stale };
}

function proofsOf(cluster: TestCluster): number[] {
  return cluster.store(3).proofs.map(({ epoch }) => epoch.confVersion);
}

describe('StaleReplicas', () => {
  test('members of the group say who belongs to it', async () => {
    const { cluster, stale } = sleptThrough();
    stale.suspect(1);
    stale.suspect(1);
    await cluster.pass(5000);
    assert.deepEqual(proofsOf(cluster), [3, 3, 3]);
    assert.ok(!cluster.calls.includes(3), 'It does not ask itself');
  });

  test('lesson 9: Prophet alone ends no replica, neither by its word nor by its ignorance', async () => {
    for (const routes of [(): readonly Group[] => [], undefined]) {
      const { cluster, stale } = sleptThrough();
      for (const storeId of [1, 2, 4]) cluster.dead.add(storeId);
      if (routes !== undefined) cluster.prophetRoutes = routes;
      stale.suspect(1);
      await cluster.pass(20_000);
      assert.ok(cluster.prophetAsked > 0);
      assert.deepEqual(proofsOf(cluster), []);
    }
  });

  test('without Prophet the members that are known are asked', async () => {
    const { cluster, stale } = sleptThrough();
    cluster.prophetRoutes = 'away';
    stale.suspect(1);
    await cluster.pass(5000);
    assert.deepEqual(cluster.calls, [1, 2]);
    assert.deepEqual(proofsOf(cluster), [3, 3]);
  });

  test('when all members moved, Prophet says whom to ask', async () => {
    const { cluster, group, stale } = sleptThrough();
    const replicas = [{ replicaId: 14, storeId: 4, role: 'voter' }] as const;
    group.meta = { ...group.meta, replicas };
    stale.suspect(1);
    await cluster.pass(5000);
    assert.deepEqual(proofsOf(cluster), [3]);
  });

  test('only members of the very shard are asked, and only their word on it counts', async () => {
    const { cluster, group, stale } = sleptThrough();
    group.meta = { ...group.meta, start: Uint8Array.of(9) };
    const replicas = [{ replicaId: 24, storeId: 4, role: 'voter' }] as const;
    const other = cluster.addShard({ id: 2, end: Uint8Array.of(9), replicas }, 4);
    cluster.prophetRoutes = () => [other];
    const liar = cluster.store(2);
    liar.shard = () => cluster.store(4).shard(2);
    stale.suspect(1);
    await cluster.pass(5000);
    assert.deepEqual(cluster.calls, [1, 2]);
    assert.deepEqual(
      cluster.store(3).proofs.map(({ id }) => id),
      [1],
    );
  });

  test('a replica that hears from nobody for long asks by itself, others are left alone', async () => {
    const { cluster, stale } = sleptThrough();
    stale.start();
    await cluster.pass(11_000);
    assert.deepEqual(cluster.calls, []);
    cluster.store(3).leaderlessMs = 6000;
    await cluster.pass(5000);
    assert.ok(proofsOf(cluster).length > 0);
    stale.close();
  });
});
