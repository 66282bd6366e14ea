// Every number that bounds the routing room. Tests pass smaller ones.

export interface RoutingLimits {
  /** Requests that a node works on for its users; beyond, OVERLOADED. */
  readonly requestsInFlight: number;
  /** Writes of this node that wait for their answer; beyond, OVERLOADED. */
  readonly writesOutstanding: number;
  /** A session whose oldest open write lies so far back is replaced by a new one. */
  readonly sessionSpan: number;
  /** Shards whose place is remembered; beyond, others are forgotten. */
  readonly routes: number;
  /** How many routes one question to Prophet brings. */
  readonly routesPerLookup: number;
  readonly lookupTimeoutMs: number;
  /** The first attempt at one store may take so long, later ones up to the maximum. */
  readonly attemptTimeoutMs: number;
  readonly attemptTimeoutMsMax: number;
  /** Attempts made at once after another before a pause, whatever they taught. */
  readonly attemptsPerRound: number;
  readonly pauseMs: number;
  /** The longest pause while a new leader is likely to come: for this long a call is eager. */
  readonly eagerPauseMsMax: number;
  readonly eagerMs: number;
  readonly pauseMsMax: number;
  /** A store that did not answer is asked last for so long. */
  readonly suspicionMs: number;
  /** One scan ends its page when it holds so much. */
  readonly scanBytes: number;
  /** Shards that one scan visits at most. */
  readonly scanShards: number;
}

export const ROUTING_LIMITS: RoutingLimits = {
  requestsInFlight: 8192,
  writesOutstanding: 4096,
  sessionSpan: 4096,
  routes: 100_000,
  routesPerLookup: 256,
  lookupTimeoutMs: 1000,
  attemptTimeoutMs: 1000,
  attemptTimeoutMsMax: 4000,
  attemptsPerRound: 8,
  pauseMs: 20,
  eagerPauseMsMax: 100,
  eagerMs: 5000,
  pauseMsMax: 1000,
  suspicionMs: 2000,
  scanBytes: 2 ** 20,
  scanShards: 128,
};
