// The port between nodes. Raft messages are fire-and-forget and may be lost, late or repeated: Raft
// repeats itself. Calls have one answer or a MatrixError, before their deadline.
//
// A peer is named by its address; who really answers there is checked: every envelope and call says
// for which store it is meant, and the handshake carries cluster, store and incarnation (lesson 12).

import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { Message } from '../raft/messages.ts';
import type { ReplicaDescriptor, ShardMeta } from '../shard/shard-meta.ts';

/** One Raft message on its way, with what the receiver must know of the group to place it. */
export interface Envelope {
  readonly shardId: number;
  /** The store that this is meant for; 0 for the Prophet group, whose members are named by address. */
  readonly toStoreId: number;
  /** The sending replica, so that an unknown group can answer. */
  readonly from: ReplicaDescriptor;
  readonly to: ReplicaDescriptor;
  /** Range and epoch as the sender knows them (d.6, 6). */
  readonly shard: Pick<ShardMeta, 'start' | 'end' | 'epoch'>;
  readonly message: Message;
  /**
   * The receiver knows this group: it was heard of lately. Then a heartbeat travels without range
   * and epoch, many in one message; where it meets an unknown group after all, it is dropped.
   */
  readonly isKnown?: boolean;
}

export interface CallOptions {
  /** The store that must answer; 0 when any store at this address may. */
  readonly toStoreId: number;
  /** Absolute, on the node's clock. */
  readonly deadline: number;
}

/** Takes a stream in. Resolving means that everything lies durably here; rejecting refuses it. */
export type SnapshotHandler = (
  from: { storeId: number; address: string },
  header: Uint8Array,
  chunks: AsyncIterable<Uint8Array>,
) => Promise<void>;

export interface TransportHandlers {
  onEnvelope(envelope: Envelope, from: { storeId: number; address: string }): void;
  /** The deadline is the caller's, on this node's clock: afterwards nobody waits for the answer. */
  onCall(
    request: PeerRequest,
    from: { storeId: number; address: string },
    context: { readonly deadline: number },
  ): Promise<PeerResponse>;
  onSnapshot: SnapshotHandler;
  /** The connection to this address broke or cannot be made: its process may be gone. */
  onUnreachable(address: string): void;
}

export interface Transport {
  /** Starts to listen and to deliver. Rejects UNAVAILABLE when the address is taken. */
  start(handlers: TransportHandlers): Promise<void>;
  /** Queued and batched; dropped (and counted) when the peer is away or its queue is full. */
  send(address: string, envelope: Envelope): void;
  /** Errors: what the peer answered; UNAVAILABLE (never sent: not applied; lost on the way: unknown); TIMEOUT. */
  call(address: string, request: PeerRequest, options: CallOptions): Promise<PeerResponse>;
  /** Streams a snapshot with back-pressure; resolves when the peer has taken all of it in. */
  sendSnapshot(
    address: string,
    options: {
      toStoreId: number;
      header: Uint8Array;
      chunks: AsyncIterable<Uint8Array>;
      signal: AbortSignal;
    },
  ): Promise<void>;
  /** Who this node is, once it knows: used in handshakes from then on. */
  identify(identity: { storeId: number; incarnation: number }): void;
  close(): Promise<void>;
}
