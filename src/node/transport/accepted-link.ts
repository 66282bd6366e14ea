// One incoming stream of a peer: its envelopes and calls go to the handlers, answers go back on the
// same stream, those of one turn in one frame. What is malformed or meant for another store is dropped
// or refused one by one; a peer that should not talk at all loses the stream.

import { AssertionError } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { toErrorMessage } from '../../wire/error-codec.ts';
import type { AnswerInit, ExchangeResponseInit } from '../../wire/frames.ts';
import { peerResponse } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { Envelope as WireEnvelope } from '../../wire/gen/matrixkv/v1/raft_pb.ts';
import type { Call, ExchangeRequest, Heartbeats } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { fromUint64 } from '../../wire/safe-number.ts';
import { fromWireEnvelope } from './envelope-codec.ts';
import { messageBytes } from './frame-size.ts';
import type { Peer } from './handshake.ts';
import { readHeartbeats } from './heartbeat-columns.ts';
import { Outbox } from './outbox.ts';
import type { Envelope, TransportHandlers } from './transport.ts';
import type { TransportContext } from './transport-context.ts';
import { countDropped } from './transport-context.ts';
import type { Link, LinkEvents } from './wire-port.ts';

export interface AcceptedLinkOptions {
  readonly context: TransportContext;
  readonly link: Link<ExchangeResponseInit>;
  readonly handlers: TransportHandlers;
  /** A peer said hello: it is there. */
  readonly onPeer: (peer: Peer) => void;
  readonly onClose: (link: AcceptedLink) => void;
}

export class AcceptedLink implements LinkEvents<ExchangeRequest> {
  readonly #context: TransportContext;
  readonly #link: Link<ExchangeResponseInit>;
  readonly #handlers: TransportHandlers;
  readonly #onPeer: (peer: Peer) => void;
  readonly #onClose: (link: AcceptedLink) => void;
  readonly #answers: Outbox<AnswerInit>;
  #peer: Peer | undefined;
  #openCalls = 0;
  #isBlocked = false;
  #isFlushComing = false;
  #isClosed = false;

  constructor(options: AcceptedLinkOptions) {
    this.#context = options.context;
    this.#link = options.link;
    this.#handlers = options.handlers;
    this.#onPeer = options.onPeer;
    this.#onClose = options.onClose;
    // Never full: calls are refused before, and a peer that ignores that loses its stream.
    this.#answers = new Outbox(Number.MAX_SAFE_INTEGER);
  }

  onFrame(frame: ExchangeRequest): void {
    if (this.#isClosed) return;
    const peer = this.#identify(frame);
    if (peer === undefined) return;
    for (const envelope of frame.envelopes) this.#takeEnvelope(envelope, peer);
    if (frame.heartbeats !== undefined) this.#takeHeartbeats(frame.heartbeats, peer);
    for (const call of frame.calls) this.#takeCall(call, peer);
  }

  onDrain(): void {
    this.#isBlocked = false;
    this.#flushSoon();
  }

  onEnd(): void {
    this.#link.end();
  }

  onClose(): void {
    this.#isClosed = true;
    this.#answers.clear();
    this.#onClose(this);
  }

  /** Says again who this node is. */
  sendHello(): void {
    if (this.#peer !== undefined) this.#write({ hello: this.#context.handshake.hello(0) });
  }

  /** The peer as its newest hello has it; undefined when it was sent away. */
  #identify(frame: ExchangeRequest): Peer | undefined {
    const { handshake } = this.#context;
    const known = this.#peer;
    try {
      if (known !== undefined && frame.hello === undefined) {
        handshake.checkFence(known);
        return known;
      }
      const peer = handshake.verify(frame.hello);
      this.#peer = peer;
      if (known === undefined) this.#write({ hello: handshake.hello(0) });
      this.#onPeer(peer);
      return peer;
    } catch (caught) {
      this.#sendAway(MatrixError.from(caught), frame.hello?.fromAddress ?? known?.address ?? '');
      return undefined;
    }
  }

  #sendAway(error: MatrixError, address: string): void {
    this.#context.reportRefusal(address, error);
    this.#isClosed = true;
    // Later than the first hello something may have been done for this peer already, so the code that
    // says "nothing was looked at" would be wrong.
    const isFirst = this.#peer === undefined;
    this.#link.destroy(isFirst ? error : new MatrixError('UNAVAILABLE', error.text));
  }

  #takeEnvelope(wire: WireEnvelope, peer: Peer): void {
    const read = attempt(() => fromWireEnvelope(wire));
    if (read instanceof MatrixError) this.#dropMalformed(read, peer);
    else this.#deliver(read, peer);
  }

  #takeHeartbeats(wire: Heartbeats, peer: Peer): void {
    const read = attempt(() => readHeartbeats(wire, peer.storeId));
    if (read instanceof MatrixError) this.#dropMalformed(read, peer);
    else for (const envelope of read) this.#deliver(envelope, peer);
  }

  #dropMalformed(error: MatrixError, peer: Peer): void {
    const { observer } = this.#context;
    countDropped(observer, 'malformed', 1);
    observer.log.debug({ address: peer.address, reason: error.text }, 'Envelope is malformed');
  }

  #deliver(envelope: Envelope, peer: Peer): void {
    const { observer, handshake } = this.#context;
    if (attempt(() => handshake.checkTarget(envelope.toStoreId)) instanceof MatrixError) {
      countDropped(observer, 'wrong-store', 1);
      return;
    }
    this.#handlers.onEnvelope(envelope, peer);
  }

  #takeCall(call: Call, peer: Peer): void {
    const refusal = this.#refusalOf(call);
    if (refusal !== undefined) {
      this.#answer(call, failure(refusal));
    } else if (call.request !== undefined) {
      this.#openCalls += 1;
      void this.#serve(call, call.request, peer);
    }
  }

  #refusalOf(call: Call): MatrixError | undefined {
    const { limits, handshake } = this.#context;
    if (this.#openCalls >= limits.openCalls || this.#answers.bytes >= limits.answerBytes) {
      return new MatrixError('OVERLOADED', `${this.#openCalls} calls of this peer are open`);
    }
    if (call.request?.request.case === undefined) {
      return new MatrixError('UNSUPPORTED', 'Request is of a kind that is not known here');
    }
    const checked = attempt(() =>
      handshake.checkTarget(fromUint64(call.toStoreId, 'call.to_store_id')),
    );
    return checked instanceof MatrixError ? checked : undefined;
  }

  /** Never rejects, but for a broken invariant, which is to end the process. */
  async #serve(call: Call, request: PeerRequest, peer: Peer): Promise<void> {
    const deadline = this.#context.clock.now() + call.timeoutMs;
    let response: PeerResponse;
    try {
      response = await this.#handlers.onCall(request, peer, { deadline });
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      if (!(error instanceof MatrixError)) {
        this.#context.observer.log.error({ error, kind: request.request.case }, 'Call failed');
      }
      response = failure(MatrixError.from(error));
    }
    this.#openCalls -= 1;
    this.#answer(call, response);
  }

  #answer(call: Call, response: PeerResponse): void {
    if (this.#isClosed) return;
    const { limits } = this.#context;
    this.#answers.push({ id: call.id, response }, messageBytes(response));
    if (this.#answers.bytes > 2 * limits.answerBytes) {
      this.#sendAway(new MatrixError('OVERLOADED', 'Peer takes no answers'), '');
      return;
    }
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isFlushComing || this.#isBlocked || this.#answers.isEmpty) return;
    this.#isFlushComing = true;
    this.#context.clock.soon(() => {
      this.#isFlushComing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isClosed || this.#isBlocked || this.#answers.isEmpty) return;
    this.#write({ answers: this.#answers.take(this.#context.limits.frameBytes) });
    this.#flushSoon();
  }

  #write(frame: ExchangeResponseInit): void {
    if (!this.#link.write(frame)) this.#isBlocked = true;
  }
}

function failure(error: MatrixError): PeerResponse {
  return peerResponse({ case: 'error', value: toErrorMessage(error) });
}

/** The result, or the refusal of a gate. */
function attempt<T>(read: () => T): T | MatrixError {
  try {
    return read();
  } catch (error) {
    if (error instanceof MatrixError) return error;
    throw error;
  }
}
