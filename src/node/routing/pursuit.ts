// Carries one operation to the leader of its shard, wherever that is by now. Any refusal either
// teaches something (a newer route, a newer leader), or sends us to another replica, or asks for a
// pause; the deadline of the caller ends it all (lesson 10).
//
// What a write may have done is never forgotten: after one attempt with unknown outcome, no later
// refusal makes the write "not applied" (lesson 4).

import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, type StoreId } from '../../kernel/ids.ts';
import { replicaOn, type ShardMeta } from '../shard/shard-meta.ts';
import { nextPauseMs, pauseFor } from './pause.ts';
import type { PursuitContext } from './pursuit-context.ts';
import type { CallContext } from './services.ts';
import type { ShardCall } from './shard-call.ts';

export class Pursuit<Answer> {
  readonly #context: PursuitContext;
  readonly #call: ShardCall<Answer>;
  readonly #caller: CallContext;
  readonly #startedAt: number;
  /** Stores that refused since the last news or pause. */
  readonly #tried = new Set<StoreId>();
  /** The store that taught us of new shards most likely leads them: a split keeps its leader. */
  #teacher: StoreId = NO_ID;
  #attemptsInRound = 0;
  #pauses = 0;
  #attemptTimeoutMs: number;
  #mayHaveApplied = false;
  #lastError: MatrixError | undefined;

  constructor(context: PursuitContext, call: ShardCall<Answer>, caller: CallContext) {
    this.#context = context;
    this.#call = call;
    this.#caller = caller;
    this.#startedAt = context.clock.now();
    this.#attemptTimeoutMs = context.limits.attemptTimeoutMs;
  }

  /** True when an attempt of a write was made whose outcome nobody knows. */
  get mayHaveApplied(): boolean {
    return this.#mayHaveApplied;
  }

  /** Rejects with a MatrixError whose outcome holds for all attempts together. */
  async run(): Promise<Answer> {
    for (;;) {
      this.#checkWanted();
      try {
        return await this.#attempt();
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error;
        this.#lastError = error;
        if (isFinal(error)) throw this.#honest(error);
      }
      if (this.#needsPause()) await this.#pause();
    }
  }

  async #attempt(): Promise<Answer> {
    const { clock, finder, cache, suspicion, caller } = this.#context;
    const meta = await this.#find();
    const storeId = this.#choose(meta);
    if (storeId === undefined) {
      throw new MatrixError('UNAVAILABLE', `No replica of shard ${meta.id} can be asked`);
    }
    this.#attemptsInRound += 1;
    const deadline = Math.min(this.#caller.deadline, clock.now() + this.#attemptTimeoutMs);
    const { signal } = this.#caller;
    const attempt = {
      storeId,
      deadline,
      address: { shardId: meta.id, generation: meta.epoch.generation },
      ...(signal === undefined ? {} : { signal }),
    };
    try {
      const answer = await caller.call(this.#call, attempt);
      suspicion.clear(storeId);
      const replicaId = replicaOn(meta, storeId)?.replicaId ?? NO_ID;
      cache.confirmLeader(meta.id, { replicaId, storeId });
      return answer;
    } catch (error) {
      if (error instanceof MatrixError) {
        this.#takeRefusal(error, storeId, finder.learn(meta.id, error.hint));
      }
      throw error;
    }
  }

  async #find(): Promise<ShardMeta> {
    const { finder } = this.#context;
    return finder.known(this.#call.key) ?? finder.find(this.#call.key, this.#caller.deadline);
  }

  /** The leader as far as known, then whoever may know better; silent stores last. */
  #choose(meta: ShardMeta): StoreId | undefined {
    const { cache, suspicion, random, localStore } = this.#context;
    const voters = meta.replicas.filter(({ role }) => role === 'voter');
    const stores = voters.map(({ storeId }) => storeId);
    const first = stores.length === 0 ? 0 : random.below(stores.length);
    const local = localStore()?.storeId ?? NO_ID;
    const candidates = [
      cache.leaderOf(meta.id)?.storeId ?? NO_ID,
      ...[this.#teacher, local].filter((storeId) => stores.includes(storeId)),
      ...stores.slice(first),
      ...stores.slice(0, first),
    ].filter((storeId) => storeId !== NO_ID && !this.#tried.has(storeId));
    return candidates.find((storeId) => !suspicion.isSuspect(storeId)) ?? candidates[0];
  }

  #takeRefusal(error: MatrixError, storeId: StoreId, isNews: boolean): void {
    const { suspicion, limits } = this.#context;
    if (this.#call.isWrite && error.outcome === 'unknown') this.#mayHaveApplied = true;
    if (isSilence(error)) suspicion.suspect(storeId);
    else suspicion.clear(storeId);
    if (error.code === 'TIMEOUT') {
      this.#attemptTimeoutMs = Math.min(this.#attemptTimeoutMs * 2, limits.attemptTimeoutMsMax);
    }
    if (isNews) {
      this.#tried.clear();
      if ((error.hint?.shards ?? []).length > 0) this.#teacher = storeId;
    }
    // With new shards the same store may be right; it was wrong about nothing but the generation.
    const isWorthAnother = isNews && this.#teacher === storeId;
    if (!isWorthAnother && error.code !== 'OVERLOADED') this.#tried.add(storeId);
  }

  /** At once to the next store as long as there is one and it could know better. */
  #needsPause(): boolean {
    const { limits, finder } = this.#context;
    if (this.#attemptsInRound === 0 || this.#attemptsInRound >= limits.attemptsPerRound)
      return true;
    if (this.#lastError !== undefined && isBusy(this.#lastError)) return true;
    const meta = finder.known(this.#call.key);
    return meta === undefined || this.#choose(meta) === undefined;
  }

  async #pause(): Promise<void> {
    const { clock, random, finder, limits } = this.#context;
    // Whoever was refused everywhere holds an old route, or nobody leads yet: Prophet may know.
    const isCrowded = this.#lastError?.code === 'OVERLOADED';
    if (!isCrowded) finder.refresh(this.#call.key);
    const isEager = !isCrowded && clock.now() - this.#startedAt < limits.eagerMs;
    const maxMs = isEager ? limits.eagerPauseMsMax : limits.pauseMsMax;
    const wanted = nextPauseMs(random, { firstMs: limits.pauseMs, maxMs, round: this.#pauses });
    const delayMs = Math.max(wanted, this.#lastError?.retryAfterMs ?? 0);
    this.#pauses += 1;
    this.#attemptsInRound = 0;
    this.#tried.clear();
    const leftMs = Math.max(0, this.#caller.deadline - clock.now());
    await pauseFor(clock, Math.min(delayMs, leftMs), this.#caller.signal);
  }

  #checkWanted(): void {
    if (this.#caller.signal?.aborted === true) {
      throw this.#honest(new MatrixError('UNAVAILABLE', 'The caller has gone', { retry: 'no' }));
    }
    if (this.#context.clock.now() < this.#caller.deadline) return;
    const reason = this.#lastError === undefined ? '' : `: ${this.#lastError.message}`;
    const text = `No leader carried out the request in time${reason}`;
    const outcome = this.#mayHaveApplied ? 'unknown' : 'not-applied';
    throw new MatrixError('TIMEOUT', text, { outcome, cause: this.#lastError });
  }

  #honest(error: MatrixError): MatrixError {
    return this.#mayHaveApplied ? error.withUnknownOutcome() : error;
  }
}

/** Nobody answered there: others may, at once. */
function isSilence(error: MatrixError): boolean {
  return ['UNAVAILABLE', 'TIMEOUT', 'STORE_MISMATCH'].includes(error.code);
}

/** The right store, at the wrong moment. */
function isBusy(error: MatrixError): boolean {
  return (
    error.code === 'OVERLOADED' || (error.code === 'OUTCOME_UNKNOWN' && error.retry === 'later')
  );
}

/** What no other replica and no later moment of this call would answer differently. */
function isFinal(error: MatrixError): boolean {
  return error.retry === 'no' || error.code === 'DISK_FULL' || error.code === 'SESSION_EXPIRED';
}
