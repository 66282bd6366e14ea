import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { SystemClock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ExchangeRequestInit } from '../../wire/frames.ts';
import type { DeliveryPolicy } from './memory-pipe.ts';
import { MemoryNetwork } from './memory-wire.ts';
import type { Ground, NodeOptions, TestNode } from './transport-rig-suite.ts';
import {
  append,
  clusterRequest,
  heartbeat,
  soon,
  startNode,
  until,
} from './transport-rig-suite.ts';
import { transportSuite } from './transport-suite.ts';
import type { Link } from './wire-port.ts';

let addresses = 0;

function groundOn(network: MemoryNetwork): Ground {
  return {
    address: () => {
      addresses += 1;
      return Promise.resolve(`node-${addresses}`);
    },
    wire: (address) => network.wire(address),
    kill: (address) => {
      network.kill(address);
      return Promise.resolve();
    },
  };
}

const ground = groundOn(new MemoryNetwork({ clock: new SystemClock() }));
transportSuite('memory', () => ground);

describe('transport over a network with faults', () => {
  const nodes: TestNode[] = [];
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.transport.close()));
  });

  function networkWith(policy: DeliveryPolicy): {
    network: MemoryNetwork;
    start: (options?: NodeOptions) => Promise<TestNode>;
  } {
    const network = new MemoryNetwork({ clock: new SystemClock(), policy });
    const start = async (options: NodeOptions = {}): Promise<TestNode> => {
      const node = await startNode(groundOn(network), options);
      nodes.push(node);
      return node;
    };
    return { network, start };
  }

  test('a heartbeat passes while the bulk lane is stuck', async () => {
    let isStuck = true;
    const { start } = networkWith(({ bytes }) =>
      isStuck && bytes > 32_768 ? { type: 'stall', retryMs: 1 } : { type: 'deliver', delayMs: 0 },
    );
    const a = await start();
    const b = await start();
    a.transport.send(b.address, append(1, 100_000));
    await until('the append is on its way', () =>
      a.frames.some(({ envelopes }) => envelopes === 1),
    );
    a.transport.send(b.address, heartbeat(2));
    await until('the heartbeat arrives', () => b.received.length === 1);
    assert.equal(b.received[0]?.envelope.shardId, 2);
    isStuck = false;
    await until('the append arrives', () => b.received.length === 2);
  });

  test('what a stalled stream cannot carry is dropped at the bound, never kept', async () => {
    let isStuck = false;
    const { start } = networkWith(() =>
      isStuck ? { type: 'stall', retryMs: 1 } : { type: 'deliver', delayMs: 0 },
    );
    const a = await start({ limits: { bulkQueueBytes: 500_000 } });
    const b = await start();
    a.transport.send(b.address, append(0, 100_000));
    await until('they are connected', () => b.received.length === 1);
    isStuck = true;
    await until('envelopes are dropped', () => {
      a.transport.send(b.address, append(1, 100_000));
      return a.counted('matrixkv_transport_dropped_total', 'queue-full') > 0;
    });
  });

  test('a peer that takes the connection and says nothing is given up', async () => {
    const { start } = networkWith(({ from }) =>
      from === silent ? { type: 'stall', retryMs: 5 } : { type: 'deliver', delayMs: 0 },
    );
    const peer = await start();
    const silent = peer.address;
    const node = await start({ limits: { handshakeTimeoutMs: 30 } });
    await assert.rejects(
      node.transport.call(peer.address, clusterRequest(), soon()),
      (error) =>
        error instanceof MatrixError &&
        error.code === 'UNAVAILABLE' &&
        error.outcome === 'not-applied',
    );
    assert.deepEqual(node.unreachable, [peer.address]);
  });

  test('frames arrive in order whatever delays the network draws', async () => {
    let piece = 0;
    const { start } = networkWith(() => {
      piece += 1;
      return { type: 'deliver', delayMs: (piece * 7) % 10 };
    });
    const a = await start({ limits: { frameBytes: 1 } });
    const b = await start();
    for (let shardId = 0; shardId < 100; shardId += 1) {
      a.transport.send(b.address, heartbeat(shardId));
    }
    await until('all arrive', () => b.received.length === 100);
    const order = b.received.map(({ envelope }) => envelope.shardId);
    assert.deepEqual(
      order,
      [...order].sort((x, y) => x - y),
    );
  });

  test('a broken stream is reported to both ends, and made anew', async () => {
    const { network, start } = networkWith(() => ({ type: 'deliver', delayMs: 0 }));
    const a = await start();
    const b = await start();
    a.transport.send(b.address, heartbeat(1));
    b.transport.send(a.address, heartbeat(1));
    await until('both arrive', () => a.received.length + b.received.length === 2);
    network.disconnect(a.address, b.address);
    await until('both see it', () => a.unreachable.length + b.unreachable.length === 2);
    await until('they talk again', () => {
      a.transport.send(b.address, heartbeat(2));
      return b.received.length >= 2;
    });
  });
});

describe('what a peer sends', () => {
  /** A stream to a node, opened by somebody who may write anything on it. */
  async function rawStream(): Promise<{
    node: TestNode;
    link: Link<ExchangeRequestInit>;
    closed: () => string | undefined;
    answers: () => number;
  }> {
    const network = new MemoryNetwork({ clock: new SystemClock() });
    const node = await startNode(groundOn(network), { storeId: 2 });
    let closed: string | undefined;
    let answers = 0;
    const link = network.wire('stranger').openExchange(
      { address: node.address, lane: 'control' },
      {
        onFrame: (frame) => {
          answers += frame.answers.length;
        },
        onDrain: () => {},
        onEnd: () => {},
        onClose: (error) => {
          closed = error?.code ?? 'in order';
        },
      },
    );
    return { node, link, closed: () => closed, answers: () => answers };
  }

  const HELLO = {
    clusterId: 'test',
    fromStoreId: 1n,
    incarnation: 1n,
    fromAddress: 'stranger',
    toStoreId: 0n,
    protocolVersion: 1,
  };

  test('a malformed envelope is dropped and counted, and the stream goes on', async () => {
    const { node, link, answers } = await rawStream();
    link.write({ hello: HELLO, envelopes: [{ shardId: 1n }] });
    link.write({ envelopes: [{ shardId: 2n ** 64n - 1n }] });
    link.write({ calls: [{ id: 1n, timeoutMs: 1000, request: clusterRequest() }] });
    await until('the call is answered', () => answers() === 1);
    assert.equal(node.counted('matrixkv_transport_dropped_total', 'malformed'), 2);
    assert.equal(node.received.length, 0);
    await node.transport.close();
  });

  test('a stream without hello is refused before anything in it is looked at', async () => {
    const { node, link, closed } = await rawStream();
    link.write({ calls: [{ id: 1n, timeoutMs: 1000, request: clusterRequest() }] });
    await until('it is closed', () => closed() !== undefined);
    assert.equal(closed(), 'INVALID_ARGUMENT');
    await node.transport.close();
  });

  test('a protocol that is too old is refused', async () => {
    const { node, link, closed } = await rawStream();
    link.write({ hello: { ...HELLO, protocolVersion: 0 } });
    await until('it is closed', () => closed() !== undefined);
    assert.equal(closed(), 'UNSUPPORTED');
    await node.transport.close();
  });
});
