// The bottom of the transport: streams of frames between addresses, and nothing of what they mean.
// gRPC is one such wire, memory under a simulated clock another; NodeTransport runs on either.
//
// A stream behaves as TCP does: frames arrive whole, once and in order, or the stream breaks.

import type { MatrixError } from '../../kernel/errors.ts';
import type {
  ExchangeRequestInit,
  ExchangeResponseInit,
  SnapshotRequestInit,
  SnapshotResponseInit,
} from '../../wire/frames.ts';
import type {
  ExchangeRequest,
  ExchangeResponse,
  InstallSnapshotRequest,
  InstallSnapshotResponse,
} from '../../wire/gen/matrixkv/v1/transport_pb.ts';

/** One end of a stream, for sending. After its close every method does nothing. */
export interface Link<Sent> {
  /** Takes the frame in any case. False asks to wait for `onDrain` before the next one. */
  write(frame: Sent): boolean;
  /** Nothing more from this end: what was written still arrives. */
  end(): void;
  /** Breaks the stream. The accepting end may say why, and the other end gets that error. */
  destroy(error: MatrixError): void;
  /** Stops `onFrame` after at most a few more frames, until `resume`. The sender feels it. */
  pause(): void;
  resume(): void;
}

/** One end of a stream, for receiving. Never called from within a method of the link. */
export interface LinkEvents<Received> {
  onFrame(frame: Received): void;
  onDrain(): void;
  /**
   * No frame will come any more. A stream that was cut off may say so too before it reports its loss
   * (grpc-js does), so whatever must be whole says in a frame that it is.
   */
  onEnd(): void;
  /**
   * The last event, exactly once, also after an own `destroy`. Without error when both ends ended in
   * order. UNAVAILABLE when the connection was refused or lost, otherwise the word of the other end.
   */
  onClose(error: MatrixError | undefined): void;
}

export type Lane = 'control' | 'bulk';

/** What a listener does with streams that others open. Frames begin after it has returned. */
export interface Acceptor {
  onExchange(link: Link<ExchangeResponseInit>): LinkEvents<ExchangeRequest>;
  onSnapshot(link: Link<SnapshotResponseInit>): LinkEvents<InstallSnapshotRequest>;
}

export interface Wire {
  /** Rejects UNAVAILABLE when the address cannot be had. Resolves with the address bound. */
  listen(address: string, acceptor: Acceptor): Promise<string>;
  /** Opens a stream on a connection of its own, so that no lane waits behind another one. */
  openExchange(
    target: { readonly address: string; readonly lane: Lane },
    events: LinkEvents<ExchangeResponse>,
  ): Link<ExchangeRequestInit>;
  openSnapshot(
    target: { readonly address: string },
    events: LinkEvents<InstallSnapshotResponse>,
  ): Link<SnapshotRequestInit>;
  /** Stops listening and breaks every stream. Resolves when nothing of it runs any more. */
  close(): Promise<void>;
}
