// Answers where a key lives: from the replicas on this node, from what was learnt before, and only
// then from Prophet, one question at a time. The data path needs Prophet no more once a route is
// known (lesson 21): refusals of stores repair it (lesson 10).

import { EMPTY } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError, type RouteHint } from '../../kernel/errors.ts';
import { NO_ID, type ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import { replicaById, type ShardMeta } from '../shard/shard-meta.ts';
import type { LocalShard, LocalStore } from '../store/local-store.ts';
import type { ProphetService } from './prophet-service.ts';
import type { RouteCache } from './route-cache.ts';

export interface RouteFinderOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly cache: RouteCache;
  /** The replicas here; undefined on a node without, or before it has its id. */
  readonly localStore: () => LocalStore | undefined;
  readonly prophet: Pick<ProphetService, 'routes'>;
  readonly routesPerLookup: number;
  readonly lookupTimeoutMs: number;
}

export class RouteFinder {
  readonly #options: RouteFinderOptions;
  /** The question to Prophet that is on its way. Never rejects. */
  #lookup: Promise<void> | undefined;

  constructor(options: RouteFinderOptions) {
    this.#options = options;
  }

  /** What is known without asking anybody. */
  known(key: Uint8Array): ShardMeta | undefined {
    const { cache, localStore } = this.#options;
    const local = localStore()?.shardAt(key);
    if (local !== undefined) this.#learnLocal(local);
    return cache.at(key);
  }

  /**
   * Asks Prophet if need be. Its answer may be old; the store that is asked will set it right.
   * Throws UNAVAILABLE or TIMEOUT.
   */
  async find(key: Uint8Array, deadline: number): Promise<ShardMeta> {
    for (;;) {
      const known = this.known(key);
      if (known !== undefined) return known;
      if (this.#options.clock.now() >= deadline) {
        throw new MatrixError('TIMEOUT', 'No route was found in time', { outcome: 'not-applied' });
      }
      if (this.#lookup === undefined) return this.#ask(key, deadline);
      await this.#lookup;
    }
  }

  /** Looks for newer knowledge in the background: somebody was refused everywhere. */
  refresh(key: Uint8Array): void {
    if (this.#lookup !== undefined) return;
    this.#track(this.#fetch(key, Number.POSITIVE_INFINITY));
  }

  /** Takes in what a refusal says. True when something of it was news. */
  learn(shardId: ShardId, hint: RouteHint | undefined): boolean {
    if (hint === undefined) return false;
    const { cache } = this.#options;
    const inserted = (hint.shards ?? []).filter((shard) => cache.insert(copyOf(shard)));
    const isLeaderNews = hint.leader !== undefined && cache.learnLeader(shardId, hint.leader);
    return inserted.length > 0 || isLeaderNews;
  }

  #learnLocal(local: LocalShard): void {
    const { cache } = this.#options;
    const { meta, term } = local;
    cache.insert(meta);
    if (local.leaderReplicaId === NO_ID) return;
    const leader = replicaById(meta, local.leaderReplicaId);
    if (leader === undefined) return;
    cache.learnLeader(meta.id, { replicaId: leader.replicaId, storeId: leader.storeId, term });
  }

  async #ask(key: Uint8Array, deadline: number): Promise<ShardMeta> {
    const answer = this.#fetch(key, deadline);
    this.#track(answer);
    await answer;
    const found = this.known(key);
    if (found !== undefined) return found;
    throw new MatrixError('UNAVAILABLE', 'No shard holds the key yet, as the cluster is starting');
  }

  async #fetch(key: Uint8Array, latest: number): Promise<void> {
    const { clock, prophet, cache, routesPerLookup, lookupTimeoutMs } = this.#options;
    const deadline = Math.min(latest, clock.now() + lookupTimeoutMs);
    const request = { start: key, end: EMPTY, limit: routesPerLookup };
    const { routes } = await prophet.routes(request, deadline);
    for (const { shard, leader } of routes) {
      cache.insert(shard);
      if (leader !== undefined) cache.learnLeader(shard.id, leader);
    }
  }

  /** Others wait for this question instead of asking their own. Its failure is told to the asker. */
  #track(answer: Promise<void>): void {
    const forget = (): void => {
      this.#lookup = undefined;
    };
    this.#lookup = answer.then(forget, (error: unknown) => {
      forget();
      const { log } = this.#options.observer;
      log.debug({ error }, 'Prophet was asked for routes in vain');
    });
  }
}

/** Hints are views of the frame they came in; routes are kept for long. */
function copyOf(shard: ShardMeta): ShardMeta {
  return { ...shard, start: shard.start.slice(), end: shard.end.slice() };
}
