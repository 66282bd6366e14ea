// The contract of Transport, run over every wire. Nothing here asserts how long something takes: tests
// wait for what they expect, and give up after a time that only a failure reaches.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { SystemClock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import { SILENT } from '../../kernel/observer.ts';
import { SeededRandom } from '../../kernel/random.ts';
import type { PeerRequestInit } from '../../wire/frames.ts';
import { EXCHANGE_REQUESTS, peerResponse } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { Entry } from '../raft/messages.ts';
import type { TransportLimits } from './limits.ts';
import { NodeTransport } from './node-transport.ts';
import type { CallOptions, Envelope, TransportHandlers } from './transport.ts';
import type { Lane, Wire } from './wire-port.ts';

/** What a kind of wire gives to the suite. */
export interface Ground {
  /** An address that is free. */
  address(): Promise<string>;
  /** The wire of a new process at this address. */
  wire(address: string): Wire;
  /** Ends the process at this address without a word, as SIGKILL would. */
  kill(address: string, wire: Wire): Promise<void>;
}

const PATIENCE_MS = 10_000;
const CLOCK = new SystemClock();

/** Waits until something holds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const end = CLOCK.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(CLOCK.now() < end, `Waited in vain until ${what}`);
    await pause(1);
  }
}

interface NodeOptions {
  readonly address?: string;
  readonly clusterId?: string;
  readonly storeId?: number;
  readonly incarnation?: number;
  readonly limits?: Partial<TransportLimits>;
  readonly handlers?: Partial<TransportHandlers>;
}

interface Sender {
  readonly storeId: number;
  readonly address: string;
}

interface TestNode {
  readonly address: string;
  readonly transport: NodeTransport;
  readonly received: { readonly envelope: Envelope; readonly from: Sender }[];
  readonly unreachable: string[];
  readonly warnings: string[];
  /** Frames written on streams that this node opened, hellos included. */
  readonly frames: { readonly lane: Lane; readonly envelopes: number; readonly calls: number }[];
  /** Lanes of streams that this node ended in order. */
  readonly ended: Lane[];
  counted(name: string, label?: string): number;
  kill(): Promise<void>;
}

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
    peerTests(start);
    identityTests(start);
    limitTests(start);
    snapshotTests(start);

    test('start() refuses an address that is taken, and names it', async () => {
      const { address } = await start();
      const second = new NodeTransport({
        wire: ground().wire(name === 'memory' ? 'elsewhere' : address),
        clock: CLOCK,
        random: new SeededRandom(1),
        observer: SILENT,
        clusterId: 'test',
        listenAddress: address,
        address,
      });
      await assert.rejects(second.start(handlersOf({})), (error) => {
        assert.ok(error instanceof MatrixError);
        assert.equal(error.code, 'UNAVAILABLE');
        assert.ok(error.text.includes(address));
        return true;
      });
      await second.close();
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
  });
}

type Start = (options?: NodeOptions) => Promise<TestNode>;

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

function callTests(start: Start): void {
  test('calls are answered in any order', async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = await start({
      handlers: {
        onCall: async (request) => {
          if (request.request.case === 'routes') await gate;
          return ok(request.request.case === 'routes' ? 1 : 2);
        },
      },
    });
    const client = await start();
    const slow = client.transport.call(server.address, routesRequest(), soon());
    const quick = await client.transport.call(server.address, clusterRequest(), soon());
    assert.deepEqual(quick, ok(2));
    release();
    assert.deepEqual(await slow, ok(1));
  });

  test('the handler learns who asks and until when', async () => {
    const asked: { from: Sender; leftMs: number }[] = [];
    const server = await start({
      handlers: {
        onCall: async (_request, from, { deadline }) => {
          asked.push({ from, leftMs: deadline - CLOCK.now() });
          return ok(1);
        },
      },
    });
    const client = await start({ storeId: 7 });
    await client.transport.call(server.address, clusterRequest(), soon(5000));
    assert.equal(asked[0]?.from.storeId, 7);
    assert.equal(asked[0]?.from.address, client.address);
    assert.ok((asked[0]?.leftMs ?? 0) > 0 && (asked[0]?.leftMs ?? 0) <= 5000);
  });

  test('an error arrives with everything it says', async () => {
    const hint = { leader: { replicaId: 4, storeId: 2, term: 9 } };
    const server = await start({
      handlers: {
        onCall: () => {
          throw new MatrixError('NOT_LEADER', 'Ask another', { hint, retryAfterMs: 5 });
        },
      },
    });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      (error) => {
        assert.ok(error instanceof MatrixError);
        const { code, text, retry, outcome, retryAfterMs } = error;
        assert.deepEqual(
          { code, text, retry, outcome, retryAfterMs, hint: error.hint },
          {
            code: 'NOT_LEADER',
            text: 'Ask another',
            retry: 'elsewhere',
            outcome: 'not-applied',
            retryAfterMs: 5,
            hint,
          },
        );
        return true;
      },
    );
  });

  test('a failure that is not ours becomes INTERNAL', async () => {
    const server = await start({
      handlers: { onCall: () => Promise.reject(new TypeError('Broken')) },
    });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      hasCode('INTERNAL', 'unknown'),
    );
  });

  test('a call without answer ends at its deadline, and its outcome is unknown', async () => {
    const server = await start({ handlers: { onCall: () => new Promise(() => {}) } });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon(300)),
      hasCode('TIMEOUT', 'unknown'),
    );
    assert.ok(client.frames.some((frame) => frame.calls === 1));
  });

  test('a call whose deadline has passed is not sent', async () => {
    const server = await start();
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon(-1)),
      hasCode('TIMEOUT', 'not-applied'),
    );
    assert.equal(client.frames.length, 0);
  });

  test('a request of an unknown kind is refused as UNSUPPORTED', async () => {
    const server = await start();
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, peerRequest({ case: undefined }), soon()),
      hasCode('UNSUPPORTED', 'not-applied'),
    );
  });
}

function peerTests(start: Start): void {
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
    await until('the connection is ended', () => a.ended.length === 1);
    a.transport.send(b.address, heartbeat(2));
    await until('it arrives', () => b.received.length === 2);
    assert.deepEqual(a.unreachable, []);
  });
}

function identityTests(start: Start): void {
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

function snapshotTests(start: Start): void {
  const CHUNK_BYTES = 128 * 1024;

  test('a snapshot arrives whole and in order', async () => {
    const taken: Uint8Array[] = [];
    const headers: { header: Uint8Array; from: Sender }[] = [];
    const receiver = await start({
      storeId: 2,
      handlers: {
        onSnapshot: async (from, header, chunks) => {
          headers.push({ header, from });
          for await (const chunk of chunks) taken.push(chunk);
        },
      },
    });
    const sender = await start({ storeId: 1, limits: { chunkBytes: 1000 } });
    await sender.transport.sendSnapshot(receiver.address, {
      toStoreId: 2,
      header: Uint8Array.of(1, 2, 3),
      chunks: numbered(20, 2500),
      signal: new AbortController().signal,
    });
    assert.deepEqual(headers[0]?.header, Uint8Array.of(1, 2, 3));
    assert.equal(headers[0]?.from.storeId, 1);
    const bytes = Buffer.concat(taken);
    assert.equal(bytes.length, 20 * 2500);
    for (let index = 0; index < 20; index += 1) assert.equal(bytes[index * 2500 + 7], index);
    assert.ok(taken.every((chunk) => chunk.length <= 1000));
  });

  test('a slow receiver slows the sender down', async () => {
    const count = 400;
    let produced = 0;
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let taken = 0;
    const receiver = await start({
      handlers: {
        onSnapshot: async (_from, _header, chunks) => {
          for await (const _ of chunks) {
            if (taken === 0) await gate;
            taken += 1;
          }
        },
      },
    });
    const sender = await start();
    const done = sender.transport.sendSnapshot(receiver.address, {
      toStoreId: 0,
      header: Uint8Array.of(1),
      chunks: numbered(count, CHUNK_BYTES, () => {
        produced += 1;
      }),
      signal: new AbortController().signal,
    });
    await until('some chunks are under way', () => produced > 4);
    // The source is asked for no more once every buffer on the way is full.
    let before = -1;
    while (before !== produced) {
      before = produced;
      await pause(100);
    }
    assert.ok(produced < count / 2, `${produced} chunks were taken from the source`);
    release();
    await done;
    assert.equal(taken, count);
  });

  test('an aborted snapshot ends on both sides', async () => {
    let failure: unknown;
    let taken = 0;
    const receiver = await start({
      handlers: {
        onSnapshot: async (_from, _header, chunks) => {
          try {
            for await (const _ of chunks) taken += 1;
          } catch (error) {
            failure = error;
            throw error;
          }
        },
      },
    });
    const sender = await start();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await new Promise(() => {});
    }
    const done = sender.transport.sendSnapshot(receiver.address, {
      toStoreId: 0,
      header: Uint8Array.of(1),
      chunks: endless(),
      signal: controller.signal,
    });
    const settled = assert.rejects(done, isUnavailable);
    await until('the first chunk is taken', () => taken === 1);
    controller.abort();
    await settled;
    await until('the receiver hears of it', () => failure !== undefined);
    assert.ok(isUnavailable(failure));
  });

  test('a receiver that refuses a snapshot says why', async () => {
    const receiver = await start({
      handlers: {
        onSnapshot: () => Promise.reject(new MatrixError('OVERLOADED', 'Two are coming in')),
      },
    });
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: numbered(100, CHUNK_BYTES),
        signal: new AbortController().signal,
      }),
      hasCode('OVERLOADED', 'not-applied'),
    );
  });

  test('a snapshot for another store is refused before its content is looked at', async () => {
    const receiver = await start({
      storeId: 3,
      handlers: { onSnapshot: () => Promise.reject(new Error('Must not be called')) },
    });
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 2,
        header: Uint8Array.of(1),
        chunks: numbered(3, 10),
        signal: new AbortController().signal,
      }),
      hasCode('STORE_MISMATCH', 'not-applied'),
    );
  });

  test('a stream on which nothing moves is given up', async () => {
    const receiver = await start({
      limits: { snapshotStallMs: 50 },
      handlers: {
        onSnapshot: async (_from, _header, chunks) => {
          for await (const _ of chunks);
        },
      },
    });
    const sender = await start();
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await new Promise(() => {});
    }
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: stuck(),
        signal: new AbortController().signal,
      }),
      hasCode('TIMEOUT', 'unknown'),
    );
  });

  test('a peer that is not there fails the snapshot', async () => {
    const gone = await start();
    await gone.kill();
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(gone.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: numbered(3, 10),
        signal: new AbortController().signal,
      }),
      isUnavailable,
    );
  });
}

async function* numbered(
  count: number,
  bytes: number,
  onTake: () => void = () => {},
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    onTake();
    yield new Uint8Array(bytes).fill(index);
  }
}

async function startNode(ground: Ground, options: NodeOptions): Promise<TestNode> {
  const address = options.address ?? (await ground.address());
  const wire = ground.wire(address);
  const frames: TestNode['frames'] = [];
  const ended: Lane[] = [];
  const counts = new Map<string, number>();
  const warnings: string[] = [];
  const observer = recordingObserver(counts, warnings);
  const transport = new NodeTransport({
    wire: recordingWire(wire, { frames, ended }),
    clock: CLOCK,
    random: new SeededRandom(1),
    observer,
    clusterId: options.clusterId ?? 'test',
    listenAddress: address,
    address,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const node: TestNode = {
    address,
    transport,
    received: [],
    unreachable: [],
    warnings,
    frames,
    ended,
    counted: (name, label = '') => counts.get(`${name} ${label}`) ?? 0,
    kill: () => ground.kill(address, wire),
  };
  if (options.storeId !== undefined) {
    transport.identify({ storeId: options.storeId, incarnation: options.incarnation ?? 1 });
  }
  await transport.start(handlersOf({ node, ...options.handlers }));
  return node;
}

function handlersOf(
  options: { readonly node?: TestNode } & Partial<TransportHandlers>,
): TransportHandlers {
  const { node, ...handlers } = options;
  return {
    onEnvelope: (envelope, from) => node?.received.push({ envelope, from }),
    onCall: () => Promise.resolve(ok(1)),
    onSnapshot: () => Promise.resolve(),
    onUnreachable: (address) => node?.unreachable.push(address),
    ...handlers,
  };
}

function recordingObserver(counts: Map<string, number>, warnings: string[]): Observer {
  return {
    log: { ...SILENT.log, warn: (_fields, message) => warnings.push(message) },
    metrics: {
      ...SILENT.metrics,
      count: (name, by = 1, labels = {}) => {
        const key = `${name} ${Object.values(labels).join(',')}`;
        counts.set(key, (counts.get(key) ?? 0) + by);
      },
    },
  };
}

function recordingWire(wire: Wire, { frames, ended }: Pick<TestNode, 'frames' | 'ended'>): Wire {
  return {
    listen: (address, acceptor) => wire.listen(address, acceptor),
    openSnapshot: (target, events) => wire.openSnapshot(target, events),
    openExchange: (target, events) => {
      const link = wire.openExchange(target, events);
      return {
        write: (frame) => {
          const { envelopes = [], calls = [] } = frame;
          frames.push({ lane: target.lane, envelopes: envelopes.length, calls: calls.length });
          return link.write(frame);
        },
        end: () => {
          ended.push(target.lane);
          link.end();
        },
        destroy: (error) => link.destroy(error),
        pause: () => link.pause(),
        resume: () => link.resume(),
      };
    },
    close: () => wire.close(),
  };
}

function heartbeat(shardId: number): Envelope {
  const message = { type: 'heartbeat', from: 10, to: 20, term: 3, commit: 5, readSequence: 0 };
  return { ...addressed(shardId), message: { ...message, type: 'heartbeat' } };
}

function append(shardId: number, bytes: number): Envelope {
  const data = new Uint8Array(bytes).fill(7);
  const entries: Entry[] = [{ term: 3, index: 6, kind: 'normal', data }];
  const previous = { term: 2, index: 5 };
  return {
    ...addressed(shardId),
    message: { type: 'append', from: 10, to: 20, term: 3, previous, entries, commit: 5 },
  };
}

function addressed(shardId: number): Omit<Envelope, 'message'> {
  return {
    shardId,
    toStoreId: 0,
    from: { replicaId: 10, storeId: 1, role: 'voter' },
    to: { replicaId: 20, storeId: 2, role: 'voter' },
    shard: {
      start: Uint8Array.of(1),
      end: new Uint8Array(0),
      epoch: { generation: 1, confVersion: 2 },
    },
  };
}

function soon(ms = 5000): CallOptions {
  return { toStoreId: 0, deadline: CLOCK.now() + ms };
}

function ok(first: number): PeerResponse {
  return peerResponse({
    case: 'allocateIds',
    value: { $typeName: 'matrixkv.v1.AllocateIdsResponse', first: BigInt(first) },
  });
}

/** A whole message, as a real caller has it. */
function peerRequest(request: NonNullable<PeerRequestInit['request']>): PeerRequest {
  const bytes = EXCHANGE_REQUESTS.encode({ calls: [{ request: { request } }] });
  const whole = EXCHANGE_REQUESTS.decode(bytes).calls[0]?.request;
  assert.ok(whole);
  return whole;
}

function clusterRequest(): PeerRequest {
  return peerRequest({ case: 'cluster', value: {} });
}

function routesRequest(): PeerRequest {
  return peerRequest({ case: 'routes', value: {} });
}

function hasCode(code: string, outcome: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof MatrixError, String(error));
    assert.deepEqual({ code: error.code, outcome: error.outcome }, { code, outcome }, error.text);
    return true;
  };
}

function isUnavailable(error: unknown): boolean {
  return error instanceof MatrixError && error.code === 'UNAVAILABLE';
}
