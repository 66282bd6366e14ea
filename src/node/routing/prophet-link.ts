// The tie between this node's store and Prophet. The store registers once per start, then says every
// second how it is and what it leads, and carries out what the answers ask for. It keeps no promise
// that its disk cannot keep: a heartbeat leaves only after a fresh write reached the disk (lesson 15).
//
// Losing this tie costs no read and no write (lesson 21); being told that the store is not what it
// believes to be ends the process (d.11).

import { AssertionError } from '../../kernel/assert.ts';
import { type Clock, every, type Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ShardId, StoreId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type {
  RegisterStoreResponse,
  ShardStep,
  StoreDescriptor,
  StoreHeartbeatResponse,
} from '../prophet/protocol.ts';
import { replicaOn, type ShardMeta } from '../shard/shard-meta.ts';
import type { LocalStore, StoreStep } from '../store/local-store.ts';
import type { AddressBook } from './address-book.ts';
import { nextPauseMs, pauseFor } from './pause.ts';
import type { ProphetService } from './prophet-service.ts';
import { type ReportBatch, ShardReports } from './shard-reports.ts';

/** What the store says about itself besides its shards. */
export interface StoreMeasures {
  readonly capacityBytes: number;
  readonly freeBytes: number;
  readonly snapshotsSending: number;
  readonly snapshotsReceiving: number;
}

export interface ProphetLinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly prophet: ProphetService;
  readonly addressBook: AddressBook;
  /** Who this store is; its id is NO_ID before it has one. */
  readonly descriptor: StoreDescriptor;
  readonly incarnation: number;
  /** Kept in the data directory from its creation on. */
  readonly nonce: Uint8Array;
  /** Resolves when something new was written durably, rejects when the disk fails. */
  readonly probe: () => Promise<void>;
  readonly measure: () => Promise<StoreMeasures>;
  /** The store must not go on: the process ends. */
  readonly onFatal: (error: unknown) => void;
  readonly heartbeatMs?: number;
}

const HEARTBEAT_MS = 1000;
/** News wait so long for company. */
const NEWS_MS = 50;
const COMPLETE_EVERY_MS = 10_000;
const CALL_TIMEOUT_MS = 3000;
const REGISTER_PAUSE_MS = 100;
const REGISTER_PAUSE_MS_MAX = 2000;

export class ProphetLink {
  readonly #options: ProphetLinkOptions;
  readonly #reports = new ShardReports({ completeEveryMs: COMPLETE_EVERY_MS });
  #store: LocalStore | undefined;
  #timer: Timer | undefined;
  #soon: Timer | undefined;
  #isBeating = false;
  /** Something changed while a heartbeat was on its way. */
  #hasNews = false;
  #isCutOff = false;
  #isClosed = false;
  #prophetTerm = 0;

  constructor(options: ProphetLinkOptions) {
    this.#options = options;
  }

  /**
   * Asks until Prophet answers. Repeatable: the same disk gets the same id. Rejects STORE_MISMATCH
   * or STORE_REMOVED when the store must not run, UNAVAILABLE when the link is closed first.
   */
  async register(): Promise<RegisterStoreResponse> {
    const { clock, random, prophet, descriptor, incarnation, nonce, observer } = this.#options;
    const request = { store: descriptor, incarnation, nonce };
    for (let round = 0; !this.#isClosed; round += 1) {
      try {
        return await prophet.registerStore(request, clock.now() + CALL_TIMEOUT_MS);
      } catch (error) {
        if (!(error instanceof MatrixError) || error.retry === 'no') throw error;
        observer.log.warn({ error }, 'Prophet does not answer the registration yet');
      }
      const pause = { firstMs: REGISTER_PAUSE_MS, maxMs: REGISTER_PAUSE_MS_MAX, round };
      await pauseFor(clock, nextPauseMs(random, pause));
    }
    throw new MatrixError('UNAVAILABLE', 'This node is closing');
  }

  /** Begins to report the store, which is registered under its id. */
  start(store: LocalStore): void {
    this.#store = store;
    const { clock, heartbeatMs = HEARTBEAT_MS } = this.#options;
    this.#timer = every(clock, heartbeatMs, () => void this.#beat(store));
    this.onShardChanged();
  }

  /** Something that Prophet should know soon. */
  onShardChanged(_shardId?: ShardId): void {
    const store = this.#store;
    if (store === undefined || this.#soon !== undefined || this.#isClosed) return;
    this.#soon = this.#options.clock.after(NEWS_MS, () => {
      this.#soon = undefined;
      void this.#beat(store);
    });
  }

  /** The first of consecutive ids. Rejects when Prophet does not answer. */
  async allocateIds(count: number): Promise<number> {
    const { prophet, clock } = this.#options;
    const { first } = await prophet.allocateIds(count, clock.now() + CALL_TIMEOUT_MS);
    return first;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#soon?.cancel();
  }

  /** One heartbeat at a time; never rejects. A disk that hangs holds back all later ones. */
  async #beat(store: LocalStore): Promise<void> {
    if (this.#isBeating || this.#isClosed) {
      this.#hasNews = true;
      return;
    }
    this.#isBeating = true;
    this.#hasNews = false;
    try {
      await this.#beatOnce(store);
      if (this.#isCutOff) this.#options.observer.log.info({}, 'Prophet hears this store again');
      this.#isCutOff = false;
    } catch (error) {
      this.#takeFailure(error);
    } finally {
      this.#isBeating = false;
    }
    if (this.#hasNews) this.onShardChanged();
  }

  async #beatOnce(store: LocalStore): Promise<void> {
    const { clock, prophet } = this.#options;
    const measures = await this.#proveDisk();
    if (this.#isClosed) return;
    const shards = store.shards();
    const batch = this.#reports.next(shards, clock.now());
    const answer = await prophet.storeHeartbeat(
      {
        ...measures,
        storeId: store.storeId,
        incarnation: this.#options.incarnation,
        nonce: this.#options.nonce,
        sizeBytes: shards.reduce((sum, shard) => sum + shard.sizeBytes, 0),
        shards: shards.length,
        leaders: shards.filter((shard) => shard.isLeader).length,
        reports: batch.reports,
        isComplete: batch.isComplete,
      },
      clock.now() + CALL_TIMEOUT_MS,
    );
    if (!this.#isClosed) await this.#takeAnswer(answer, { store, batch });
  }

  /** A disk that fails or is full silences the store; ending the process is for the engine to say. */
  async #proveDisk(): Promise<StoreMeasures> {
    try {
      await this.#options.probe();
      return await this.#options.measure();
    } catch (error) {
      throw error instanceof AssertionError ? error : MatrixError.from(error);
    }
  }

  async #takeAnswer(
    answer: StoreHeartbeatResponse,
    { store, batch }: { readonly store: LocalStore; readonly batch: ReportBatch },
  ): Promise<void> {
    this.#reports.taken(batch, this.#options.clock.now());
    if (answer.prophetTerm !== this.#prophetTerm) {
      this.#prophetTerm = answer.prophetTerm;
      if (!batch.isComplete) {
        this.#reports.forget();
        this.onShardChanged();
      }
    }
    this.#options.addressBook.learn(answer.stores);
    await this.#createInitial(store, answer.initialShards);
    for (const step of answer.steps) this.#takeStep(store, step);
  }

  async #createInitial(store: LocalStore, shards: readonly ShardMeta[]): Promise<void> {
    for (const shard of shards) {
      if (replicaOn(shard, store.storeId) === undefined) continue;
      await store.createInitial(shard);
    }
  }

  #takeStep(store: LocalStore, step: ShardStep): void {
    const taken = store.takeStep(toStoreStep(step));
    if (taken.type === 'taken') return;
    const { shardId } = step;
    const fields = { shardId, step: step.step.type, error: taken.error };
    this.#options.observer.log.debug(fields, 'A step of Prophet was refused');
  }

  /** Prophet being away is no trouble of ours; being fenced, or a bug, is the end. */
  #takeFailure(error: unknown): void {
    const { onFatal, observer } = this.#options;
    if (!(error instanceof MatrixError)) {
      this.close();
      onFatal(error);
    } else if (isFenced(error)) {
      this.close();
      onFatal(fencedAs(this.#store?.storeId, error));
    } else if (!this.#isCutOff) {
      this.#isCutOff = true;
      observer.log.warn({ error }, 'Prophet does not hear this store');
    }
  }
}

/** Prophet itself said so: an address that leads to a strange node is told with another advice. */
function isFenced(error: MatrixError): boolean {
  const isAboutStore = error.code === 'STORE_MISMATCH' || error.code === 'STORE_REMOVED';
  return isAboutStore && error.retry === 'no';
}

function fencedAs(storeId: StoreId | undefined, error: MatrixError): MatrixError {
  if (error.code === 'STORE_REMOVED') return error;
  const text = `Store ${storeId ?? ''} must not go on: ${error.text}`;
  return new MatrixError('STORE_MISMATCH', text, { retry: 'no', cause: error });
}

function toStoreStep({ shardId, epoch, step }: ShardStep): StoreStep {
  switch (step.type) {
    case 'add-learner':
    case 'promote':
    case 'remove':
      return { type: 'conf-change', shardId, change: { ...step, epoch } };
    case 'transfer-leader':
      return { type: 'transfer-leader', shardId, epoch, to: step.replicaId };
    case 'split':
      return { type: 'split', shardId, epoch, keys: step.keys };
  }
}
