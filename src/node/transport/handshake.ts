// Who speaks to whom. Every stream begins with a hello in both directions, because an address proves
// nothing: pods get old addresses, and a store that lost its disk comes back as another one
// (lesson 12). The fence keeps the highest incarnation seen of each store, so that what is left of an
// older process of a store can no longer take part.

import { MatrixError } from '../../kernel/errors.ts';
import type { StoreId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { HelloInit } from '../../wire/frames.ts';
import type { Hello } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';

/** Peers with a lower version are refused; a higher one adds only what can be skipped. */
const PROTOCOL_VERSION = 1;

/** Far more than a cluster has stores; beyond, the store heard of first is forgotten. */
const FENCES_MAX = 65_536;

const TEXT_LENGTH_MAX = 256;

export interface Peer {
  /** NO_ID when the peer does not know it yet. */
  readonly storeId: StoreId;
  readonly address: string;
  readonly incarnation: number;
}

export class Handshake {
  readonly #clusterId: string;
  readonly #address: string;
  #storeId: StoreId = NO_ID;
  #incarnation = 0;
  readonly #fences = new Map<StoreId, number>();

  constructor(options: { readonly clusterId: string; readonly address: string }) {
    this.#clusterId = options.clusterId;
    this.#address = options.address;
  }

  identify(identity: { readonly storeId: StoreId; readonly incarnation: number }): void {
    this.#storeId = identity.storeId;
    this.#incarnation = identity.incarnation;
  }

  hello(toStoreId: StoreId): HelloInit {
    return {
      clusterId: this.#clusterId,
      fromStoreId: toUint64(this.#storeId),
      incarnation: toUint64(this.#incarnation),
      fromAddress: this.#address,
      toStoreId: toUint64(toStoreId),
      protocolVersion: PROTOCOL_VERSION,
    };
  }

  /** Throws STORE_MISMATCH or UNSUPPORTED when the sender is none to talk to. */
  verify(hello: Hello | undefined): Peer {
    if (hello === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Stream without hello');
    if (hello.clusterId !== this.#clusterId) {
      throw new MatrixError(
        'STORE_MISMATCH',
        `Peer ${cut(hello.fromAddress)} is of cluster ${cut(hello.clusterId)}, ` +
          `this node of ${this.#clusterId}`,
      );
    }
    if (hello.protocolVersion < PROTOCOL_VERSION) {
      throw new MatrixError(
        'UNSUPPORTED',
        `Peer ${cut(hello.fromAddress)} speaks protocol ${hello.protocolVersion}, ` +
          `at least ${PROTOCOL_VERSION} is needed`,
      );
    }
    this.checkTarget(fromUint64(hello.toStoreId, 'hello.to_store_id'));
    const peer = {
      storeId: fromUint64(hello.fromStoreId, 'hello.from_store_id'),
      address: cut(hello.fromAddress),
      incarnation: fromUint64(hello.incarnation, 'hello.incarnation'),
    };
    this.checkFence(peer);
    return peer;
  }

  /** Throws STORE_MISMATCH when something is meant for another store than this one. */
  checkTarget(toStoreId: StoreId): void {
    if (toStoreId === NO_ID || toStoreId === this.#storeId) return;
    throw new MatrixError(
      'STORE_MISMATCH',
      `Meant for store ${toStoreId}, but at ${this.#address} is store ${this.#storeId}`,
    );
  }

  /** Throws STORE_MISMATCH when a later process of that store has been heard of. */
  checkFence(peer: Peer): void {
    if (peer.storeId === NO_ID) return;
    const known = this.#fences.get(peer.storeId);
    if (known !== undefined && peer.incarnation < known) {
      throw new MatrixError(
        'STORE_MISMATCH',
        `Store ${peer.storeId} at ${peer.address} has incarnation ${peer.incarnation}, ` +
          `but ${known} was seen`,
      );
    }
    this.#fences.set(peer.storeId, peer.incarnation);
    if (this.#fences.size <= FENCES_MAX) return;
    for (const oldest of this.#fences.keys()) {
      this.#fences.delete(oldest);
      break;
    }
  }
}

/** For texts of a peer that end up in logs. */
function cut(text: string): string {
  return text.slice(0, TEXT_LENGTH_MAX);
}
