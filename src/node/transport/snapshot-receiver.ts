// Takes in one snapshot stream: hello and header first, then chunks as fast as the handler takes them.
// The stream is answered only when the handler says that everything lies durably here.

import { AssertionError } from '../../kernel/assert.ts';
import type { Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { SnapshotResponseInit } from '../../wire/frames.ts';
import type { InstallSnapshotRequest } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { ChunkQueue } from './chunk-queue.ts';
import type { Peer } from './handshake.ts';
import type { SnapshotHandler } from './transport.ts';
import type { TransportContext } from './transport-context.ts';
import { refusalIn } from './transport-context.ts';
import type { Link, LinkEvents } from './wire-port.ts';

export interface SnapshotReceiverOptions {
  readonly context: TransportContext;
  readonly link: Link<SnapshotResponseInit>;
  readonly onSnapshot: SnapshotHandler;
  readonly onClose: (receiver: SnapshotReceiver) => void;
}

export class SnapshotReceiver implements LinkEvents<InstallSnapshotRequest> {
  readonly #context: TransportContext;
  readonly #link: Link<SnapshotResponseInit>;
  readonly #onSnapshot: SnapshotHandler;
  readonly #onClose: (receiver: SnapshotReceiver) => void;
  readonly #chunks: ChunkQueue;
  #peer: Peer | undefined;
  #stall: Timer;

  constructor(options: SnapshotReceiverOptions) {
    this.#context = options.context;
    this.#link = options.link;
    this.#onSnapshot = options.onSnapshot;
    this.#onClose = options.onClose;
    this.#chunks = new ChunkQueue(options.link);
    this.#stall = this.#watch();
  }

  onFrame(frame: InstallSnapshotRequest): void {
    this.#stall.cancel();
    this.#stall = this.#watch();
    if (this.#peer === undefined) this.#begin(frame);
    if (frame.chunk.length > 0) this.#chunks.push(frame.chunk);
    if (frame.isLast) this.#chunks.end();
  }

  /** The answer is the only frame of this direction: there is nothing to drain. */
  onDrain(): void {}

  /** Does nothing when the last message has come; otherwise the snapshot is not whole. */
  onEnd(): void {
    this.#chunks.fail(new MatrixError('UNAVAILABLE', 'Snapshot stream was cut off'));
    if (this.#peer === undefined) {
      this.#refuse(new MatrixError('INVALID_ARGUMENT', 'Stream without hello'));
    }
  }

  onClose(error: MatrixError | undefined): void {
    this.#stall.cancel();
    this.#chunks.fail(error ?? new MatrixError('UNAVAILABLE', 'Snapshot stream has ended'));
    this.#onClose(this);
  }

  #begin(frame: InstallSnapshotRequest): void {
    try {
      this.#peer = this.#context.handshake.verify(frame.hello);
    } catch (error) {
      this.#refuse(MatrixError.from(error));
      return;
    }
    void this.#hand(this.#peer, frame.header);
  }

  /** Never rejects, but for a broken invariant, which is to end the process. */
  async #hand(peer: Peer, header: Uint8Array): Promise<void> {
    try {
      await this.#onSnapshot(peer, header, this.#chunks);
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      this.#refuse(MatrixError.from(error));
      return;
    }
    this.#stall.cancel();
    this.#link.write({});
    this.#link.end();
  }

  #refuse(error: MatrixError): void {
    const refusal = refusalIn(error);
    if (refusal !== undefined) this.#context.reportRefusal(this.#peer?.address ?? '', refusal);
    this.#stall.cancel();
    this.#chunks.fail(error);
    this.#link.destroy(error);
  }

  /** Only a peer that keeps the handler waiting has stalled; a slow handler is the sender's matter. */
  #watch(): Timer {
    const { clock, limits } = this.#context;
    return clock.after(limits.snapshotStallMs, () => {
      if (this.#peer === undefined || this.#chunks.isStarving) {
        this.#refuse(new MatrixError('TIMEOUT', 'Snapshot made no progress'));
      } else {
        this.#stall = this.#watch();
      }
    });
  }
}
