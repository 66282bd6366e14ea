import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from './memory-services-suite.ts';

const post = (body?: string): RequestInit => ({ method: 'POST', body: body ?? null });

test('orders reach the service with the ids of the path and the body', async () => {
  const { fetch, admin } = await startTestServer();
  const drained = await fetch('/v1/stores/7/drain', post());
  assert.equal(drained.status, 202);
  assert.deepEqual(await drained.json(), { storeId: 7, draining: true });
  const cancelled = await fetch('/v1/stores/7/drain', { method: 'DELETE' });
  assert.deepEqual(await cancelled.json(), { storeId: 7, draining: false });
  const moved = await fetch('/v1/shards/2/leader', post('{"storeId":1}'));
  assert.deepEqual(await moved.json(), { shardId: 2, storeId: 1 });
  assert.deepEqual(admin.orders, ['drain 7', 'cancel 7', 'lead 2 from 1']);
});

test('what names no store or shard is refused and orders nothing', async () => {
  const { fetch, admin } = await startTestServer();
  for (const id of ['0', '-1', '1.5', 'x', '99999999999999999999', '%31']) {
    const refused = await fetch(`/v1/stores/${id}/drain`, post());
    assert.equal(refused.status, id === '%31' ? 202 : 400, id);
  }
  for (const body of [
    undefined,
    '{',
    '{}',
    '{"storeId":"1"}',
    '{"storeId":0}',
    '{"storeId":1.5}',
  ]) {
    assert.equal((await fetch('/v1/shards/2/leader', post(body))).status, 400, String(body));
  }
  assert.equal((await fetch('/v1/shards/0/leader', post('{"storeId":1}'))).status, 400);
  const unknown = await fetch('/v1/stores/9/drain', post());
  assert.equal(unknown.status, 404);
  assert.partialDeepStrictEqual(await unknown.json(), { error: 'There is no store 9' });
  assert.deepEqual(admin.orders, ['drain 1']);
});

test('shards of this node only are asked for with a strict flag', async () => {
  const { fetch, admin } = await startTestServer();
  const [shard] = admin.shardViews;
  assert.ok(shard !== undefined);
  const replicas = [{ replicaId: 9, storeId: 7, role: 'voter' as const }];
  admin.shardViews = [shard, { ...shard, id: 4, replicas }];
  const idsOf = async (query: string): Promise<number[]> => {
    const { shards } = await (await fetch(`/v1/shards${query}`)).json();
    assert.ok(Array.isArray(shards));
    return shards.map(({ id }) => id);
  };
  assert.deepEqual(await idsOf(''), [2, 4]);
  assert.deepEqual(await idsOf('?local=false'), [2, 4]);
  assert.deepEqual(await idsOf('?local'), [2]);
  assert.deepEqual(await idsOf('?local=true'), [2]);
  assert.equal((await fetch('/v1/shards?local=x')).status, 400);
});
