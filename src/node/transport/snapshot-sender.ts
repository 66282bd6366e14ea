// Sends one snapshot on a stream of its own: no faster than the peer takes it, given up when nothing
// moves for a while (lesson 20: by progress, never by total time), or when the owner aborts.

import type { Timer } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { SnapshotRequestInit } from '../../wire/frames.ts';
import type { InstallSnapshotResponse } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import type { TransportContext } from './transport-context.ts';
import type { Link, LinkEvents } from './wire-port.ts';

export interface OutgoingSnapshot {
  readonly toStoreId: number;
  readonly header: Uint8Array;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

export class SnapshotSender implements LinkEvents<InstallSnapshotResponse> {
  readonly #context: TransportContext;
  readonly #address: string;
  readonly #link: Link<SnapshotRequestInit>;
  /** Settled once: by the peer's answer, or by whatever ends the stream before it. */
  readonly #done = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  #stall: Timer;

  constructor(context: TransportContext, address: string) {
    this.#context = context;
    this.#address = address;
    this.#link = context.wire.openSnapshot({ address }, this);
    this.#stall = this.#watch();
    this.#done.promise.catch(() => {}); // Whoever sends is told by `send`; later failures are none.
  }

  async send(snapshot: OutgoingSnapshot): Promise<void> {
    const { toStoreId, header, chunks, signal } = snapshot;
    const abort = (): void => this.fail(new MatrixError('UNAVAILABLE', 'Snapshot was aborted'));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await this.#write({ hello: this.#context.handshake.hello(toStoreId), header });
      await this.#writeAll(chunks);
      await this.#write({ isLast: true });
      this.#link.end();
      await this.#done.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#stall.cancel();
    }
  }

  fail(error: MatrixError): void {
    this.#done.reject(error);
    this.#stall.cancel();
    this.#link.destroy(error);
  }

  onFrame(): void {
    this.#done.resolve();
    this.#link.end();
  }

  onDrain(): void {
    this.#progress();
    this.#room.resolve();
  }

  onEnd(): void {
    this.#link.end();
  }

  onClose(error: MatrixError | undefined): void {
    this.#stall.cancel();
    const reason = error?.text ?? 'the peer ended the stream';
    this.#done.reject(
      error ?? new MatrixError('UNAVAILABLE', `Snapshot to ${this.#address} broke off: ${reason}`),
    );
  }

  async #writeAll(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = chunks[Symbol.asyncIterator]();
    let isWhole = false;
    try {
      for (;;) {
        const next = await this.#unlessDone(iterator.next());
        if (next.done === true) break;
        await this.#writeChunk(next.value);
      }
      isWhole = true;
    } finally {
      // Not awaited: a source that hangs must not hang the sender, and its failure changes nothing.
      if (!isWhole) iterator.return?.().catch(() => {});
    }
  }

  async #writeChunk(chunk: Uint8Array): Promise<void> {
    const { chunkBytes } = this.#context.limits;
    for (let at = 0; at < chunk.length; at += chunkBytes) {
      await this.#write({ chunk: chunk.subarray(at, at + chunkBytes) });
    }
  }

  async #write(frame: SnapshotRequestInit): Promise<void> {
    this.#room = Promise.withResolvers();
    if (this.#link.write(frame)) this.#progress();
    else await this.#unlessDone(this.#room.promise);
  }

  /** The value, unless the stream ends before: then the reason, also when the peer was content early. */
  #unlessDone<T>(value: Promise<T>): Promise<T> {
    const ended = this.#done.promise.then(() => {
      throw new MatrixError('UNAVAILABLE', `${this.#address} answered before it had everything`);
    });
    return Promise.race([value, ended]);
  }

  #progress(): void {
    this.#stall.cancel();
    this.#stall = this.#watch();
  }

  #watch(): Timer {
    const { clock, limits } = this.#context;
    return clock.after(limits.snapshotStallMs, () => {
      this.fail(new MatrixError('TIMEOUT', `Snapshot to ${this.#address} made no progress`));
    });
  }
}
