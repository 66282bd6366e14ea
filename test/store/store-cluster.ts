// Stores of several nodes in one simulated time, joined by a plain message bus: the ground for tests
// of shards, splits, membership and snapshots without router, transport or Prophet.

import { type Observer, SILENT } from '../../src/kernel/observer.ts';
import { fork, SeededRandom } from '../../src/kernel/random.ts';
import type { WriteCommand } from '../../src/node/shard/commands.ts';
import type { ConfChange } from '../../src/node/shard/conf-change.ts';
import type { WriteResult } from '../../src/node/shard/kv-types.ts';
import type { LogLimits } from '../../src/node/shard/log-compaction.ts';
import type { ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { stateRangesOf } from '../../src/node/shard/state-ranges.ts';
import { logRange, stagingsRange } from '../../src/node/storage/keys.ts';
import { MemoryState } from '../../src/node/storage/memory-engine.ts';
import type { LocalShard } from '../../src/node/store/local-store.ts';
import { Store } from '../../src/node/store/store.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { SimulatedClock } from '../sim/simulated-clock.ts';
import { FaultyDisk, type WriteFate } from './faulty-disk.ts';
import { SnapshotLines } from './snapshot-lines.ts';

export interface TestNode {
  readonly storeId: number;
  readonly store: Store;
  readonly clock: SimulatedClock;
  readonly engine: FaultyDisk['engine'];
  readonly disk: FaultyDisk;
}

export interface ClusterOptions {
  readonly shardCapacityBytes?: number;
  readonly seed?: number;
  readonly limits?: Partial<LogLimits>;
}

type WithoutEpoch<Change> = Change extends ConfChange ? Omit<Change, 'epoch'> : never;
type MemberChange = WithoutEpoch<ConfChange>;

const WIRE_MS = 0.2;
const TIMING = { tickMs: 50, electionTicks: 20, heartbeatTicks: 3 };

export class StoreCluster {
  readonly scheduler = new Scheduler();
  readonly nodes = new Map<number, TestNode>();
  readonly failures: unknown[] = [];
  readonly maybeStale: { storeId: number; shardId: number }[] = [];
  /** The snapshots on their way, which a test may cut or hold. */
  readonly lines: SnapshotLines;
  /** False drops the envelope. */
  allow: (envelope: Envelope) => boolean = () => true;
  /** What becomes of a store's n-th write since its start, beginning with 1. */
  fate: (write: { readonly storeId: number; readonly number: number }) => WriteFate = () => 'done';
  /** What Prophet does for splits. */
  allocateIds = async (count: number): Promise<number> => {
    const first = this.#nextId;
    this.#nextId += count;
    return first;
  };
  readonly #started = new Set<TestNode>();
  readonly #limits: Partial<LogLimits>;
  readonly #states = new Map<number, MemoryState>();
  readonly #random: SeededRandom;
  readonly #capacity: number;
  #nextId = 1000;
  #sequence = 0;

  constructor(options: ClusterOptions = {}) {
    this.#random = new SeededRandom(options.seed ?? 1);
    this.#capacity = options.shardCapacityBytes ?? 64 * 1024 * 1024;
    this.#limits = options.limits ?? {};
    this.lines = new SnapshotLines((storeId) => this.#running(storeId));
  }

  async add(storeId: number, observer: Observer = SILENT): Promise<TestNode> {
    const state = this.#states.get(storeId) ?? new MemoryState();
    this.#states.set(storeId, state);
    const clock = new SimulatedClock({ scheduler: this.scheduler });
    const disk = new FaultyDisk({
      state,
      clock,
      fate: (number) => this.fate({ storeId, number }),
      onCrash: () => this.kill(storeId),
    });
    const { engine } = disk;
    const store = new Store({
      engine,
      clock,
      random: fork(this.#random),
      observer,
      timing: TIMING,
      shardCapacityBytes: this.#capacity,
      limits: this.#limits,
      listener: {
        onShardChanged: () => {},
        allocateIds: (count) => this.allocateIds(count),
        onMaybeStale: (shardId) => this.maybeStale.push({ storeId, shardId }),
        onFatal: (error) => this.failures.push(error),
      },
      send: (envelope) => this.#deliver(envelope),
      streamSnapshot: (to, snapshot) => this.lines.stream(storeId, to.replica.storeId, snapshot),
    });
    store.identify(storeId);
    const node = { storeId, store, clock, engine, disk };
    this.nodes.set(storeId, node);
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    const started = store.start();
    started.then(end, end);
    await this.until(() => isOver || clock.isDead(), `store ${storeId} has started`);
    // A process that dies while it starts says nothing more.
    if (clock.isDead()) return node;
    await started;
    this.#started.add(node);
    return node;
  }

  /** kill -9: nothing of the process goes on; what was durable stays. */
  kill(storeId: number): void {
    const node = this.nodes.get(storeId);
    node?.clock.kill();
    this.nodes.delete(storeId);
    this.lines.broken(storeId);
  }

  /** As `kill`, and the disk is lost with it. */
  wipe(storeId: number): void {
    this.kill(storeId);
    this.#states.delete(storeId);
  }

  /** The whole applied state of a shard on one disk, as text that can be compared. */
  async stateOf(storeId: number, meta: ShardMeta): Promise<string> {
    const { engine } = this.#known(storeId);
    const lines: string[] = [];
    for (const range of stateRangesOf(meta)) {
      const page = await engine.scan({ ...range, limit: 1e6, bytesMax: Number.MAX_SAFE_INTEGER });
      for (const { key, value } of page.entries) {
        lines.push(`${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);
      }
    }
    return lines.join('\n');
  }

  /** Of snapshots that come in, or were left behind. */
  async stagedKeys(storeId: number): Promise<number> {
    const { engine } = this.#known(storeId);
    const page = await engine.scan({ ...stagingsRange(), limit: 1e6, bytesMax: 1e12 });
    return page.entries.length;
  }

  /** Flips a byte in the newest log entry of a shard on one disk. */
  async damage(storeId: number, shardId: number): Promise<void> {
    const { engine, store } = this.#known(storeId);
    const range = logRange(shardId, 0, Number.MAX_SAFE_INTEGER);
    const page = await engine.scan({ ...range, limit: 1, bytesMax: 1, reverse: true });
    const entry = page.entries[0];
    if (entry === undefined) throw new Error('There is no entry to damage');
    const value = Uint8Array.from(entry.value);
    value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
    await this.settle(store.writeDurably([{ type: 'put', key: entry.key, value }]));
  }

  /** Asks whoever leads for this change until it is taken: an earlier one may not be durable yet. */
  changeMembers(shardId: number, change: MemberChange): Promise<void> {
    return this.until(() => {
      const leader = this.leader(shardId);
      if (leader === undefined) return false;
      const { epoch } = leader.shard.meta;
      const step = { type: 'conf-change', shardId, change: { epoch, ...change } } as const;
      return leader.node.store.takeStep(step).type === 'taken';
    }, `${change.type} of replica ${change.replicaId} is taken`);
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

  /** Writes many keys at once through the leader of the shard that holds them all. */
  async fill(keys: readonly string[], value: string): Promise<void> {
    const { node, shard } = await this.leaderAt(keys[0] ?? '');
    const deadline = node.clock.now() + 60_000;
    const { id, epoch } = shard.meta;
    const writes = keys.map((key) => {
      const command = this.command(key, value, epoch.generation);
      return node.store.write({ shardId: id, command }, deadline);
    });
    await this.settle(Promise.all(writes));
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
      const node = this.#running(envelope.to.storeId);
      node?.clock.enter(() => node.store.receive(envelope));
    });
  }

  #known(storeId: number): TestNode {
    const node = this.nodes.get(storeId);
    if (node === undefined) throw new Error(`Store ${storeId} does not run`);
    return node;
  }

  #running(storeId: number): TestNode | undefined {
    const node = this.nodes.get(storeId);
    return node !== undefined && this.#started.has(node) ? node : undefined;
  }
}
