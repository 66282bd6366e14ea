// When a shard has outgrown its capacity (d.6): the leader looks for keys to cut at, asks Prophet for
// ids, and proposes the split. Everything is checked again when the split is applied.

import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { SplitCommand, SplitPart } from '../shard/commands.ts';
import type { KvMachine } from '../shard/kv-machine.ts';
import { decodeValue } from '../shard/record.ts';
import type { Replica } from '../shard/replica.ts';
import { decodeResult } from '../shard/results.ts';
import { type Epoch, sameEpoch } from '../shard/shard-meta.ts';
import { KeyPlanner, type PlannedPart, type Planner, SplitPlanner } from '../shard/split.ts';
import type { Engine } from '../storage/engine.ts';
import { dataRange, userKeyOf } from '../storage/keys.ts';
import { readPages } from '../storage/read-pages.ts';

export interface SplitterOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Bytes of keys and values at which a shard is split. */
  readonly capacityBytes: number;
  readonly allocateIds: (count: number) => Promise<number>;
  readonly wake: (replica: Replica) => void;
  /** Resolves when everything that is applied by now is on disk. */
  readonly settled: () => Promise<void>;
}

const PAGE_ENTRIES = 1000;
const PAGE_BYTES = 1024 * 1024;
const PROPOSAL_TIMEOUT_MS = 10_000;
/** After a failure: Prophet may be away for a while. */
const RETRY_PAUSE_MS = 1000;

/** Looking through a shard again is for nothing before it holds other keys or has grown so far. */
type Whole =
  | { readonly type: 'single-key'; readonly keys: number }
  | { readonly type: 'counted-too-large'; readonly untilBytes: number };

export class Splitter {
  readonly #options: SplitterOptions;
  readonly #busy = new Set<ShardId>();
  /** Shards that had no place to cut when they were last looked through. */
  readonly #whole = new Map<ShardId, Whole>();

  constructor(options: SplitterOptions) {
    this.#options = options;
  }

  /** Cheap: called for every leader now and then. */
  consider(replica: Replica): void {
    if (!replica.isLeader || replica.machine.type !== 'data' || this.#busy.has(replica.shardId))
      return;
    const { machine } = replica.machine;
    const { sizeBytes, keys } = machine.counters;
    if (sizeBytes < this.#options.capacityBytes) return;
    const whole = this.#whole.get(replica.shardId);
    if (whole?.type === 'single-key' && whole.keys === keys) return;
    if (whole?.type === 'counted-too-large' && sizeBytes < whole.untilBytes) return;
    this.#run(replica, () => this.#splitBySize(replica, machine));
  }

  /** Splits at given keys, at Prophet's wish. */
  splitAt(replica: Replica, keys: readonly Uint8Array[]): void {
    if (this.#busy.has(replica.shardId)) return;
    const { epoch } = replica.meta;
    this.#run(replica, async () => {
      const parts = await this.#measure(replica, new KeyPlanner(keys));
      await this.#propose(replica, { parts, epoch });
    });
  }

  forget(shardId: ShardId): void {
    this.#whole.delete(shardId);
  }

  #run(replica: Replica, work: () => Promise<void>): void {
    const { clock, observer } = this.#options;
    this.#busy.add(replica.shardId);
    const end = (): void => {
      this.#busy.delete(replica.shardId);
    };
    work().then(end, (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      observer.log.warn({ shard: replica.shardId, reason }, 'Split was put off');
      clock.after(RETRY_PAUSE_MS, end);
    });
  }

  async #splitBySize(replica: Replica, machine: KvMachine): Promise<void> {
    const { epoch, start } = replica.meta;
    const { keys, sizeBytes } = machine.counters;
    const targetBytes = this.#options.capacityBytes;
    const planner = new SplitPlanner({ start, sizeBytes, targetBytes });
    // The counters run ahead of the disk by the turn in flight; what they count must be seen below.
    await this.#options.settled();
    const parts = await this.#measure(replica, planner);
    const missingBytes = targetBytes - planner.measuredBytes;
    if (missingBytes > 0) {
      const untilBytes = sizeBytes + missingBytes;
      this.#whole.set(replica.shardId, { type: 'counted-too-large', untilBytes });
      return;
    }
    if (parts.length === 0) {
      this.#whole.set(replica.shardId, { type: 'single-key', keys });
      return;
    }
    this.#whole.delete(replica.shardId);
    await this.#propose(replica, { parts, epoch });
  }

  async #measure(replica: Replica, planner: Planner): Promise<readonly PlannedPart[]> {
    const { engine } = this.#options;
    const range = dataRange(replica.meta);
    const snapshot = engine.snapshot();
    try {
      const options = { ...range, limit: PAGE_ENTRIES, bytesMax: PAGE_BYTES, snapshot };
      for await (const page of readPages(engine, options)) {
        for (const { key, value } of page) {
          const userKey = userKeyOf(key);
          planner.add({
            key: userKey,
            bytes: userKey.length + decodeValue(key, value).value.length,
          });
        }
      }
      return planner.parts();
    } finally {
      await snapshot.close();
    }
  }

  async #propose(
    replica: Replica,
    plan: { readonly parts: readonly PlannedPart[]; readonly epoch: Epoch },
  ): Promise<void> {
    const { clock, observer, wake } = this.#options;
    const { replicas } = replica.meta;
    const idsPerPart = 1 + replicas.length;
    const first = await this.#options.allocateIds(plan.parts.length * idsPerPart);
    if (!replica.isLeader || !sameEpoch(replica.meta.epoch, plan.epoch)) return;
    const parts = plan.parts.map((part, position): SplitPart => {
      const shardId = first + position * idsPerPart;
      return { ...part, shardId, replicaIds: replicas.map((_, offset) => shardId + 1 + offset) };
    });
    const command: SplitCommand = { type: 'split', epoch: plan.epoch, parts };
    const deadline = clock.now() + PROPOSAL_TIMEOUT_MS;
    const result = await new Promise<Uint8Array>((resolve, reject) => {
      replica.proposeSplit(command, { deadline, resolve, reject });
      wake(replica);
    });
    if (decodeResult(result).type !== 'split-done') {
      throw new MatrixError('EPOCH_NOT_MATCH', 'The shard has changed, or the keys do not fit it');
    }
    observer.log.info(
      { shard: replica.shardId, created: parts.map((part) => part.shardId) },
      'Shard was split',
    );
    observer.metrics.count('matrixkv_shard_splits_total');
  }
}
