// What every pursuit of a leader shares: the ports, what is known of routes and stores, the limits.

import type { Clock } from '../../kernel/clock.ts';
import type { Random } from '../../kernel/random.ts';
import type { LocalStore } from '../store/local-store.ts';
import type { RouteCache } from './route-cache.ts';
import type { RouteFinder } from './route-finder.ts';
import type { RoutingLimits } from './routing-limits.ts';
import type { ShardCaller } from './shard-caller.ts';
import type { StoreSuspicion } from './store-suspicion.ts';

export interface PursuitContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: RoutingLimits;
  readonly cache: RouteCache;
  readonly finder: RouteFinder;
  readonly suspicion: StoreSuspicion;
  readonly caller: ShardCaller;
  readonly localStore: () => LocalStore | undefined;
}
