// The ground of the tests of a replica: one replica over a memory engine, whose turns the test drives
// itself, and whose peers the test plays.

import type { Clock } from '../../kernel/clock.ts';
import type { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import { SeededRandom } from '../../kernel/random.ts';
import type { Message } from '../raft/messages.ts';
import { applyStateKey, metaKey } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { KvMachine } from './kv-machine.ts';
import type { LogLimits } from './log-compaction.ts';
import { readLog } from './log-store.ts';
import { engineReader, WHOLE_SHARD } from './machine-suite.ts';
import { Replica } from './replica.ts';
import type { ShardMeta } from './shard-meta.ts';
import { type ApplyState, decodeApplyState, decodeMeta, type MetaRecord } from './shard-records.ts';
import { writeFirstState } from './split-apply.ts';
import type { Effect, Turn } from './turn.ts';
import type { Waiter } from './waiters.ts';

const RIG_LIMITS: LogLimits = {
  messageBytesMax: 100_000,
  inflightMessagesMax: 64,
  inflightBytesMax: 100_000,
  uncommittedBytesMax: 100_000,
  applyBytesMax: 100_000,
  logEntriesMax: 50,
  logBytesMax: 100_000,
  cutEntriesMax: 1000,
  proposalsMax: 8,
  readsMax: 8,
};

/** A group of one voter: it commits on its own. */
export const LONE_SHARD: ShardMeta = { ...WHOLE_SHARD, replicas: WHOLE_SHARD.replicas.slice(0, 1) };
/** Three voters; the test plays the other two. */
export const TRIO_SHARD: ShardMeta = {
  ...WHOLE_SHARD,
  replicas: WHOLE_SHARD.replicas.map((replica) => ({ ...replica, role: 'voter' })),
};

export type Told = { readonly value: Uint8Array } | { readonly error: MatrixError };

export class ReplicaRig {
  readonly engine = new MemoryEngine();
  readonly sent: Message[] = [];
  readonly effects: Effect[] = [];
  readonly reserved: ShardMeta[] = [];
  now = 0;
  readonly #meta: ShardMeta;
  readonly #limits: LogLimits;
  #replica: Replica | undefined;

  private constructor(meta: ShardMeta, limits: Partial<LogLimits>) {
    this.#meta = meta;
    this.#limits = { ...RIG_LIMITS, ...limits };
  }

  static async open(meta: ShardMeta, limits: Partial<LogLimits> = {}): Promise<ReplicaRig> {
    const rig = new ReplicaRig(meta, limits);
    const batch = new OverlayBatch(rig.engine);
    writeFirstState(batch, meta, 10);
    await rig.engine.write(batch.operations());
    await rig.reopen();
    return rig;
  }

  get replica(): Replica {
    if (this.#replica === undefined) throw new Error('The replica is not open');
    return this.#replica;
  }

  /** As after a crash: nothing but the disk is left. */
  async reopen(): Promise<void> {
    const record = this.record();
    const clock: Clock = {
      now: () => this.now,
      wallNow: () => this.now,
      after: () => ({ cancel: () => {} }),
      soon: () => {},
    };
    const replica = new Replica({
      record,
      shardId: record.meta.id,
      replicaId: record.replicaId,
      log: await readLog(this.engine, record.meta.id),
      machine: (meta) => ({ type: 'data', machine: new KvMachine(record.meta.id, meta) }),
      timing: { electionTicks: 10, heartbeatTicks: 2 },
      limits: this.#limits,
      clock,
      random: new SeededRandom(1),
      observer: SILENT,
    });
    await replica.machine.machine.load(engineReader(this.engine));
    this.#replica = replica;
  }

  record(shardId = this.#meta.id): MetaRecord {
    const key = metaKey(shardId);
    return decodeMeta(key, this.engine.get(key) ?? new Uint8Array());
  }

  applyState(shardId = this.#meta.id): ApplyState {
    const key = applyStateKey(shardId);
    return decodeApplyState(key, this.engine.get(key) ?? new Uint8Array());
  }

  /** Takes part in a turn and leaves it to the caller whether it ever becomes durable. */
  collect(): { readonly batch: OverlayBatch; readonly finish: () => Promise<void> } {
    const batch = new OverlayBatch(this.engine);
    const turn: Turn = {
      batch,
      send: (_, message) => this.sent.push(message),
      effect: (effect) => this.effects.push(effect),
      reserve: (meta) => this.reserved.push(meta),
    };
    const isTaking = this.replica.collect(turn);
    const finish = async (): Promise<void> => {
      await this.engine.write(batch.operations());
      if (isTaking) this.replica.finish((_, message) => this.sent.push(message));
    };
    return { batch, finish };
  }

  /** Turns until nothing is left to do. */
  async settle(): Promise<void> {
    while (this.replica.hasWork()) await this.collect().finish();
    // Waiters are promises: let them hear.
    await Promise.resolve();
  }

  /** The replica leads its group; the votes of others, if it needs any, are given by the test. */
  async lead(): Promise<void> {
    this.replica.campaign();
    await this.settle();
    if (this.#meta.replicas.length === 1) return;
    const { term } = this.replica;
    const vote = { type: 'vote-response', from: 11, to: 10, term, granted: true } as const;
    this.replica.receive(vote);
    await this.settle();
    await this.acknowledge();
  }

  /** Replica 11 has stored everything and answers heartbeats. */
  async acknowledge(): Promise<void> {
    const { term } = this.replica;
    const index = this.replica.status().lastIndex;
    this.replica.receive({ type: 'append-response', from: 11, to: 10, term, index });
    await this.settle();
  }

  async confirmReads(): Promise<void> {
    const { term } = this.replica;
    const heartbeats = this.sent.filter((message) => message.type === 'heartbeat');
    const readSequence = Math.max(...heartbeats.map((message) => message.readSequence));
    this.replica.receive({ type: 'heartbeat-response', from: 11, to: 10, term, readSequence });
    await this.settle();
  }

  /** Somebody else leads in a later term. */
  depose(): void {
    const term = this.replica.term + 1;
    const message = {
      type: 'heartbeat',
      from: 12,
      to: 10,
      term,
      commit: 0,
      readSequence: 0,
    } as const;
    this.replica.receive(message);
  }

  propose(bytes: Uint8Array, deadline = 1e9): Told[] {
    const told: Told[] = [];
    this.replica.propose(bytes, waiterOf(told, deadline));
    return told;
  }

  read(deadline = 1e9): Told[] {
    const told: Told[] = [];
    const { resolve, reject } = waiterOf(told, deadline);
    this.replica.read({ deadline, resolve: () => resolve(new Uint8Array()), reject });
    return told;
  }
}

function waiterOf(told: Told[], deadline: number): Waiter<Uint8Array> {
  return {
    deadline,
    resolve: (value) => told.push({ value }),
    reject: (error) => told.push({ error }),
  };
}

/** What waiters were told, in short. */
export function wordOf(told: readonly Told[]): string {
  return told
    .map((one) => ('error' in one ? `${one.error.code} ${one.error.outcome}` : 'answered'))
    .join(', ');
}
