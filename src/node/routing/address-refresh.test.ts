import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import type { StoreStatus } from '../prophet/protocol.ts';
import { AddressBook } from './address-book.ts';
import { AddressRefresh } from './address-refresh.ts';
import { descriptorOf, TestCluster } from './cluster-suite.ts';

function statusOf(id: number, changes: Partial<StoreStatus> = {}): StoreStatus {
  const counts = {
    shards: 0,
    leaders: 0,
    sizeBytes: 0,
    lastHeartbeatMs: 0,
    capacityBytes: 0,
    freeBytes: 0,
  };
  return { store: descriptorOf(id), state: 'up', ...counts, blockedBy: '', ...changes };
}

test('a node without a store learns where the stores are, and keeps it while Prophet is away', async () => {
  const cluster = new TestCluster([]);
  const addressBook = new AddressBook([]);
  let stores: readonly StoreStatus[] | undefined = [statusOf(1), statusOf(2)];
  let asked = 0;
  const refresh = new AddressRefresh({
    clock: cluster.clock,
    observer: SILENT,
    addressBook,
    prophet: {
      stores: async () => {
        asked += 1;
        if (stores === undefined) throw new MatrixError('UNAVAILABLE', 'Prophet is away');
        return { stores };
      },
    },
  });
  refresh.start();
  refresh.start();
  await cluster.pass(1);
  assert.equal(asked, 1);
  assert.equal(addressBook.addressOf(2), descriptorOf(2).address);

  stores = undefined;
  await cluster.pass(5000);
  assert.ok(asked > 1);
  assert.equal(addressBook.addressOf(2), descriptorOf(2).address);

  stores = [statusOf(1), statusOf(2, { state: 'removed' }), statusOf(3)];
  await cluster.pass(5000);
  assert.equal(addressBook.addressOf(2), undefined);
  assert.equal(addressBook.addressOf(3), descriptorOf(3).address);

  refresh.close();
  const before = asked;
  await cluster.pass(10_000);
  assert.equal(asked, before);
});
