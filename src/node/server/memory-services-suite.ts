// What the tests of both faces stand on: a whole key-value service in memory, a cluster that is only
// described, a clock that the test moves, and a real server over them on a free port.

import { after } from 'node:test';
import { compareBytes, EMPTY, toMapKey } from '../../kernel/bytes.ts';
import type { Clock, Timer } from '../../kernel/clock.ts';
import { SystemClock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import type {
  AdminService,
  CallContext,
  ClusterView,
  DeleteRequest,
  Health,
  KvService,
  PutRequest,
  ShardView,
  StoreView,
} from '../routing/services.ts';
import type {
  GetResult,
  Precondition,
  ScanRequest,
  ScanResult,
  WriteResult,
} from '../shard/kv-types.ts';
import type { HttpServer, HttpServerOptions } from './http-server.ts';
import { startHttpServer } from './http-server.ts';
import { DEFAULT_SERVER_LIMITS } from './limits.ts';

interface Stored {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly version: number;
}

/** Keeps keys in a map. Can be held, so that a test sees a call while it is under way. */
export class MemoryKv implements KvService {
  readonly #clock: Clock;
  readonly #keys = new Map<string, Stored>();
  #version = 0;
  #gate: PromiseWithResolvers<void> | undefined;
  #arrived = Promise.withResolvers<CallContext>();
  /** Every call, in the order of coming, as `put`, `get`, and so on. */
  readonly calls: string[] = [];
  /** What every call fails with, when set. */
  failure: Error | undefined;
  /** A service that forgets its deadline, to see what the server does. */
  ignoresDeadline = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** From now on calls wait until the returned function is called. */
  hold(): () => void {
    const gate = Promise.withResolvers<void>();
    this.#gate = gate;
    return () => {
      this.#gate = undefined;
      gate.resolve();
    };
  }

  /** The context of the next call, as soon as it is here. */
  nextCall(): Promise<CallContext> {
    this.#arrived = Promise.withResolvers();
    return this.#arrived.promise;
  }

  async get(key: Uint8Array, context: CallContext): Promise<GetResult> {
    await this.#enter('get', context);
    const stored = this.#keys.get(toMapKey(key));
    if (stored === undefined) return { found: false };
    return { found: true, value: stored.value, version: stored.version };
  }

  async put({ key, value, precondition }: PutRequest, context: CallContext): Promise<WriteResult> {
    await this.#enter('put', context);
    const stored = this.#keys.get(toMapKey(key));
    if (!holds(precondition, stored)) return refused(stored);
    this.#version += 1;
    const entry = { key: key.slice(), value: value.slice(), version: this.#version };
    this.#keys.set(toMapKey(key), entry);
    return { applied: true, existed: stored !== undefined, version: this.#version };
  }

  async delete({ key, precondition }: DeleteRequest, context: CallContext): Promise<WriteResult> {
    await this.#enter('delete', context);
    const stored = this.#keys.get(toMapKey(key));
    if (!holds(precondition, stored)) return refused(stored);
    this.#version += 1;
    this.#keys.delete(toMapKey(key));
    return { applied: true, existed: stored !== undefined, version: this.#version };
  }

  async scan(request: ScanRequest, context: CallContext): Promise<ScanResult> {
    await this.#enter('scan', context);
    const { start, end, limit, reverse, keysOnly } = request;
    const all = [...this.#keys.values()]
      .filter(({ key }) => compareBytes(key, start) >= 0)
      .filter(({ key }) => end.length === 0 || compareBytes(key, end) < 0)
      .sort((a, b) => compareBytes(a.key, b.key) * (reverse ? -1 : 1));
    const items = all
      .slice(0, limit)
      .map((stored) => ({ ...stored, value: keysOnly ? EMPTY : stored.value }));
    const following = all[limit];
    if (following === undefined) return { items };
    return { items, next: reverse ? (items.at(-1)?.key ?? end) : following.key };
  }

  async #enter(call: string, context: CallContext): Promise<void> {
    this.calls.push(call);
    this.#arrived.resolve(context);
    if (this.#gate !== undefined) await this.#wait(this.#gate.promise, context);
    if (this.failure !== undefined) throw this.failure;
  }

  async #wait(gate: Promise<void>, { deadline, signal }: CallContext): Promise<void> {
    const late = Promise.withResolvers<void>();
    const stop = (): void => late.reject(new MatrixError('TIMEOUT', 'No answer in time'));
    signal?.addEventListener('abort', stop, { once: true });
    const waitMs = this.ignoresDeadline ? undefined : deadline - this.#clock.now();
    const timer = waitMs === undefined ? undefined : this.#clock.after(waitMs, stop);
    try {
      await Promise.race([gate, late.promise]);
    } finally {
      timer?.cancel();
    }
  }
}

function holds(precondition: Precondition | undefined, stored: Stored | undefined): boolean {
  if (precondition === undefined) return true;
  if (precondition.type === 'absent') return stored === undefined;
  if (precondition.type === 'present') return stored !== undefined;
  return stored?.version === precondition.version;
}

function refused(stored: Stored | undefined): WriteResult {
  return { applied: false, existed: stored !== undefined, version: stored?.version ?? 0 };
}

const SHARD: ShardView = {
  id: 2,
  start: EMPTY,
  end: Uint8Array.of(0xff, 0x01),
  epoch: { generation: 3, confVersion: 5 },
  replicas: [
    { replicaId: 3, storeId: 1, role: 'voter' },
    { replicaId: 8, storeId: 7, role: 'voter' },
  ],
  leaderStoreId: 7,
  sizeBytes: 4096,
  keys: 12,
};

const STORE: StoreView = {
  id: 1,
  name: 'node0',
  address: '127.0.0.1:8081',
  httpAddress: '127.0.0.1:8080',
  state: 'up',
  shards: 1,
  leaders: 0,
  sizeBytes: 4096,
  lastHeartbeatMs: 120,
  version: '0.1.0',
  labels: { zone: 'a' },
  blockedBy: '',
};

const CLUSTER: ClusterView = {
  clusterId: 'c-1',
  version: '0.1.0',
  bootstrapped: true,
  maxReplicas: 3,
  prophet: { leader: 'node0', term: 4, members: [{ name: 'node0', address: '127.0.0.1:8081' }] },
  stores: 2,
  storesUp: 2,
  shards: 1,
  shardsUnderReplicated: 0,
  shardsWithoutLeader: 0,
};

/** One shard on stores 1 and 7; this node is store 1. */
export class MemoryAdmin implements AdminService {
  readonly storeId = 1;
  shardViews: readonly ShardView[] = [SHARD];
  /** Orders that were carried out, as words. */
  readonly orders: string[] = [];
  healthNow: Health = {
    isLive: true,
    isReady: true,
    checks: [
      { name: 'storage', problem: '' },
      { name: 'registered', problem: '' },
    ],
  };

  async shards({ isLocal }: { readonly isLocal: boolean }): Promise<readonly ShardView[]> {
    if (!isLocal) return this.shardViews;
    return this.shardViews.filter(({ replicas }) =>
      replicas.some(({ storeId }) => storeId === this.storeId),
    );
  }

  async stores(): Promise<readonly StoreView[]> {
    return [STORE, { ...STORE, id: 7, name: 'node1' }];
  }

  async cluster(): Promise<ClusterView> {
    return CLUSTER;
  }

  health(): Health {
    return this.healthNow;
  }

  async drain(storeId: number): Promise<void> {
    this.#checkStore(storeId);
    this.orders.push(`drain ${storeId}`);
  }

  async cancelDrain(storeId: number): Promise<void> {
    this.#checkStore(storeId);
    this.orders.push(`cancel ${storeId}`);
  }

  async transferLeader(request: { shardId: number; storeId: number }): Promise<void> {
    this.#checkStore(request.storeId);
    this.orders.push(`lead ${request.shardId} from ${request.storeId}`);
  }

  #checkStore(storeId: number): void {
    if (storeId === 1 || storeId === 7) return;
    throw new MatrixError('NOT_FOUND', `There is no store ${storeId}`);
  }
}

/** Stands still until the test moves it. */
export class ManualClock implements Clock {
  #now = 1000;
  #alarms: { readonly at: number; readonly ring: () => void }[] = [];
  readonly soonCalls: (() => void)[] = [];

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return this.#now;
  }

  after(delayMs: number, ring: () => void): Timer {
    const alarm = { at: this.#now + delayMs, ring };
    this.#alarms.push(alarm);
    return {
      cancel: () => {
        this.#alarms = this.#alarms.filter((other) => other !== alarm);
      },
    };
  }

  /** Kept for the test to look at, and never run. */
  soon(callback: () => void): void {
    this.soonCalls.push(callback);
  }

  advance(byMs: number): void {
    this.#now += byMs;
    const due = this.#alarms.filter(({ at }) => at <= this.#now);
    this.#alarms = this.#alarms.filter(({ at }) => at > this.#now);
    for (const { ring } of due) ring();
  }
}

export interface TestServer {
  readonly url: string;
  readonly server: HttpServer;
  readonly kv: MemoryKv;
  readonly admin: MemoryAdmin;
  /** A request to this server; the body of an error is always JSON. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/** A real server on a free port, closed after the test. */
export async function startTestServer(
  changes: Partial<HttpServerOptions> = {},
): Promise<TestServer> {
  const clock = changes.clock ?? new SystemClock();
  const kv = new MemoryKv(clock);
  const admin = new MemoryAdmin();
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    kv,
    admin,
    clock,
    observer: SILENT,
    limits: DEFAULT_SERVER_LIMITS,
    metricsText: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' }),
    ...changes,
  });
  after(() => server.close());
  const url = `http://127.0.0.1:${server.port}`;
  return { url, server, kv, admin, fetch: (path, init) => fetch(`${url}${path}`, init) };
}
