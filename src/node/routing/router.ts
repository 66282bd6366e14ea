// The data path of a node: takes every request on keys, whoever leads the shard, and carries it to
// the leader: here if the replica on this node leads, otherwise with one call to the leader's store.
// That store executes and never forwards again, so no request can run in circles.

import { EMPTY } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import type { LocalStore } from '../store/local-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import type { ProphetService } from './prophet-service.ts';
import { Pursuit } from './pursuit.ts';
import type { PursuitContext } from './pursuit-context.ts';
import { RouteCache } from './route-cache.ts';
import { RouteFinder } from './route-finder.ts';
import type { RoutingLimits } from './routing-limits.ts';
import { ROUTING_LIMITS } from './routing-limits.ts';
import { scanPages } from './scan-pages.ts';
import type { CallContext, DeleteRequest, KvService, PutRequest } from './services.ts';
import { GatewaySession } from './session.ts';
import { getCall, type ShardCall, writeCall } from './shard-call.ts';
import { ShardCaller } from './shard-caller.ts';
import { StoreSuspicion } from './store-suspicion.ts';

export interface RouterOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  /** The replicas here; undefined on a node without, or before it has its store id. */
  readonly localStore: () => LocalStore | undefined;
  readonly transport: Pick<Transport, 'call'>;
  readonly addressBook: AddressBook;
  readonly prophet: Pick<ProphetService, 'routes'>;
  readonly limits?: Partial<RoutingLimits>;
}

/** A new session is later than what the shard forgot: more than a few renewals are somebody's bug. */
const RENEWALS_MAX = 3;

/** A write as its user asked for it: still without session and generation. */
type UserWrite =
  | ({ readonly type: 'put' } & PutRequest)
  | ({ readonly type: 'delete' } & DeleteRequest);

export class Router implements KvService {
  readonly #context: PursuitContext;
  readonly #session: GatewaySession;
  #inFlight = 0;

  constructor(options: RouterOptions) {
    const { clock, random, observer, localStore, transport, addressBook, prophet } = options;
    const limits = { ...ROUTING_LIMITS, ...options.limits };
    const cache = new RouteCache({ routesMax: limits.routes });
    const { routesPerLookup, lookupTimeoutMs } = limits;
    const lookup = { routesPerLookup, lookupTimeoutMs };
    this.#context = {
      clock,
      random,
      limits,
      localStore,
      cache,
      finder: new RouteFinder({ clock, observer, cache, localStore, prophet, ...lookup }),
      suspicion: new StoreSuspicion({ clock, lastsMs: limits.suspicionMs }),
      caller: new ShardCaller({ localStore, transport, addressBook }),
    };
    this.#session = new GatewaySession({
      clock,
      random,
      outstandingMax: limits.writesOutstanding,
      spanMax: limits.sessionSpan,
    });
  }

  /** Requests that are being worked on. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get(key: Uint8Array, context: CallContext): Promise<GetResult> {
    return this.#admit(() => new Pursuit(this.#context, getCall(key), context).run());
  }

  put(request: PutRequest, context: CallContext): Promise<WriteResult> {
    return this.#admit(() => this.#write({ type: 'put', ...request }, context));
  }

  delete(request: DeleteRequest, context: CallContext): Promise<WriteResult> {
    return this.#admit(() => this.#write({ type: 'delete', ...request }, context));
  }

  scan(request: ScanRequest, context: CallContext): Promise<ScanResult> {
    const { finder, limits } = this.#context;
    return this.#admit(() =>
      scanPages(request, {
        find: (key) => finder.find(key, context.deadline),
        pursue: (call: ShardCall<ScanResult>) => new Pursuit(this.#context, call, context).run(),
        bytesMax: limits.scanBytes,
        shardsMax: limits.scanShards,
      }),
    );
  }

  async #admit<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    if (this.#inFlight >= this.#context.limits.requestsInFlight) {
      throw new MatrixError('OVERLOADED', `${this.#inFlight} requests are in flight on this node`);
    }
    this.#inFlight += 1;
    try {
      return await work();
    } finally {
      this.#inFlight -= 1;
    }
  }

  /**
   * All attempts of one session carry the same stamp. A shard that has forgotten the session cannot
   * tell whether it applied an earlier attempt; only if none can have been, the write starts anew
   * under a new session.
   */
  async #write(write: UserWrite, context: CallContext): Promise<WriteResult> {
    for (let renewals = 0; ; renewals += 1) {
      const open = this.#session.begin();
      const call = writeCall({ ...write, session: open.stamp });
      const pursuit = new Pursuit(this.#context, call, context);
      try {
        return await pursuit.run();
      } catch (error) {
        const expiry = expiryOf(error);
        if (expiry === undefined) throw error;
        this.#session.expire(open.stamp.clientId, expiry.hint?.sessionFloor ?? EMPTY);
        if (pursuit.mayHaveApplied || renewals >= RENEWALS_MAX) throw error;
      } finally {
        open.end();
      }
    }
  }
}

/** The refusal that says that the session was forgotten, also when it is told as unknown outcome. */
function expiryOf(error: unknown): MatrixError | undefined {
  if (!(error instanceof MatrixError)) return undefined;
  if (error.code === 'SESSION_EXPIRED') return error;
  return expiryOf(error.cause);
}
