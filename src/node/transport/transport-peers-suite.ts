// Peers over any wire: gone, back again, or somebody else than was thought.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Start } from './transport-rig-suite.ts';
import { clusterRequest, hasCode, heartbeat, soon, until } from './transport-rig-suite.ts';

export function unreachableTests(start: Start): void {
  test('a peer that is not there refuses calls as not applied, and is reported', async () => {
    const gone = await start();
    await gone.kill();
    const node = await start();
    await assert.rejects(
      node.transport.call(gone.address, clusterRequest(), soon()),
      hasCode('UNAVAILABLE', 'not-applied'),
    );
    assert.deepEqual(node.unreachable, [gone.address]);
  });

  test('envelopes for a peer that is not there are dropped and counted', async () => {
    const gone = await start();
    await gone.kill();
    const node = await start();
    node.transport.send(gone.address, heartbeat(1));
    node.transport.send(gone.address, heartbeat(2));
    await until('the loss is seen', () => node.unreachable.length > 0);
    assert.equal(node.counted('matrixkv_transport_dropped_total', 'unreachable'), 2);
  });

  test('every failed attempt is reported again while something wants to be sent', async () => {
    const gone = await start();
    await gone.kill();
    const node = await start();
    await until('it was reported three times', () => {
      node.transport.send(gone.address, heartbeat(1));
      return node.unreachable.length >= 3;
    });
  });

  test('a peer that dies leaves open calls with an unknown outcome, and is reported', async () => {
    const server = await start({ handlers: { onCall: () => new Promise(() => {}) } });
    const client = await start();
    const open = client.transport.call(server.address, clusterRequest(), soon());
    const settled = assert.rejects(open, hasCode('UNAVAILABLE', 'unknown'));
    await until('the call is sent', () => client.frames.some((frame) => frame.calls === 1));
    await server.kill();
    await settled;
    assert.deepEqual(client.unreachable, [server.address]);
  });
}

export function reconnectTests(start: Start): void {
  test('a peer that comes back is found again', async () => {
    const server = await start({ storeId: 2, incarnation: 1 });
    const client = await start();
    await client.transport.call(server.address, clusterRequest(), soon());
    await server.kill();
    await until('the loss is seen', () => client.unreachable.length > 0);
    const again = await start({ address: server.address, storeId: 2, incarnation: 2 });
    await until('an envelope arrives', () => {
      client.transport.send(again.address, { ...heartbeat(1), toStoreId: 2 });
      return again.received.length > 0;
    });
    await client.transport.call(again.address, clusterRequest(), soon());
  });

  test('a peer that connects is talked to at once, whatever pause was left', async () => {
    const gone = await start();
    await gone.kill();
    const { address } = gone;
    const node = await start({ limits: { backoffMinMs: 60_000, backoffMaxMs: 60_000 } });
    node.transport.send(address, heartbeat(1));
    await until('the loss is seen', () => node.unreachable.length > 0);
    const back = await start({ address });
    back.transport.send(node.address, heartbeat(2));
    await until('the other direction works', () => {
      node.transport.send(address, heartbeat(3));
      return back.received.length > 0;
    });
  });

  test('a connection that nobody uses is closed, and opened again when needed', async () => {
    const a = await start({ limits: { idleMs: 20 } });
    const b = await start();
    a.transport.send(b.address, heartbeat(1));
    await until('it arrives', () => b.received.length === 1);
    // The answer to the end may be recorded as well by the time we look.
    await until('the connection is ended', () => a.ended.length > 0);
    a.transport.send(b.address, heartbeat(2));
    await until('it arrives', () => b.received.length === 2);
    assert.deepEqual(a.unreachable, []);
  });
}

export function clusterTests(start: Start): void {
  test('a node of another cluster is refused by both sides, and logged once', async () => {
    const server = await start({ clusterId: 'one' });
    const client = await start({ clusterId: 'two' });
    for (const _ of [1, 2, 3]) {
      await assert.rejects(client.transport.call(server.address, clusterRequest(), soon()));
    }
    await until('the refusal is known', () => client.warnings.length > 0);
    const first = client.transport.call(server.address, clusterRequest(), soon());
    await assert.rejects(first);
    assert.deepEqual(client.warnings, ['Handshake was refused']);
    assert.deepEqual(server.warnings, ['Handshake was refused']);
    assert.equal(server.received.length, 0);
  });

  test('a call that a foreign cluster refuses says STORE_MISMATCH', async () => {
    const server = await start({ clusterId: 'one' });
    const client = await start({ clusterId: 'two' });
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      hasCode('STORE_MISMATCH', 'not-applied'),
    );
  });

  test('a node that learns its store id later says so on open connections', async () => {
    const a = await start();
    const b = await start();
    a.transport.send(b.address, heartbeat(1));
    await until('it arrives', () => b.received.length === 1);
    assert.equal(b.received[0]?.from.storeId, 0);
    a.transport.identify({ storeId: 5, incarnation: 1 });
    a.transport.send(b.address, heartbeat(2));
    await until('it arrives', () => b.received.length === 2);
    assert.equal(b.received[1]?.from.storeId, 5);
    assert.deepEqual(a.unreachable, []);
  });
}

export function storeTests(start: Start): void {
  test('another store at an old address is not talked to (lesson 12)', async () => {
    const old = await start({ storeId: 2 });
    const client = await start({ storeId: 1 });
    client.transport.send(old.address, { ...heartbeat(1), toStoreId: 2 });
    await until('it arrives', () => old.received.length === 1);
    await old.kill();
    await until('the loss is seen', () => client.unreachable.length > 0);
    const other = await start({ address: old.address, storeId: 3 });
    await until('the address answers', () => {
      client.transport.send(other.address, { ...heartbeat(2), toStoreId: 2 });
      return other.counted('matrixkv_transport_dropped_total', 'wrong-store') > 0;
    });
    await assert.rejects(
      client.transport.call(other.address, clusterRequest(), { ...soon(), toStoreId: 2 }),
      hasCode('STORE_MISMATCH', 'not-applied'),
    );
    assert.equal(other.received.length, 0);
    await client.transport.call(other.address, clusterRequest(), { ...soon(), toStoreId: 3 });
  });

  test('an older process of a store is refused once a newer one was heard', async () => {
    const server = await start();
    const older = await start({ storeId: 1, incarnation: 4 });
    await older.transport.call(server.address, clusterRequest(), soon());
    const newer = await start({ storeId: 1, incarnation: 5 });
    await newer.transport.call(server.address, clusterRequest(), soon());
    // The open connection of the older one is cut, and a new one is refused.
    await until('it is refused', () => {
      older.transport.send(server.address, heartbeat(9));
      return older.warnings.length > 0;
    });
    assert.equal(server.received.length, 0);
    await newer.transport.call(server.address, clusterRequest(), soon());
  });
}
