// Where a Raft message from another node goes (d.6, 6): to the replica it names; to a new, still
// uninitialised core if it names one that belongs here; or nowhere, with a reason.

import type { Clock } from '../../kernel/clock.ts';
import { PROPHET_SHARD, type ReplicaId, type ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Replica } from '../shard/replica.ts';
import type { ReplicaDescriptor } from '../shard/shard-meta.ts';
import { minReplicaId } from '../shard/shard-records.ts';
import type { Engine } from '../storage/engine.ts';
import type { Envelope } from '../transport/transport.ts';
import type { ReplicaHost } from './replica-host.ts';

export interface InboundOptions {
  readonly host: ReplicaHost;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Makes a core that knows its id only, with whatever vote the disk remembers. */
  readonly createUninitialised: (shardId: ShardId, replicaId: ReplicaId) => Replica;
  readonly wake: (replica: Replica) => void;
  readonly onMaybeStale: (shardId: ShardId) => void;
}

interface EarlyVote {
  readonly envelope: Envelope;
  readonly receivedAt: number;
}

interface Contact {
  readonly from: ReplicaDescriptor;
  readonly heardAt: number;
}

/** Vote requests that came before the split that creates their shard. */
const EARLY_VOTES_MAX = 256;
const EARLY_VOTE_LIFE_MS = 60_000;
/** Peers of all replicas here that are remembered, those heard of last: how to answer, and when. */
const CONTACTS_MAX = 65_536;

export class Inbound {
  readonly #options: InboundOptions;
  readonly #earlyVotes = new Map<string, EarlyVote>();
  readonly #contacts = new Map<ReplicaId, Contact>();

  constructor(options: InboundOptions) {
    this.#options = options;
  }

  receive(envelope: Envelope): void {
    const replica = this.#replicaFor(envelope);
    if (replica === undefined) return;
    this.#remember(envelope.from);
    replica.receive(envelope.message);
    this.#options.wake(replica);
  }

  /** The sender of an earlier message: how to answer a replica that is in no meta we have. */
  contact(replicaId: ReplicaId): ReplicaDescriptor | undefined {
    return this.#contacts.get(replicaId)?.from;
  }

  /** When this replica was last heard of, on the node's clock. */
  heardAt(replicaId: ReplicaId): number | undefined {
    return this.#contacts.get(replicaId)?.heardAt;
  }

  /** A split has created this shard: votes that were asked of it before are answered now. */
  replayVotes(shardId: ShardId): void {
    this.#forgetOldVotes();
    for (const [key, { envelope }] of this.#earlyVotes) {
      if (envelope.shardId !== shardId) continue;
      this.#earlyVotes.delete(key);
      this.receive(envelope);
    }
  }

  #replicaFor(envelope: Envelope): Replica | undefined {
    const { host, onMaybeStale } = this.#options;
    const { shardId, to } = envelope;
    const replica = host.get(shardId);
    if (replica === undefined) return this.#createFor(envelope);
    if (to.replicaId === replica.replicaId) return replica;
    if (to.replicaId < replica.replicaId || replica.isInstalling) return undefined;
    if (replica.isInitialised) {
      // The group counts a newer replica on this store: ours was removed while it slept.
      onMaybeStale(shardId);
      return undefined;
    }
    replica.close('A newer replica takes its place');
    host.remove(shardId);
    return this.#createFor(envelope);
  }

  #createFor(envelope: Envelope): Replica | undefined {
    const { host, engine, createUninitialised } = this.#options;
    const { shardId, to, shard } = envelope;
    // A member of Prophet starts when it knows that it may vote (d.11), never because of a message.
    if (shardId === PROPHET_SHARD || envelope.isKnown === true) return undefined;
    const conflict = host.conflict(shardId, shard);
    if (conflict !== undefined) {
      this.#keepVote(envelope);
      this.#options.observer.metrics.count('matrixkv_store_messages_refused_total');
      return undefined;
    }
    if (to.replicaId < minReplicaId(engine, shardId)) return undefined;
    const replica = createUninitialised(shardId, to.replicaId);
    host.add(replica);
    return replica;
  }

  /** The un-split parent is still here: only a vote is worth keeping, the last of each sender. */
  #keepVote(envelope: Envelope): void {
    const { type } = envelope.message;
    if (type !== 'vote' && type !== 'pre-vote') return;
    this.#forgetOldVotes();
    const key = `${envelope.shardId}/${envelope.from.replicaId}`;
    if (!this.#earlyVotes.has(key) && this.#earlyVotes.size >= EARLY_VOTES_MAX) return;
    this.#earlyVotes.set(key, { envelope, receivedAt: this.#options.clock.now() });
  }

  #forgetOldVotes(): void {
    const now = this.#options.clock.now();
    for (const [key, vote] of this.#earlyVotes) {
      if (now - vote.receivedAt > EARLY_VOTE_LIFE_MS) this.#earlyVotes.delete(key);
    }
  }

  #remember(from: ReplicaDescriptor): void {
    const { replicaId } = from;
    // Taken out first, so that the map stays in the order in which peers were heard of.
    this.#contacts.delete(replicaId);
    this.#contacts.set(replicaId, { from, heardAt: this.#options.clock.now() });
    if (this.#contacts.size <= CONTACTS_MAX) return;
    for (const oldest of this.#contacts.keys()) {
      this.#contacts.delete(oldest);
      break;
    }
  }
}
