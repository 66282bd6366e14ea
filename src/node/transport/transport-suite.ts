// The contract of Transport, run over every wire.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { MatrixError } from '../../kernel/errors.ts';
import { callErrorTests, callTests } from './transport-calls-suite.ts';
import {
  clusterTests,
  reconnectTests,
  storeTests,
  unreachableTests,
} from './transport-peers-suite.ts';
import type { Ground, NodeOptions, Start, TestNode } from './transport-rig-suite.ts';
import {
  append,
  clusterRequest,
  hasCode,
  heartbeat,
  isUnavailable,
  soon,
  startNode,
  until,
} from './transport-rig-suite.ts';
import {
  brokenSnapshotTests,
  refusedSnapshotTests,
  snapshotTests,
} from './transport-snapshots-suite.ts';
import type { Lane } from './wire-port.ts';

export function transportSuite(name: string, ground: () => Ground): void {
  describe(`transport over ${name}`, () => {
    const nodes: TestNode[] = [];

    async function start(options: NodeOptions = {}): Promise<TestNode> {
      const node = await startNode(ground(), options);
      nodes.push(node);
      return node;
    }

    afterEach(async () => {
      await Promise.all(nodes.splice(0).map((node) => node.transport.close()));
    });

    deliveryTests(start);
    callTests(start);
    callErrorTests(start);
    unreachableTests(start);
    reconnectTests(start);
    clusterTests(start);
    storeTests(start);
    limitTests(start);
    snapshotTests(start);
    brokenSnapshotTests(start);
    refusedSnapshotTests(start);
    openAndCloseTests(start);
  });
}

function deliveryTests(start: Start): void {
  test('an envelope arrives whole, with who sent it', async () => {
    const a = await start({ storeId: 1 });
    const b = await start({ storeId: 2 });
    a.transport.send(b.address, append(1, 100));
    await until('the envelope arrives', () => b.received.length === 1);
    assert.deepEqual(b.received[0]?.envelope, append(1, 100));
    assert.equal(b.received[0]?.from.storeId, 1);
    assert.equal(b.received[0]?.from.address, a.address);
  });

  test('envelopes of one lane arrive in order, each once', async () => {
    const a = await start({ storeId: 1 });
    const b = await start({ storeId: 2 });
    const count = 1000;
    for (let shardId = 0; shardId < count; shardId += 1) {
      a.transport.send(b.address, heartbeat(shardId));
      if (shardId % 100 === 0) await pause(1);
    }
    await until('all arrive', () => b.received.length >= count);
    const order = b.received.map(({ envelope }) => envelope.shardId);
    assert.deepEqual(
      order,
      Array.from({ length: count }, (_, index) => index),
    );
  });

  test('everything that is sent in one turn leaves in one frame', async () => {
    const a = await start({ storeId: 1 });
    const b = await start({ storeId: 2 });
    a.transport.send(b.address, heartbeat(0));
    await until('they are connected', () => b.received.length === 1);
    const before = a.frames.length;
    for (let shardId = 1; shardId <= 50; shardId += 1) {
      a.transport.send(b.address, heartbeat(shardId));
    }
    const calls = [1, 2, 3].map(() => a.transport.call(b.address, clusterRequest(), soon()));
    await Promise.all(calls);
    await until('all arrive', () => b.received.length === 51);
    assert.deepEqual(a.frames.slice(before), [{ lane: 'control', envelopes: 50, calls: 3 }]);
  });

  test('large appends take the bulk lane, and small ones of the group stay behind them', async () => {
    const a = await start({ storeId: 1 });
    const b = await start({ storeId: 2 });
    a.transport.send(b.address, append(1, 100_000));
    a.transport.send(b.address, append(1, 10));
    a.transport.send(b.address, append(2, 10));
    a.transport.send(b.address, heartbeat(1));
    await until('all arrive', () => b.received.length === 4);
    const sent = (lane: Lane): number =>
      a.frames.reduce((sum, frame) => sum + (frame.lane === lane ? frame.envelopes : 0), 0);
    assert.deepEqual([sent('bulk'), sent('control')], [2, 2]);
  });
}

function limitTests(start: Start): void {
  test('a full queue drops envelopes and refuses calls, and says so', async () => {
    const a = await start({ limits: { controlQueueBytes: 2000 } });
    const b = await start();
    for (let shardId = 0; shardId < 100; shardId += 1) {
      a.transport.send(b.address, heartbeat(shardId));
    }
    const refused = a.transport.call(b.address, clusterRequest(), soon());
    await assert.rejects(refused, hasCode('OVERLOADED', 'not-applied'));
    const dropped = a.counted('matrixkv_transport_dropped_total', 'queue-full');
    assert.ok(dropped > 0 && dropped < 100);
    await until('the rest arrives', () => b.received.length === 100 - dropped);
  });

  test('the caller opens no more calls than its limit', async () => {
    const server = await start({ handlers: { onCall: () => new Promise(() => {}) } });
    const client = await start({ limits: { openCalls: 2 } });
    const open = [1, 2].map(() => client.transport.call(server.address, clusterRequest(), soon()));
    const settled = Promise.all(open.map((call) => assert.rejects(call)));
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      hasCode('OVERLOADED', 'not-applied'),
    );
    await client.transport.close();
    await settled;
  });

  test('the callee serves no more calls of one connection than its limit', async () => {
    const server = await start({
      limits: { openCalls: 2 },
      handlers: { onCall: () => new Promise(() => {}) },
    });
    const client = await start();
    const calls = [1, 2, 3].map(() =>
      client.transport.call(server.address, clusterRequest(), soon()),
    );
    await assert.rejects(Promise.race(calls), hasCode('OVERLOADED', 'not-applied'));
    const settled = Promise.allSettled(calls);
    await client.transport.close();
    await settled;
  });
}

function openAndCloseTests(start: Start): void {
  test('start() refuses an address that is taken, and names it', async () => {
    const { address } = await start();
    await assert.rejects(start({ address }), (error) => {
      assert.ok(error instanceof MatrixError);
      assert.equal(error.code, 'UNAVAILABLE');
      assert.ok(error.text.includes(address));
      return true;
    });
  });

  test('close() settles what is open, is idempotent, and frees the address', async () => {
    const node = await start({ handlers: { onCall: () => new Promise(() => {}) } });
    const other = await start();
    const open = other.transport.call(node.address, clusterRequest(), soon());
    const settled = assert.rejects(open, isUnavailable);
    await until('the call is sent', () => other.frames.some((frame) => frame.calls === 1));
    await other.transport.close();
    await other.transport.close();
    await settled;
    await assert.rejects(
      other.transport.call(node.address, clusterRequest(), soon()),
      isUnavailable,
    );
    other.transport.send(node.address, heartbeat(1));
    const again = await start({ address: other.address });
    assert.equal(again.address, other.address);
  });
}
