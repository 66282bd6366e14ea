// Makes replicas: from what the disk says, or from nothing but an id that a message named.

import type { Clock } from '../../kernel/clock.ts';
import { NO_ID, PROPHET_SHARD, type ReplicaId, type ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import { fork, type Random } from '../../kernel/random.ts';
import type { HardState } from '../raft/messages.ts';
import type { ReplicaMachine } from '../shard/applier.ts';
import { KvMachine } from '../shard/kv-machine.ts';
import type { LogLimits } from '../shard/log-compaction.ts';
import type { StoredLog } from '../shard/log-store.ts';
import { Replica, type ReplicaTiming } from '../shard/replica.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeHardState, type MetaRecord } from '../shard/shard-records.ts';
import type { StateMachine } from '../shard/state-machine.ts';
import type { Engine } from '../storage/engine.ts';
import { hardStateKey } from '../storage/keys.ts';
import { stateReader } from './state-reader.ts';

export interface ReplicaFactoryOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly timing: ReplicaTiming;
  readonly limits: LogLimits;
  /** Prophet's state machine, on a node with that role. */
  readonly prophetMachine?: StateMachine;
}

const NOTHING = { term: 0, index: 0 };

export class ReplicaFactory {
  readonly #options: ReplicaFactoryOptions;

  constructor(options: ReplicaFactoryOptions) {
    this.#options = options;
  }

  /** A replica as the disk knows it, with its state machine loaded. */
  async open(record: MetaRecord, log: StoredLog): Promise<Replica> {
    const replica = this.#make({
      shardId: record.meta.id,
      replicaId: record.replicaId,
      record,
      log,
    });
    await this.load(replica);
    return replica;
  }

  /** Reads the state machine anew: at start, and after a snapshot. */
  load(replica: Replica): Promise<void> {
    return replica.machine.machine.load(stateReader(this.#options.engine));
  }

  /**
   * A core that knows its id only. It may vote, so it starts with whatever vote the disk remembers;
   * the commit of that record belongs to a state that is no longer there.
   */
  uninitialised(shardId: ShardId, replicaId: ReplicaId): Replica {
    const hardState = { ...this.#storedHardState(shardId), commit: 0 };
    const log = { hardState, applied: NOTHING, truncated: NOTHING, entries: [] };
    return this.#make({ shardId, replicaId, log });
  }

  #make(replica: {
    shardId: ShardId;
    replicaId: ReplicaId;
    record?: MetaRecord;
    log: StoredLog;
  }): Replica {
    const { clock, random, observer, timing, limits } = this.#options;
    const machine = (meta: () => ShardMeta): ReplicaMachine => this.#machine(replica.shardId, meta);
    return new Replica({
      ...replica,
      machine,
      clock,
      observer,
      timing,
      limits,
      random: fork(random),
    });
  }

  #machine(shardId: ShardId, meta: () => ShardMeta): ReplicaMachine {
    const { prophetMachine } = this.#options;
    if (shardId === PROPHET_SHARD && prophetMachine !== undefined) {
      return { type: 'prophet', machine: prophetMachine };
    }
    return { type: 'data', machine: new KvMachine(shardId, meta) };
  }

  #storedHardState(shardId: ShardId): HardState {
    const key = hardStateKey(shardId);
    const bytes = this.#options.engine.get(key);
    return bytes === undefined ? { term: 0, vote: NO_ID, commit: 0 } : decodeHardState(key, bytes);
  }
}
