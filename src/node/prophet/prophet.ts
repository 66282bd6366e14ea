// The face of Prophet on one member: answers the other nodes' requests while this member leads the
// group, and refuses with NOT_LEADER otherwise. Knowledge is in the machine (replicated), leadership
// is volatile, decisions are in the scheduler (pure); this file joins them.
//
// A leader that was deposed without noticing must not mislead: ids and registrations are proposals,
// reads wait for a barrier, and the steps in a heartbeat's answer are void once the epoch moved.

import type { Clock, Timer } from '../../kernel/clock.ts';
import { every } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ReplicaId, StoreId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { ReplicatedGroup } from '../shard/state-machine.ts';
import { checkIdentity, describeTooFew } from './command-checks.ts';
import type { Command } from './commands.ts';
import { answeredValue, encodeCommand } from './commands.ts';
import { Housekeeping } from './housekeeping.ts';
import { Leadership } from './leadership.ts';
import type { ProphetConfig } from './prophet-config.ts';
import { LIMITS } from './prophet-config.ts';
import type { ProphetMachine } from './prophet-machine.ts';
import type * as protocol from './protocol.ts';
import { describeCluster, describeStores, descriptorOf } from './status.ts';

export interface ProphetOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** The group that replicates `machine`. */
  readonly group: ReplicatedGroup;
  readonly machine: ProphetMachine;
  readonly config: ProphetConfig;
  readonly clusterId: string;
  /** Names of all members of Prophet, as configured. */
  readonly memberNames: readonly string[];
}

export class Prophet {
  readonly #options: ProphetOptions;
  readonly #housekeeping: Housekeeping;
  /** Volatile knowledge of the term in which this member leads, or last led. */
  #leadership: Leadership | undefined;
  #timer: Timer | undefined;

  constructor(options: ProphetOptions) {
    this.#options = options;
    const { clock, observer, machine, config, clusterId } = options;
    const propose = (command: Command, deadline: number): Promise<number> =>
      this.#propose(command, deadline);
    this.#housekeeping = new Housekeeping({
      clock,
      observer,
      machine,
      config,
      clusterId,
      propose,
    });
  }

  start(): void {
    const { clock, config } = this.#options;
    this.#timer ??= every(clock, config.patrolMs, () => this.tick());
  }

  /** Ends the patrol. Proposals that are on their way end by their own deadline. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#leadership = undefined;
  }

  /** One round of looking at everything; does nothing on a member that does not lead. */
  tick(): void {
    const leadership = this.#currentLeadership();
    if (leadership === undefined || this.#isForeign()) return;
    this.#housekeeping.run(leadership);
    leadership.patrol(this.#options.clock.now());
  }

  /** Gives a new store its id, and takes note of a known one's restart. Repeatable. */
  async registerStore(
    request: protocol.RegisterStoreRequest,
    deadline: number,
  ): Promise<protocol.RegisterStoreResponse> {
    this.#lead();
    const storeId = await this.#propose({ type: 'register-store', ...request }, deadline);
    const leadership = this.#lead();
    leadership.heartbeats.noteStore(storeId, this.#options.clock.now());
    return { storeId, initialShards: leadership.initialShardsFor(storeId) };
  }

  /** Takes a store's word and answers what its leaders should do. Refused: the store must end. */
  async storeHeartbeat(
    request: protocol.StoreHeartbeatRequest,
  ): Promise<protocol.StoreHeartbeatResponse> {
    const leadership = this.#lead();
    const { storeId } = request;
    const { stores } = this.#options.machine.state;
    const store = stores.get(storeId);
    if (store === undefined) throw mismatch(`Store ${storeId} is not known to this cluster`);
    const refusal = checkIdentity(store, request);
    if (refusal !== undefined) throw new MatrixError(refusal.code, refusal.text, { retry: 'no' });
    if (!leadership.takeHeartbeat(request, this.#options.clock.now())) {
      throw mismatch(`Store ${storeId} was started again by a newer process`);
    }
    return {
      prophetTerm: leadership.term,
      steps: leadership.stepsFor(storeId),
      initialShards: leadership.initialShardsFor(storeId),
      stores: [...stores.values()]
        .filter((other) => other.state !== 'removed' && other.address !== '')
        .map(descriptorOf),
    };
  }

  /** Hands out consecutive ids: a proposal each time, so that no deposed leader can. */
  async allocateIds(count: number, deadline: number): Promise<protocol.AllocateIdsResponse> {
    this.#lead();
    if (!Number.isInteger(count) || count < 1 || count > LIMITS.idsPerCallMax) {
      throw new MatrixError('INVALID_ARGUMENT', `Cannot allocate ${count} ids at once`);
    }
    return { first: await this.#propose({ type: 'extend-ids', count }, deadline) };
  }

  /** Which shards serve a range. Answered at once by a new leader: from what is written (lesson 21). */
  async routes(
    request: protocol.RoutesRequest,
    deadline: number,
  ): Promise<protocol.RoutesResponse> {
    const leadership = await this.#leadUpToDate(deadline);
    const cluster = leadership.cluster(this.#options.clock.now());
    const routes = leadership
      .routes()
      .find(request, request.limit)
      .map((shard) => {
        const status = leadership.heartbeats.status(shard.id);
        const leader = cluster.shards.get(shard.id)?.leader;
        const { replicaId, storeId } = leader ?? { replicaId: NO_ID, storeId: NO_ID };
        return {
          shard,
          ...(status && leader ? { leader: { replicaId, storeId, term: status.term } } : {}),
          sizeBytes: status?.sizeBytes ?? 0,
          keys: status?.keys ?? 0,
        };
      });
    return { routes };
  }

  async stores(deadline: number): Promise<protocol.StoresResponse> {
    const leadership = await this.#leadUpToDate(deadline);
    const { machine, clock } = this.#options;
    return { stores: describeStores(machine.state, leadership, clock.now()) };
  }

  async cluster(deadline: number): Promise<protocol.ClusterResponse> {
    const leadership = await this.#leadUpToDate(deadline);
    const { machine, clock, group } = this.#options;
    const { leader } = group.status();
    return describeCluster(machine.state, leadership, { now: clock.now(), leader });
  }

  /** Begins to empty a store. Refused at once when it could never end (lesson 11). */
  async drain(storeId: StoreId, deadline: number): Promise<void> {
    const leadership = await this.#leadUpToDate(deadline);
    const { machine, clock } = this.#options;
    const { stores, cluster } = machine.state;
    const now = clock.now();
    const others = [...stores.values()].filter(
      (store) =>
        store.id !== storeId &&
        store.state === 'serving' &&
        leadership.heartbeats.liveness(store.id, now) !== 'down',
    );
    const tooFew = describeTooFew(storeId, cluster.maxReplicas, others.length);
    if (stores.get(storeId)?.state === 'serving' && tooFew !== '') {
      throw new MatrixError('PRECONDITION_FAILED', tooFew);
    }
    await this.#propose({ type: 'set-store-state', storeId, state: 'draining' }, deadline);
  }

  async cancelDrain(storeId: StoreId, deadline: number): Promise<void> {
    this.#lead();
    await this.#propose({ type: 'set-store-state', storeId, state: 'serving' }, deadline);
  }

  /**
   * Whether a member with this disk may vote (d.11). The first disk of a name claims it; another
   * disk under the same name has forgotten the votes of the first.
   */
  async probeMember(
    request: protocol.ProbeMemberRequest,
    deadline: number,
  ): Promise<protocol.ProbeMemberResponse> {
    const { name, nonce } = request;
    if (!this.#options.memberNames.includes(name)) {
      throw new MatrixError('INVALID_ARGUMENT', `Prophet has no member named ${name}`);
    }
    if (nonce.length === 0) {
      await this.#leadUpToDate(deadline);
      return { hasTakenPart: this.#options.machine.state.members.has(name) };
    }
    this.#lead();
    return {
      hasTakenPart: (await this.#propose({ type: 'claim-member', name, nonce }, deadline)) === 1,
    };
  }

  async #propose(command: Command, deadline: number): Promise<number> {
    return answeredValue(await this.#options.group.propose(encodeCommand(command), deadline));
  }

  /** This leadership, after everything that was committed before the call is applied here. */
  async #leadUpToDate(deadline: number): Promise<Leadership> {
    this.#lead();
    await this.#options.group.barrier(deadline);
    return this.#lead();
  }

  #lead(): Leadership {
    const leadership = this.#currentLeadership();
    if (leadership === undefined) {
      const { leader, term } = this.#options.group.status();
      throw notLeader(leader, term);
    }
    if (!this.#isForeign()) return leadership;
    const { clusterId } = this.#options.machine.state.cluster;
    throw mismatch(`Cluster id is ${clusterId}, not ${this.#options.clusterId}`);
  }

  /** True when the data directory belongs to another cluster than the configuration says. */
  #isForeign(): boolean {
    const { clusterId } = this.#options.machine.state.cluster;
    return clusterId !== '' && clusterId !== this.#options.clusterId;
  }

  /** The leadership of the current term; begun with empty hands when the term is a new one. */
  #currentLeadership(): Leadership | undefined {
    const { isReadyLeader, term } = this.#options.group.status();
    if (!isReadyLeader) {
      if (this.#leadership !== undefined)
        this.#options.observer.log.info({ term }, 'Prophet lost the lead');
      this.#leadership = undefined;
      return undefined;
    }
    if (this.#leadership?.term === term) return this.#leadership;
    const { clock, machine, config, observer } = this.#options;
    observer.log.info({ term }, 'Prophet leads');
    this.#leadership = new Leadership({ term, now: clock.now(), machine, config, observer });
    return this.#leadership;
  }
}

function mismatch(text: string): MatrixError {
  return new MatrixError('STORE_MISMATCH', text, { retry: 'no' });
}

function notLeader(leader: ReplicaId, term: number): MatrixError {
  const text = 'This member does not lead Prophet';
  if (leader === NO_ID) return new MatrixError('NOT_LEADER', text, { retry: 'later' });
  return new MatrixError('NOT_LEADER', text, {
    hint: { leader: { replicaId: leader, storeId: NO_ID, term } },
  });
}
