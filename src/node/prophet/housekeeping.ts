// What Prophet's leader writes of its own accord: the configuration, the first shards, a window of
// ids, changed shards, and the end of a drain. Each duty looks whether it is due, proposes at most
// one command at a time, and is looked at again in the next round: failures need no further care.

import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { StoreId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import { replicaOn } from '../shard/shard-meta.ts';
import type { Command } from './commands.ts';
import type { Leadership } from './leadership.ts';
import type { ProphetConfig } from './prophet-config.ts';
import { LIMITS } from './prophet-config.ts';
import type { ProphetMachine } from './prophet-machine.ts';

export interface HousekeepingOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly machine: ProphetMachine;
  readonly config: ProphetConfig;
  readonly clusterId: string;
  readonly propose: (command: Command, deadline: number) => Promise<number>;
}

export class Housekeeping {
  readonly #options: HousekeepingOptions;
  /** Kinds of commands that are being proposed right now. */
  readonly #pending = new Set<Command['type']>();
  #shardsWrittenAt = Number.NEGATIVE_INFINITY;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  /** Begins whatever is due. */
  run(leadership: Leadership): void {
    this.#keepConfig();
    this.#bootstrap(leadership);
    this.#keepIds(leadership);
    this.#writeShards(leadership);
    this.#endDrains(leadership);
  }

  /** The leader's configuration wins over what earlier leaders wrote. */
  #keepConfig(): void {
    const { machine, config, clusterId } = this.#options;
    const { maxReplicas } = config;
    if (machine.state.cluster.maxReplicas === maxReplicas) return;
    this.#propose({ type: 'put-config', clusterId, maxReplicas });
  }

  /** Waits for enough stores, then makes the first shards on as many as are wanted (d.11). */
  #bootstrap({ heartbeats }: Leadership): void {
    const { machine, config, clock } = this.#options;
    const { cluster, stores } = machine.state;
    if (cluster.isBootstrapped || cluster.maxReplicas === 0) return;
    const now = clock.now();
    const up = [...stores.values()]
      .filter((store) => store.state === 'serving' && store.address !== '')
      .filter(
        (store) => heartbeats.isHeard(store.id) && heartbeats.liveness(store.id, now) === 'up',
      )
      .map((store) => store.id)
      .sort((a, b) => a - b);
    if (up.length < Math.min(cluster.maxReplicas, config.bootstrapExpect)) return;
    const storeIds = up.slice(0, cluster.maxReplicas);
    this.#propose({ type: 'bootstrap', storeIds, splitKeys: config.initialSplitKeys });
  }

  #keepIds(leadership: Leadership): void {
    if (!leadership.needsIds()) return;
    const count = LIMITS.idPoolRefill;
    this.#propose({ type: 'extend-ids', count }, (first) => leadership.takeIds(first, count));
  }

  #writeShards(leadership: Leadership): void {
    const now = this.#options.clock.now();
    if (now - this.#shardsWrittenAt < LIMITS.shardFlushMs) return;
    const shards = leadership.unwrittenShards();
    if (shards.length === 0) return;
    this.#shardsWrittenAt = now;
    this.#propose({ type: 'put-shards', shards });
  }

  /** A drained store is removed only on first-hand knowledge that no shard has a replica there. */
  #endDrains(leadership: Leadership): void {
    if (!leadership.heartbeats.isComplete()) return;
    for (const store of this.#options.machine.state.stores.values()) {
      if (store.state !== 'draining' || !this.#isEmpty(store.id, leadership)) continue;
      this.#propose({ type: 'set-store-state', storeId: store.id, state: 'removed' }, () =>
        this.#options.observer.log.info({ store: store.id }, 'Store is drained and removed'),
      );
    }
  }

  #isEmpty(storeId: StoreId, { heartbeats }: Leadership): boolean {
    const liveness = heartbeats.liveness(storeId, this.#options.clock.now());
    const saysEmpty = liveness === 'up' && heartbeats.saysItIsEmpty(storeId);
    if (!saysEmpty && liveness !== 'down') return false;
    const holds = (id: number): boolean => {
      const meta = heartbeats.meta(id);
      return meta !== undefined && replicaOn(meta, storeId) !== undefined;
    };
    if ([...this.#options.machine.state.shards.keys()].some(holds)) return false;
    return ![...heartbeats.reported()].some((status) => holds(status.meta.id));
  }

  #propose(command: Command, whenDone: (value: number) => void = () => {}): void {
    if (this.#pending.has(command.type)) return;
    this.#pending.add(command.type);
    const { clock, observer, propose } = this.#options;
    propose(command, clock.now() + LIMITS.proposalMs)
      .then(whenDone, (error: unknown) => {
        const { code, text } = MatrixError.from(error);
        observer.log.warn({ command: command.type, code, text }, 'Command of Prophet failed');
      })
      .finally(() => this.#pending.delete(command.type));
  }
}
