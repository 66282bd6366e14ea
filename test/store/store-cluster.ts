// Stores of several nodes in one simulated time, joined by a plain message bus: the ground for tests
// of shards, splits, membership and snapshots without router, transport or Prophet.

import { MatrixError } from '../../src/kernel/errors.ts';
import { type Observer, SILENT } from '../../src/kernel/observer.ts';
import { fork, SeededRandom } from '../../src/kernel/random.ts';
import type { WriteCommand } from '../../src/node/shard/commands.ts';
import type { WriteResult } from '../../src/node/shard/kv-types.ts';
import type { ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { MemoryEngine, MemoryState } from '../../src/node/storage/memory-engine.ts';
import type { LocalShard } from '../../src/node/store/local-store.ts';
import { Store } from '../../src/node/store/store.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { SimulatedClock } from '../sim/simulated-clock.ts';

export interface TestNode {
  readonly storeId: number;
  readonly store: Store;
  readonly clock: SimulatedClock;
  readonly engine: MemoryEngine;
}

export interface ClusterOptions {
  readonly shardCapacityBytes?: number;
  readonly seed?: number;
}

const DISK_MS = 0.3;
const WIRE_MS = 0.2;
const TIMING = { tickMs: 50, electionTicks: 20, heartbeatTicks: 3 };

export class StoreCluster {
  readonly scheduler = new Scheduler();
  readonly nodes = new Map<number, TestNode>();
  readonly failures: unknown[] = [];
  readonly maybeStale: { storeId: number; shardId: number }[] = [];
  /** False drops the envelope. */
  allow: (envelope: Envelope) => boolean = () => true;
  readonly #states = new Map<number, MemoryState>();
  readonly #random: SeededRandom;
  readonly #capacity: number;
  #nextId = 1000;
  #sequence = 0;

  constructor(options: ClusterOptions = {}) {
    this.#random = new SeededRandom(options.seed ?? 1);
    this.#capacity = options.shardCapacityBytes ?? 64 * 1024 * 1024;
  }

  async add(storeId: number, observer: Observer = SILENT): Promise<TestNode> {
    const state = this.#states.get(storeId) ?? new MemoryState();
    this.#states.set(storeId, state);
    const clock = new SimulatedClock({ scheduler: this.scheduler });
    const engine = new MemoryEngine({
      state,
      commit: (apply) =>
        new Promise((resolve) => {
          clock.after(DISK_MS, () => {
            apply();
            resolve();
          });
        }),
    });
    const store = new Store({
      engine,
      clock,
      random: fork(this.#random),
      observer,
      timing: TIMING,
      shardCapacityBytes: this.#capacity,
      listener: {
        onShardChanged: () => {},
        allocateIds: (count) => {
          const first = this.#nextId;
          this.#nextId += count;
          return Promise.resolve(first);
        },
        onMaybeStale: (shardId) => this.maybeStale.push({ storeId, shardId }),
        onFatal: (error) => this.failures.push(error),
      },
      send: (envelope) => this.#deliver(envelope),
      streamSnapshot: async ({ replica }, { header, chunks }) => {
        const receiver = this.nodes.get(replica.storeId);
        if (receiver === undefined) throw new MatrixError('UNAVAILABLE', 'Store is gone');
        await receiver.store.receiveSnapshot(header, chunks);
      },
    });
    store.identify(storeId);
    const node = { storeId, store, clock, engine };
    this.nodes.set(storeId, node);
    const started = store.start();
    await this.settle(started);
    return node;
  }

  /** kill -9: nothing of the process goes on; what was durable stays. */
  kill(storeId: number): void {
    const node = this.nodes.get(storeId);
    node?.clock.kill();
    this.nodes.delete(storeId);
  }

  run(ms: number): Promise<boolean> {
    return this.scheduler.run({ untilMs: this.scheduler.now() + ms });
  }

  /** Runs until the condition holds; fails after a simulated minute. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const isReached = await this.scheduler.run({
      untilMs: this.scheduler.now() + 60_000,
      until: condition,
    });
    if (this.failures.length > 0) throw this.failures[0];
    if (!isReached) throw new Error(`Not within a minute: ${what}`);
  }

  /** Runs the simulated time until the promise is settled. */
  async settle<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const end = (): void => {
      isSettled = true;
    };
    promise.then(end, end);
    await this.until(() => isSettled, 'a promise is settled');
    return promise;
  }

  leader(shardId: number): { readonly node: TestNode; readonly shard: LocalShard } | undefined {
    for (const node of this.nodes.values()) {
      const shard = node.store.shard(shardId);
      if (shard?.isLeader === true) return { node, shard };
    }
    return undefined;
  }

  async leaderOf(
    shardId: number,
  ): Promise<{ readonly node: TestNode; readonly shard: LocalShard }> {
    await this.until(() => this.leader(shardId) !== undefined, `shard ${shardId} has a leader`);
    const found = this.leader(shardId);
    if (found === undefined) throw new Error('Leader is gone again');
    return found;
  }

  async bootstrap(storeIds: readonly number[]): Promise<ShardMeta> {
    const meta: ShardMeta = {
      id: 1,
      start: Buffer.alloc(0),
      end: Buffer.alloc(0),
      epoch: { generation: 1, confVersion: 1 },
      replicas: storeIds.map((storeId, position) => ({
        replicaId: 10 + position,
        storeId,
        role: 'voter',
      })),
    };
    for (const node of this.nodes.values()) await this.settle(node.store.createInitial(meta));
    return meta;
  }

  command(key: string, value: string | undefined, generation: number): WriteCommand {
    this.#sequence += 1;
    const session = {
      clientId: Buffer.alloc(16, 7),
      sequence: this.#sequence,
      acknowledgedBelow: this.#sequence,
    };
    const base = { generation, session, key: Buffer.from(key) };
    return value === undefined
      ? { type: 'delete', ...base }
      : { type: 'put', ...base, value: Buffer.from(value) };
  }

  /** Writes through whoever leads the shard that holds the key. */
  async put(key: string, value: string): Promise<WriteResult> {
    const { node, shard } = await this.leaderAt(key);
    const command = this.command(key, value, shard.meta.epoch.generation);
    const deadline = node.clock.now() + 10_000;
    return this.settle(node.store.write({ shardId: shard.meta.id, command }, deadline));
  }

  async get(key: string): Promise<string | undefined> {
    const { node, shard } = await this.leaderAt(key);
    const { id, epoch } = shard.meta;
    const request = { shardId: id, generation: epoch.generation, key: Buffer.from(key) };
    const result = await this.settle(node.store.get(request, node.clock.now() + 10_000));
    return result.found ? Buffer.from(result.value).toString() : undefined;
  }

  async leaderAt(key: string): Promise<{ readonly node: TestNode; readonly shard: LocalShard }> {
    const bytes = Buffer.from(key);
    const find = (): { node: TestNode; shard: LocalShard } | undefined => {
      for (const node of this.nodes.values()) {
        const shard = node.store.shardAt(bytes);
        if (shard?.isLeader === true) return { node, shard };
      }
      return undefined;
    };
    await this.until(() => find() !== undefined, `somebody leads the shard of ${key}`);
    const found = find();
    if (found === undefined) throw new Error('Leader is gone again');
    return found;
  }

  #deliver(envelope: Envelope): void {
    if (!this.allow(envelope)) return;
    this.scheduler.after(WIRE_MS, () => {
      this.nodes.get(envelope.to.storeId)?.store.receive(envelope);
    });
  }
}
