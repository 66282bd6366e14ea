// A replica that slept through its own removal hears from nobody. It asks the members of its group,
// and only a member's own list of members may end it. Prophet is asked for one thing only: whom to
// ask; its knowledge, or its ignorance, destroys nothing (lesson 9, d.7).

import { type Clock, every, type Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ShardId, StoreId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { peerRequest } from '../../wire/peer-messages.ts';
import { toUint64 } from '../../wire/safe-number.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { LocalShard, LocalStore } from '../store/local-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import type { ProphetService } from './prophet-service.ts';
import { readShard } from './store-codec.ts';

export interface StaleReplicasOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly localStore: () => LocalStore | undefined;
  readonly transport: Pick<Transport, 'call'>;
  readonly addressBook: AddressBook;
  readonly prophet: Pick<ProphetService, 'routes'>;
}

/** A group without leader for longer than any election takes. */
const LEADERLESS_MS = 5000;
const PATROL_MS = 5000;
const CALL_TIMEOUT_MS = 1000;
/** A range that was split since is many routes; a few are enough to find the shard itself. */
const ROUTES_MAX = 64;
/** Shards that wait to be asked about; beyond, the next patrol finds them again. */
const WAITING_MAX = 1000;

export class StaleReplicas {
  readonly #options: StaleReplicasOptions;
  readonly #waiting = new Set<ShardId>();
  #patrol: Timer | undefined;
  #isAsking = false;

  constructor(options: StaleReplicasOptions) {
    this.#options = options;
  }

  start(): void {
    this.#patrol ??= every(this.#options.clock, PATROL_MS, () => this.#look());
  }

  close(): void {
    this.#patrol?.cancel();
    this.#waiting.clear();
  }

  /** There is reason to doubt that the replica here is still a member. */
  suspect(shardId: ShardId): void {
    if (this.#waiting.size >= WAITING_MAX) return;
    this.#waiting.add(shardId);
    void this.#askAll();
  }

  #look(): void {
    for (const { meta, leaderlessMs } of this.#options.localStore()?.shards() ?? []) {
      if (leaderlessMs > LEADERLESS_MS) this.suspect(meta.id);
    }
  }

  /** One shard after the other: there is no hurry, and a whole cluster may be without leaders. */
  async #askAll(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    for (const shardId of this.#waiting) {
      const store = this.#options.localStore();
      const shard = store?.shard(shardId);
      if (store !== undefined && shard !== undefined) await this.#askMembers(store, shard);
      this.#waiting.delete(shardId);
    }
    this.#isAsking = false;
  }

  async #askMembers(store: LocalStore, shard: LocalShard): Promise<void> {
    const stores = await this.#whomToAsk(shard);
    stores.delete(store.storeId);
    const proofs = await Promise.all([...stores].map((storeId) => this.#ask(storeId, shard)));
    for (const proof of proofs) {
      if (proof?.id !== shard.meta.id) continue;
      store.acceptProof(proof);
    }
  }

  async #whomToAsk({ meta }: LocalShard): Promise<Set<StoreId>> {
    const { prophet, clock } = this.#options;
    const stores = new Set(meta.replicas.map(({ storeId }) => storeId));
    try {
      const request = { start: meta.start, end: meta.end, limit: ROUTES_MAX };
      const { routes } = await prophet.routes(request, clock.now() + CALL_TIMEOUT_MS);
      for (const { shard } of routes) {
        if (shard.id !== meta.id) continue;
        for (const { storeId } of shard.replicas) stores.add(storeId);
      }
    } catch (error) {
      this.#tell(error, 'Prophet was asked in vain for the members of a shard');
    }
    return stores;
  }

  async #ask(storeId: StoreId, shard: LocalShard): Promise<ShardMeta | undefined> {
    const { transport, addressBook, clock } = this.#options;
    const address = addressBook.addressOf(storeId);
    if (address === undefined) return undefined;
    const question = peerRequest({
      case: 'probeReplica',
      value: { shardId: toUint64(shard.meta.id), replicaId: toUint64(shard.replicaId) },
    });
    try {
      const deadline = clock.now() + CALL_TIMEOUT_MS;
      const { response } = await transport.call(address, question, {
        toStoreId: storeId,
        deadline,
      });
      if (response.case === 'error') throw fromErrorMessage(response.value);
      const proof = response.case === 'probeReplica' ? response.value.shard : undefined;
      return proof === undefined ? undefined : readShard(proof);
    } catch (error) {
      this.#tell(error, 'A member of a shard was asked in vain');
      return undefined;
    }
  }

  /** Nobody answering is what this is about; it is asked again with the next patrol. */
  #tell(error: unknown, message: string): void {
    if (!(error instanceof MatrixError)) throw error;
    this.#options.observer.log.debug({ error }, message);
  }
}
