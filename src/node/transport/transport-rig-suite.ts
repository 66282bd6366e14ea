// The ground that the transport's suites stand on: nodes on any wire, what they received, and waiting
// for what is expected. Nothing asserts how long something takes: a wait gives up only after a time
// that no working transport needs.

import assert from 'node:assert/strict';
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
export const CLOCK = new SystemClock();

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = CLOCK.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(CLOCK.now() < end, `Waited in vain until ${what}`);
    await pause(1);
  }
}

export interface NodeOptions {
  readonly address?: string;
  readonly clusterId?: string;
  readonly storeId?: number;
  readonly incarnation?: number;
  readonly limits?: Partial<TransportLimits>;
  readonly handlers?: Partial<TransportHandlers>;
}

export interface Sender {
  readonly storeId: number;
  readonly address: string;
}

export interface TestNode {
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

export type Start = (options?: NodeOptions) => Promise<TestNode>;

export async function startNode(ground: Ground, options: NodeOptions): Promise<TestNode> {
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

export function heartbeat(shardId: number): Envelope {
  const message = { type: 'heartbeat', from: 10, to: 20, term: 3, commit: 5, readSequence: 0 };
  return { ...addressed(shardId), message: { ...message, type: 'heartbeat' } };
}

export function append(shardId: number, bytes: number): Envelope {
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

export function soon(ms = 5000): CallOptions {
  return { toStoreId: 0, deadline: CLOCK.now() + ms };
}

export function ok(first: number): PeerResponse {
  return peerResponse({
    case: 'allocateIds',
    value: { $typeName: 'matrixkv.v1.AllocateIdsResponse', first: BigInt(first) },
  });
}

/** A whole message, as a real caller has it. */
export function peerRequest(request: NonNullable<PeerRequestInit['request']>): PeerRequest {
  const bytes = EXCHANGE_REQUESTS.encode({ calls: [{ request: { request } }] });
  const whole = EXCHANGE_REQUESTS.decode(bytes).calls[0]?.request;
  assert.ok(whole);
  return whole;
}

export function clusterRequest(): PeerRequest {
  return peerRequest({ case: 'cluster', value: {} });
}

export function routesRequest(): PeerRequest {
  return peerRequest({ case: 'routes', value: {} });
}

export function hasCode(code: string, outcome: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof MatrixError, String(error));
    assert.deepEqual({ code: error.code, outcome: error.outcome }, { code, outcome }, error.text);
    return true;
  };
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof MatrixError && error.code === 'UNAVAILABLE';
}
