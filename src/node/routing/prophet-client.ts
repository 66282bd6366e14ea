// Finds the leader of Prophet and asks it: remembers who answered last, follows hints, and tries all
// members in turn until the deadline. When this node's own member leads, it is asked directly.
//
// Invariant: the terms of the answers handed out never fall. What an older leader says, who does not
// know yet that it was replaced, is dropped (d.10).

import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, type ReplicaId, type StoreId } from '../../kernel/ids.ts';
import type { Random } from '../../kernel/random.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { peerRequest } from '../../wire/peer-messages.ts';
import type * as protocol from '../prophet/protocol.ts';
import type { Transport } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import { nextPauseMs, pauseFor } from './pause.ts';
import type { ProphetCall } from './prophet-calls.ts';
import * as calls from './prophet-calls.ts';
import type { ProphetService } from './prophet-service.ts';

export interface ProphetClientOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Pick<Transport, 'call'>;
  readonly addressBook: AddressBook;
  /** The member on this node, if it is one. */
  readonly local?: { readonly replicaId: ReplicaId; readonly prophet: ProphetService };
}

const ATTEMPT_TIMEOUT_MS = 1000;
const PAUSE_MS = 20;
const PAUSE_MS_MAX = 250;

/** What one call has tried so far. */
interface Search {
  readonly tried: Set<ReplicaId>;
  readonly deadline: number;
  rounds: number;
  lastError: MatrixError | undefined;
}

export class ProphetClient implements ProphetService {
  readonly #options: ProphetClientOptions;
  /** Who answered last, or was named by somebody. */
  #leader: ReplicaId = NO_ID;
  #term = 0;

  constructor(options: ProphetClientOptions) {
    this.#options = options;
  }

  registerStore(
    request: protocol.RegisterStoreRequest,
    deadline: number,
  ): Promise<protocol.RegisterStoreResponse> {
    return this.#ask(calls.registerStoreCall(request), deadline);
  }

  storeHeartbeat(
    request: protocol.StoreHeartbeatRequest,
    deadline: number,
  ): Promise<protocol.StoreHeartbeatResponse> {
    return this.#ask(calls.storeHeartbeatCall(request), deadline);
  }

  allocateIds(count: number, deadline: number): Promise<protocol.AllocateIdsResponse> {
    return this.#ask(calls.allocateIdsCall(count), deadline);
  }

  routes(request: protocol.RoutesRequest, deadline: number): Promise<protocol.RoutesResponse> {
    return this.#ask(calls.routesCall(request), deadline);
  }

  stores(deadline: number): Promise<protocol.StoresResponse> {
    return this.#ask(calls.storesCall(), deadline);
  }

  cluster(deadline: number): Promise<protocol.ClusterResponse> {
    return this.#ask(calls.clusterCall(), deadline);
  }

  async drain(storeId: StoreId, deadline: number): Promise<void> {
    await this.#ask(calls.drainCall({ storeId, isCancelled: false }), deadline);
  }

  async cancelDrain(storeId: StoreId, deadline: number): Promise<void> {
    await this.#ask(calls.drainCall({ storeId, isCancelled: true }), deadline);
  }

  probeMember(
    request: protocol.ProbeMemberRequest,
    deadline: number,
  ): Promise<protocol.ProbeMemberResponse> {
    return this.#ask(calls.probeMemberCall(request), deadline);
  }

  async #ask<Answer>(call: ProphetCall<Answer>, deadline: number): Promise<Answer> {
    const { clock } = this.#options;
    const search: Search = { tried: new Set(), deadline, rounds: 0, lastError: undefined };
    while (clock.now() < deadline) {
      const member = this.#choose(search.tried);
      if (member === undefined) {
        await this.#pause(search);
        continue;
      }
      search.tried.add(member);
      try {
        const answer = await this.#attempt(call, { member, deadline });
        this.#checkTerm(call.termOf?.(answer));
        this.#leader = member;
        return answer;
      } catch (error) {
        this.#takeRefusal(error, { member, search });
      }
    }
    const reason = search.lastError === undefined ? '' : `: ${search.lastError.message}`;
    throw new MatrixError('TIMEOUT', `No leader of Prophet answered in time${reason}`, {
      cause: search.lastError,
    });
  }

  #choose(tried: ReadonlySet<ReplicaId>): ReplicaId | undefined {
    const { members } = this.#options.addressBook;
    if (this.#leader !== NO_ID && !tried.has(this.#leader)) return this.#leader;
    return members.find(({ replicaId }) => !tried.has(replicaId))?.replicaId;
  }

  async #attempt<Answer>(
    call: ProphetCall<Answer>,
    target: { readonly member: ReplicaId; readonly deadline: number },
  ): Promise<Answer> {
    const { clock, transport, addressBook, local } = this.#options;
    const deadline = Math.min(target.deadline, clock.now() + ATTEMPT_TIMEOUT_MS);
    if (local?.replicaId === target.member) return call.askLocally(local.prophet, deadline);
    const address = addressBook.memberAddress(target.member);
    if (address === undefined) {
      throw new MatrixError('UNAVAILABLE', `Prophet has no member ${target.member}`);
    }
    const request = peerRequest(call.question);
    const { response } = await transport.call(address, request, { toStoreId: NO_ID, deadline });
    if (response.case === 'error') throw fromErrorMessage(response.value);
    const answer = call.read(response);
    if (answer !== undefined) return answer;
    throw new MatrixError('INTERNAL', `Prophet answered ${response.case}`, { retry: 'elsewhere' });
  }

  #checkTerm(term: number | undefined): void {
    if (term === undefined) return;
    if (term < this.#term) {
      throw new MatrixError('NOT_LEADER', `Answer is of term ${term}, but ${this.#term} was seen`);
    }
    this.#term = term;
  }

  /** Takes in why a member did not answer; throws what no other member would answer differently. */
  #takeRefusal(
    error: unknown,
    { member, search }: { readonly member: ReplicaId; readonly search: Search },
  ): void {
    if (!(error instanceof MatrixError) || error.retry === 'no') throw error;
    search.lastError = error;
    if (this.#leader === member) this.#leader = NO_ID;
    const hint = error.code === 'NOT_LEADER' ? error.hint?.leader : undefined;
    if (hint === undefined || hint.replicaId === NO_ID || hint.term < this.#term) return;
    this.#leader = hint.replicaId;
  }

  async #pause(search: Search): Promise<void> {
    const { clock, random } = this.#options;
    const pause = { firstMs: PAUSE_MS, maxMs: PAUSE_MS_MAX, round: search.rounds };
    search.rounds += 1;
    search.tried.clear();
    const leftMs = Math.max(0, search.deadline - clock.now());
    await pauseFor(clock, Math.min(nextPauseMs(random, pause), leftMs));
  }
}
