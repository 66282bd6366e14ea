// The transport of a node: for each peer a control and a bulk lane going out, and the streams that
// peers opened coming in. Envelopes leave only on our own connections, so each direction between two
// nodes has its own; answers return on the stream that brought the call.
//
// It runs on any Wire and any Clock, so the simulator runs this very code.

import { assert, must } from '../../kernel/assert.ts';
import type { Clock, Timer } from '../../kernel/clock.ts';
import { every } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type { ExchangeResponseInit, SnapshotResponseInit } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type {
  ExchangeRequest,
  InstallSnapshotRequest,
} from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { AcceptedLink } from './accepted-link.ts';
import { envelopeBytes, messageBytes } from './frame-size.ts';
import { Handshake } from './handshake.ts';
import { LaneChoice } from './lane-choice.ts';
import type { TransportLimits } from './limits.ts';
import { TRANSPORT_LIMITS } from './limits.ts';
import { PeerLane } from './peer-lane.ts';
import { RefusalLog } from './refusal-log.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import type { OutgoingSnapshot } from './snapshot-sender.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import type { CallOptions, Envelope, Transport, TransportHandlers } from './transport.ts';
import type { TransportContext } from './transport-context.ts';
import { countDropped } from './transport-context.ts';
import type { Lane, Link, LinkEvents, Wire } from './wire-port.ts';

export interface NodeTransportOptions {
  readonly wire: Wire;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly clusterId: string;
  /** Where to listen, `host:port`. */
  readonly listenAddress: string;
  /** Where others reach this node, `host:port`: a DNS name in Kubernetes. */
  readonly address: string;
  readonly limits?: Partial<TransportLimits>;
}

interface PeerLanes {
  readonly control: PeerLane;
  readonly bulk: PeerLane;
  readonly choice: LaneChoice;
}

export class NodeTransport implements Transport {
  readonly #context: TransportContext;
  readonly #listenAddress: string;
  readonly #peers = new Map<string, PeerLanes>();
  readonly #accepted = new Set<AcceptedLink>();
  readonly #receivers = new Set<SnapshotReceiver>();
  readonly #senders = new Set<SnapshotSender>();
  #handlers: TransportHandlers | undefined;
  #sweep: Timer | undefined;
  #isClosed = false;

  constructor(options: NodeTransportOptions) {
    const { wire, clock, random, observer, clusterId, address } = options;
    const refusals = new RefusalLog({ clock, observer });
    this.#listenAddress = options.listenAddress;
    this.#context = {
      wire,
      clock,
      random,
      observer,
      limits: { ...TRANSPORT_LIMITS, ...options.limits },
      handshake: new Handshake({ clusterId, address }),
      reportRefusal: (from, error) => refusals.report(from, error),
    };
  }

  async start(handlers: TransportHandlers): Promise<void> {
    assert(this.#handlers === undefined, 'Transport is started twice');
    this.#handlers = handlers;
    const { wire, clock, limits, observer } = this.#context;
    const address = await wire.listen(this.#listenAddress, {
      onExchange: (link) => this.#acceptExchange(link, handlers),
      onSnapshot: (link) => this.#acceptSnapshot(link, handlers),
    });
    this.#sweep = every(clock, limits.idleMs, () => this.#closeIdle());
    observer.log.info({ address }, 'Transport listens');
  }

  identify(identity: { storeId: number; incarnation: number }): void {
    this.#context.handshake.identify(identity);
    for (const { control, bulk } of this.#peers.values()) {
      control.sendHello();
      bulk.sendHello();
    }
    for (const link of this.#accepted) link.sendHello();
  }

  send(address: string, envelope: Envelope): void {
    const peer = this.#peer(address);
    if (peer === undefined) {
      countDropped(this.#context.observer, 'unreachable', 1);
      return;
    }
    const bytes = envelopeBytes(envelope);
    peer[peer.choice.of(envelope, bytes)].send(envelope, bytes);
  }

  async call(address: string, request: PeerRequest, options: CallOptions): Promise<PeerResponse> {
    const peer = this.#peer(address);
    if (this.#isClosed) throw new MatrixError('UNAVAILABLE', 'This node is closing');
    if (peer === undefined) throw new MatrixError('OVERLOADED', 'Too many peers are talked to');
    const bytes = messageBytes(request);
    const lane: Lane = bytes < this.#context.limits.bulkFromBytes ? 'control' : 'bulk';
    return peer[lane].call(request, { ...options, bytes });
  }

  async sendSnapshot(address: string, snapshot: OutgoingSnapshot): Promise<void> {
    if (this.#isClosed) throw new MatrixError('UNAVAILABLE', 'This node is closing');
    const sender = new SnapshotSender(this.#context, address);
    this.#senders.add(sender);
    try {
      await sender.send(snapshot);
    } finally {
      this.#senders.delete(sender);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sweep?.cancel();
    for (const { control, bulk } of this.#peers.values()) {
      control.close();
      bulk.close();
    }
    this.#peers.clear();
    const closing = new MatrixError('UNAVAILABLE', 'This node is closing');
    for (const sender of this.#senders) sender.fail(closing);
    await this.#context.wire.close();
  }

  #acceptExchange(
    link: Link<ExchangeResponseInit>,
    handlers: TransportHandlers,
  ): LinkEvents<ExchangeRequest> {
    const accepted = new AcceptedLink({
      context: this.#context,
      link,
      handlers,
      onPeer: (peer) => this.#retryNow(peer.address),
      onClose: (closed) => this.#accepted.delete(closed),
    });
    this.#accepted.add(accepted);
    return accepted;
  }

  #acceptSnapshot(
    link: Link<SnapshotResponseInit>,
    handlers: TransportHandlers,
  ): LinkEvents<InstallSnapshotRequest> {
    const receiver = new SnapshotReceiver({
      context: this.#context,
      link,
      onSnapshot: (from, header, chunks) => {
        if (this.#receivers.size > this.#context.limits.snapshotsIn) {
          throw new MatrixError(
            'OVERLOADED',
            `${this.#receivers.size - 1} snapshots are coming in`,
          );
        }
        return handlers.onSnapshot(from, header, chunks);
      },
      onClose: (closed) => this.#receivers.delete(closed),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  /** A peer that connects to us is there: what we have for it need not wait for the next attempt. */
  #retryNow(address: string): void {
    const lanes = this.#peers.get(address);
    lanes?.control.retryNow();
    lanes?.bulk.retryNow();
  }

  #peer(address: string): PeerLanes | undefined {
    const known = this.#peers.get(address);
    const { limits, clock } = this.#context;
    if (known !== undefined || this.#isClosed || this.#peers.size >= limits.peers) return known;
    const handlers = must(this.#handlers, 'Transport is used before it is started');
    const onUnreachable = (lost: string): void => handlers.onUnreachable(lost);
    const lane = (name: Lane, queueBytes: number): PeerLane =>
      new PeerLane({ context: this.#context, address, lane: name, queueBytes, onUnreachable });
    const peer = {
      control: lane('control', limits.controlQueueBytes),
      bulk: lane('bulk', limits.bulkQueueBytes),
      choice: new LaneChoice({ clock, bulkFromBytes: limits.bulkFromBytes }),
    };
    this.#peers.set(address, peer);
    return peer;
  }

  #closeIdle(): void {
    for (const [address, { control, bulk }] of this.#peers) {
      const areIdle = [control.closeWhenIdle(), bulk.closeWhenIdle()];
      if (areIdle.every((isIdle) => isIdle)) this.#peers.delete(address);
    }
  }
}
