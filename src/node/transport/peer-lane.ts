// One outgoing stream to one peer: what waits for it, and the connection that comes and goes.
//
// Invariants:
// - Nothing but a hello is written before the peer's hello was verified, so whatever a broken attempt
//   leaves behind was certainly not applied.
// - While the peer is known to be away nothing is queued: envelopes are dropped, calls refused at once.
// - A connection is made only because something wants to be sent; after a loss that is asked anew.

import type { Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { between } from '../../kernel/random.ts';
import type { CallInit, EnvelopeInit, ExchangeRequestInit } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { ExchangeResponse } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { toUint64 } from '../../wire/safe-number.ts';
import { toWireEnvelope } from './envelope-codec.ts';
import { HeartbeatColumns } from './heartbeat-columns.ts';
import { OpenCalls } from './open-calls.ts';
import { Outbox } from './outbox.ts';
import type { CallOptions, Envelope } from './transport.ts';
import type { TransportContext } from './transport-context.ts';
import { countDropped, refusalIn } from './transport-context.ts';
import type { Lane, Link, LinkEvents } from './wire-port.ts';

type Phase =
  | { readonly type: 'idle' }
  | { readonly type: 'connecting'; readonly link: RequestLink; readonly timer: Timer }
  | { readonly type: 'open'; readonly link: RequestLink }
  /** Until the next attempt, which is made only if something was wanted in the meantime. */
  | { readonly type: 'away'; readonly timer: Timer; isWanted: boolean }
  | { readonly type: 'closed' };

type RequestLink = Link<ExchangeRequestInit>;

type Item =
  | { readonly type: 'envelope'; readonly envelope: Envelope }
  | { readonly type: 'call'; readonly id: number; readonly call: WaitingCall };

interface WaitingCall {
  readonly toStoreId: number;
  readonly request: PeerRequest;
}

const TIMEOUT_MS_MAX = 0xffff_ffff;

export interface PeerLaneOptions {
  readonly context: TransportContext;
  readonly address: string;
  readonly lane: Lane;
  readonly queueBytes: number;
  readonly onUnreachable: (address: string) => void;
}

export class PeerLane {
  readonly #context: TransportContext;
  readonly #address: string;
  readonly #lane: Lane;
  readonly #onUnreachable: (address: string) => void;
  readonly #outbox: Outbox<Item>;
  readonly #calls: OpenCalls;
  #phase: Phase = { type: 'idle' };
  #failures = 0;
  #isBlocked = false;
  #isFlushComing = false;
  #usedAt: number;

  constructor(options: PeerLaneOptions) {
    this.#context = options.context;
    this.#address = options.address;
    this.#lane = options.lane;
    this.#onUnreachable = options.onUnreachable;
    this.#outbox = new Outbox(options.queueBytes);
    this.#calls = new OpenCalls({ clock: options.context.clock, address: options.address });
    this.#usedAt = options.context.clock.now();
  }

  send(envelope: Envelope, bytes: number): void {
    const { observer } = this.#context;
    if (!this.#isWanted()) countDropped(observer, 'unreachable', 1);
    else if (this.#outbox.push({ type: 'envelope', envelope }, bytes)) this.#wake();
    else countDropped(observer, 'queue-full', 1);
  }

  async call(
    request: PeerRequest,
    options: CallOptions & { readonly bytes: number },
  ): Promise<PeerResponse> {
    if (!this.#isWanted()) {
      throw new MatrixError('UNAVAILABLE', `No connection to ${this.#address}`);
    }
    const { clock, limits } = this.#context;
    if (options.deadline <= clock.now()) {
      const text = `No time left for a call to ${this.#address}`;
      throw new MatrixError('TIMEOUT', text, { outcome: 'not-applied' });
    }
    if (this.#calls.size >= limits.openCalls) {
      throw new MatrixError('OVERLOADED', `${this.#calls.size} calls wait for ${this.#address}`);
    }
    const { id, answer } = this.#calls.open(options.deadline);
    const call = { toStoreId: options.toStoreId, request };
    if (this.#outbox.push({ type: 'call', id, call }, options.bytes)) {
      this.#wake();
    } else {
      this.#calls.refuse(
        id,
        new MatrixError('OVERLOADED', `${this.#outbox.bytes} bytes wait for ${this.#address}`),
      );
    }
    return answer;
  }

  /** The peer was heard of: no reason to wait for the end of a pause. */
  retryNow(): void {
    if (this.#phase.type !== 'away') return;
    this.#phase.timer.cancel();
    this.#connect();
  }

  /** Says again who this node is. */
  sendHello(): void {
    if (this.#phase.type !== 'open') return;
    this.#write(this.#phase.link, { hello: this.#context.handshake.hello(0) });
  }

  /** Ends a connection that nobody used for long. True when the lane can be forgotten. */
  closeWhenIdle(): boolean {
    const isQuiet = this.#outbox.isEmpty && this.#calls.size === 0;
    const isOld = this.#usedAt + this.#context.limits.idleMs <= this.#context.clock.now();
    if (!isQuiet || !isOld) return false;
    if (this.#phase.type === 'open') this.#phase.link.end();
    else if (this.#phase.type !== 'idle') return false;
    this.#phase = { type: 'idle' };
    return true;
  }

  close(): void {
    const phase = this.#phase;
    this.#phase = { type: 'closed' };
    if (phase.type === 'away' || phase.type === 'connecting') phase.timer.cancel();
    const error = new MatrixError('UNAVAILABLE', 'This node is closing');
    if (phase.type === 'connecting' || phase.type === 'open') phase.link.destroy(error);
    this.#outbox.clear();
    this.#calls.failAll(error);
  }

  /** False when there is no use in queueing. Being asked is what makes the lane try again. */
  #isWanted(): boolean {
    this.#usedAt = this.#context.clock.now();
    if (this.#phase.type === 'away') this.#phase.isWanted = true;
    return this.#phase.type !== 'away' && this.#phase.type !== 'closed';
  }

  #wake(): void {
    if (this.#phase.type === 'idle') this.#connect();
    else if (this.#phase.type === 'open') this.#flushSoon();
  }

  #connect(): void {
    const { wire, clock, limits, handshake } = this.#context;
    const target = { address: this.#address, lane: this.#lane };
    const link: RequestLink = wire.openExchange(
      target,
      this.#eventsOf(() => link),
    );
    const timer = clock.after(limits.handshakeTimeoutMs, () => {
      link.destroy(new MatrixError('UNAVAILABLE', `No hello from ${this.#address}`));
    });
    this.#phase = { type: 'connecting', link, timer };
    this.#isBlocked = false;
    this.#write(link, { hello: handshake.hello(0) });
  }

  /** Events of a link that was given up are of no interest. */
  #eventsOf(linkOf: () => RequestLink): LinkEvents<ExchangeResponse> {
    const isCurrent = (): boolean => 'link' in this.#phase && this.#phase.link === linkOf();
    return {
      onFrame: (frame) => {
        if (isCurrent()) this.#take(frame);
      },
      onDrain: () => {
        if (!isCurrent()) return;
        this.#isBlocked = false;
        this.#flushSoon();
      },
      onEnd: () => linkOf().end(),
      onClose: (error) => {
        if (isCurrent()) this.#lose(error);
      },
    };
  }

  #take(frame: ExchangeResponse): void {
    const phase = this.#phase;
    if (phase.type !== 'connecting' && phase.type !== 'open') return;
    if (phase.type === 'connecting' || frame.hello !== undefined) {
      try {
        this.#context.handshake.verify(frame.hello);
      } catch (error) {
        phase.link.destroy(MatrixError.from(error));
        return;
      }
    }
    if (phase.type === 'connecting') {
      phase.timer.cancel();
      this.#phase = { type: 'open', link: phase.link };
      this.#failures = 0;
      this.#context.observer.log.debug(
        { address: this.#address, lane: this.#lane },
        'Peer is connected',
      );
      this.#flushSoon();
    }
    // Ids are our own; one that is no safe integer matches no call.
    for (const answer of frame.answers) this.#calls.settle(Number(answer.id), answer.response);
  }

  #lose(error: MatrixError | undefined): void {
    const { clock, random, limits, observer } = this.#context;
    if (this.#phase.type === 'connecting') this.#phase.timer.cancel();
    this.#failures += 1;
    const ceiling = Math.min(limits.backoffMaxMs, limits.backoffMinMs * 2 ** (this.#failures - 1));
    const pauseMs = between(random, Math.ceil(ceiling / 2), ceiling);
    const timer = clock.after(pauseMs, () => this.#endPause());
    this.#phase = { type: 'away', timer, isWanted: false };
    const envelopes = this.#outbox.clear().filter((item) => item.type === 'envelope');
    countDropped(observer, 'unreachable', envelopes.length);
    const refusal = refusalIn(error);
    if (refusal !== undefined) this.#context.reportRefusal(this.#address, refusal);
    else if (this.#failures === 1) this.#logLoss(error);
    this.#calls.failAll(refusal ?? this.#unreachableBecause(error));
    this.#onUnreachable(this.#address);
  }

  #logLoss(error: MatrixError | undefined): void {
    this.#context.observer.log.info(
      { address: this.#address, lane: this.#lane, reason: error?.text ?? 'ended by the peer' },
      'Peer is unreachable',
    );
  }

  #unreachableBecause(error: MatrixError | undefined): MatrixError {
    const text = `Cannot reach ${this.#address}: ${error?.text ?? 'connection was ended'}`;
    return new MatrixError('UNAVAILABLE', text, error === undefined ? {} : { cause: error });
  }

  #endPause(): void {
    if (this.#phase.type !== 'away') return;
    if (this.#phase.isWanted) this.#connect();
    else this.#phase = { type: 'idle' };
  }

  /** Everything that is sent in one turn of the event loop leaves in one frame. */
  #flushSoon(): void {
    if (this.#isFlushComing || this.#isBlocked || this.#outbox.isEmpty) return;
    this.#isFlushComing = true;
    this.#context.clock.soon(() => {
      this.#isFlushComing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#phase.type !== 'open' || this.#isBlocked || this.#outbox.isEmpty) return;
    const envelopes: EnvelopeInit[] = [];
    const calls: CallInit[] = [];
    const heartbeats = new HeartbeatColumns();
    for (const item of this.#outbox.take(this.#context.limits.frameBytes)) {
      if (item.type === 'envelope') {
        if (!heartbeats.add(item.envelope)) envelopes.push(toWireEnvelope(item.envelope));
      } else calls.push(...this.#toWireCall(item.id, item.call));
    }
    const frame = { envelopes, calls, ...heartbeats.field() };
    if (envelopes.length + calls.length + heartbeats.size > 0) this.#write(this.#phase.link, frame);
    this.#flushSoon();
  }

  /** Nothing when the call was settled while it waited. */
  #toWireCall(id: number, call: WaitingCall): CallInit[] {
    const leftMs = this.#calls.markSent(id);
    if (leftMs === undefined) return [];
    const toStoreId = toUint64(call.toStoreId);
    const timeoutMs = Math.min(leftMs, TIMEOUT_MS_MAX);
    return [{ id: toUint64(id), toStoreId, timeoutMs, request: call.request }];
  }

  #write(link: RequestLink, frame: ExchangeRequestInit): void {
    if (!link.write(frame)) this.#isBlocked = true;
  }
}
