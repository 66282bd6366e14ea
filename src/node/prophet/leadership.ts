// One term of leading Prophet: everything volatile that a leader gathers and decides, thrown away as
// a whole when the term ends. So nothing from an older leadership can leak into a newer one.

import type { ReplicaId, ShardId, StoreId, Term } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { isNewerEpoch, replicaOn } from '../shard/shard-meta.ts';
import type { ClusterInfo } from './cluster-view.ts';
import { gatherCluster } from './cluster-view.ts';
import { Heartbeats } from './heartbeats.ts';
import { isInitial } from './initial-shards.ts';
import { Operators } from './operators.ts';
import { addedTo } from './plan.ts';
import type { BrakeState } from './policies/brake.ts';
import { isBraked, RELEASED, watchForMassFailure } from './policies/brake.ts';
import type { ProphetConfig } from './prophet-config.ts';
import { LIMITS } from './prophet-config.ts';
import type { ProphetMachine } from './prophet-machine.ts';
import type { ShardStep, StoreHeartbeatRequest } from './protocol.ts';
import { RouteTable } from './route-table.ts';
import { schedule } from './scheduler.ts';

export interface LeadershipOptions {
  readonly term: Term;
  readonly now: number;
  readonly machine: ProphetMachine;
  readonly config: ProphetConfig;
  readonly observer: Observer;
}

export class Leadership {
  readonly term: Term;
  readonly heartbeats: Heartbeats;
  #routes: RouteTable;
  /** True once the table was built from a bootstrapped cluster. */
  #isRouted: boolean;
  readonly #machine: ProphetMachine;
  readonly #config: ProphetConfig;
  readonly #observer: Observer;
  readonly #operators: Operators;
  /** Shards that reported an epoch which is not written yet. */
  readonly #unwritten = new Set<ShardId>();
  /** Ids for new replicas, from `next` up to and without `end`. */
  #pool = { next: 0, end: 0 };
  #isShortOfIds = false;
  #brake: BrakeState = RELEASED;

  constructor({ term, now, machine, config, observer }: LeadershipOptions) {
    const { shards, cluster } = machine.state;
    this.term = term;
    this.heartbeats = new Heartbeats({ startedAt: now, shards, config });
    this.#routes = new RouteTable(shards.values());
    this.#isRouted = cluster.isBootstrapped;
    this.#machine = machine;
    this.#config = config;
    this.#observer = observer;
    this.#operators = new Operators(observer.log);
  }

  /** Which shard serves which key. Built anew when the cluster was bootstrapped in this very term. */
  routes(): RouteTable {
    const { cluster, shards } = this.#machine.state;
    if (cluster.isBootstrapped && !this.#isRouted) {
      this.#routes = new RouteTable(shards.values());
      this.#isRouted = true;
    }
    return this.#routes;
  }

  cluster(now: number): ClusterInfo {
    return gatherCluster(this.#machine.state, { heartbeats: this.heartbeats, now });
  }

  /** Takes in what a store says. False: a newer process speaks for this store. */
  takeHeartbeat(request: StoreHeartbeatRequest, now: number): boolean {
    if (!this.heartbeats.takeStore(request, now)) return false;
    let concernsOperators = false;
    for (const report of request.reports) {
      const before = this.heartbeats.meta(report.shard.id);
      if (!this.heartbeats.takeReport(request.storeId, report)) {
        this.#observer.metrics.count('matrixkv_prophet_reports_dropped_total');
        continue;
      }
      concernsOperators ||= this.#operators.has(report.shard.id);
      this.routes().insert(report.shard);
      if (before === undefined || isNewerEpoch(report.shard.epoch, before.epoch)) {
        this.#unwritten.add(report.shard.id);
      }
    }
    if (concernsOperators) this.#operators.advance(this.cluster(now));
    return true;
  }

  stepsFor(storeId: StoreId): readonly ShardStep[] {
    return this.#operators.stepsFor(storeId);
  }

  /** Shards of the bootstrap that this store should hold, as long as their leader misses it there. */
  initialShardsFor(storeId: StoreId): readonly ShardMeta[] {
    return [...this.#machine.state.shards.values()].filter((shard) => {
      const replica = replicaOn(shard, storeId);
      if (replica === undefined || !isInitial(shard)) return false;
      const status = this.heartbeats.status(shard.id);
      if (status === undefined) return true;
      const isMissed = (status.health.get(replica.replicaId)?.downSeconds ?? 0) > 0;
      return isMissed && isInitial(status.meta);
    });
  }

  /** Looks at everything and begins what is due. */
  patrol(now: number): void {
    const cluster = this.cluster(now);
    this.#operators.advance(cluster);
    this.#watchBrake(cluster);
    if (this.#machine.state.cluster.isBootstrapped && this.heartbeats.isPrepared(now)) {
      this.#schedule(cluster);
    }
    this.#observer.metrics.gauge('matrixkv_prophet_operators', this.#operators.size);
  }

  /** True when a plan waits for an id, or soon would. A quiet cluster fetches none. */
  needsIds(): boolean {
    const left = this.#pool.end - this.#pool.next;
    return this.#isShortOfIds || (this.#pool.end > 0 && left < LIMITS.idPoolLow);
  }

  /** What is left of the old window is given up: ids are plenty. */
  takeIds(first: number, count: number): void {
    this.#pool = { next: first, end: first + count };
    this.#isShortOfIds = false;
  }

  /** Shards whose newest epoch is not written yet, a bounded number of them. */
  unwrittenShards(): readonly ShardMeta[] {
    const shards: ShardMeta[] = [];
    for (const id of this.#unwritten) {
      const newest = this.heartbeats.meta(id);
      const written = this.#machine.state.shards.get(id);
      const isNews =
        newest !== undefined && (!written || isNewerEpoch(newest.epoch, written.epoch));
      if (!isNews) this.#unwritten.delete(id);
      else if (shards.push(newest) >= LIMITS.shardsPerProposal) break;
    }
    return shards;
  }

  #schedule(cluster: ClusterInfo): void {
    const { now } = cluster;
    const running = {
      operators: this.#operators.all(),
      addBytesPerStore: this.#operators.addBytesPerStore(now),
    };
    const brake = isBraked(this.#brake, { now, brakeMs: this.#config.brakeMs });
    for (const plan of schedule(cluster, { running, isBraked: brake })) {
      const shard = cluster.shards.get(plan.shardId);
      const freshId = addedTo(plan) === undefined ? NO_ID : this.#freshIdFor(plan.shardId);
      // Without an id the plan is made again in the next round, when the window was refilled.
      if (shard === undefined || freshId === undefined) continue;
      this.#operators.start(plan, { freshId, shard, now });
    }
    this.#operators.advance(cluster);
  }

  /**
   * Stores take a replica with a lower id for an older one, dead and gone. A split draws its ids past
   * the pool, for the shard and then for its replicas: a pool from before the shard is of no use to it.
   */
  #freshIdFor(shardId: ShardId): ReplicaId | undefined {
    const { next, end } = this.#pool;
    if (next >= end || next < shardId) {
      this.#isShortOfIds = true;
      return undefined;
    }
    this.#pool = { next: next + 1, end };
    return next;
  }

  #watchBrake(cluster: ClusterInfo): void {
    const before = this.#brake;
    this.#brake = watchForMassFailure(cluster, before);
    const isEngaged = this.#brake.since !== undefined;
    this.#observer.metrics.gauge('matrixkv_prophet_brake', isEngaged ? 1 : 0);
    if (isEngaged === (before.since !== undefined)) return;
    if (isEngaged) {
      const holdsForMs = this.#config.brakeMs;
      this.#observer.log.error({ holdsForMs }, 'Many stores are down, replicas are not made up');
    } else {
      this.#observer.log.info({}, 'Mass failure is over');
    }
  }
}
