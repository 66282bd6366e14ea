// Where everybody is. Prophet's members are configured and never change while the process runs; the
// addresses of stores come with the answers to heartbeats. An address is only an attribute: who
// really answers there is checked with every call (lesson 12).

import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, type ReplicaId, type StoreId } from '../../kernel/ids.ts';
import type { StoreDescriptor } from '../prophet/protocol.ts';

export interface ProphetMember {
  readonly replicaId: ReplicaId;
  readonly name: string;
  readonly address: string;
}

/** As many as Prophet can know. */
const STORES_MAX = 10_000;

export class AddressBook {
  /** By ascending name, as every node sorts them: the replica id is the position, from 1. */
  readonly members: readonly ProphetMember[];
  #stores: ReadonlyMap<StoreId, StoreDescriptor> = new Map();
  /** Stores that spoke to us before Prophet told of them. */
  readonly #heard = new Map<StoreId, string>();

  constructor(members: readonly { readonly name: string; readonly address: string }[]) {
    this.members = [...members]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, address }, position) => ({ replicaId: position + 1, name, address }));
  }

  addressOf(storeId: StoreId): string | undefined {
    const told = this.#stores.get(storeId)?.address;
    return told === undefined || told === '' ? this.#heard.get(storeId) : told;
  }

  store(storeId: StoreId): StoreDescriptor | undefined {
    return this.#stores.get(storeId);
  }

  memberAddress(replicaId: ReplicaId): string | undefined {
    return this.members[replicaId - 1]?.address;
  }

  memberNamed(name: string): ProphetMember | undefined {
    return this.members.find((member) => member.name === name);
  }

  /** The whole list as Prophet knows it. An empty one says nothing: whoever asks is a store itself. */
  learn(stores: readonly StoreDescriptor[]): void {
    if (stores.length === 0) return;
    this.#stores = new Map(stores.slice(0, STORES_MAX).map((store) => [store.id, store]));
    this.#heard.clear();
  }

  /**
   * A store spoke to us from this address. Counts only until Prophet says otherwise: so a node that
   * restarts while Prophet is away finds its peers (lesson 21).
   */
  hear(storeId: StoreId, address: string): void {
    if (storeId === NO_ID || address === '' || this.#stores.has(storeId)) return;
    if (this.#heard.size >= STORES_MAX && !this.#heard.has(storeId)) return;
    this.#heard.set(storeId, address);
  }

  /** As `addressOf`, for whoever cannot go on without. */
  requireAddress(storeId: StoreId): string {
    const address = this.addressOf(storeId);
    if (address !== undefined) return address;
    throw new MatrixError('UNAVAILABLE', `Address of store ${storeId} is not known`);
  }
}
