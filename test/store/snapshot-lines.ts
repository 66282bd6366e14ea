// The streams on which stores of a test send snapshots to each other. A test sees every chunk pass
// and may hold it or cut the line; a line breaks by itself when the process at either end dies.

import { MatrixError } from '../../src/kernel/errors.ts';
import type { Store } from '../../src/node/store/store.ts';

export interface ChunkOnLine {
  readonly from: number;
  readonly to: number;
  /** Beginning with 1, within its stream. */
  readonly number: number;
  readonly bytes: Uint8Array;
}

interface Outgoing {
  readonly header: Uint8Array;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

interface Line {
  readonly from: number;
  readonly to: number;
  readonly broken: PromiseWithResolvers<never>;
}

/** The node that runs a store, while it runs. */
type FindReceiver = (
  storeId: number,
) => { readonly store: Pick<Store, 'receiveSnapshot'> } | undefined;

export class SnapshotLines {
  /** Streams begun and streams taken in whole, between whom. */
  readonly begun: { readonly from: number; readonly to: number }[] = [];
  readonly delivered: { readonly from: number; readonly to: number }[] = [];
  /** Called for each chunk before it arrives: it may wait, or throw to cut the line. */
  onChunk: (chunk: ChunkOnLine) => Promise<void> | void = () => {};
  readonly #find: FindReceiver;
  readonly #open = new Set<Line>();

  constructor(find: FindReceiver) {
    this.#find = find;
  }

  get open(): number {
    return this.#open.size;
  }

  async stream(from: number, to: number, { header, chunks, signal }: Outgoing): Promise<void> {
    const receiver = this.#find(to);
    if (receiver === undefined) throw new MatrixError('UNAVAILABLE', `Store ${to} is gone`);
    const line: Line = { from, to, broken: Promise.withResolvers() };
    line.broken.promise.catch(() => {}); // Either end looks when it needs the line.
    const abort = (): void => line.broken.reject(new MatrixError('UNAVAILABLE', 'Aborted'));
    signal.addEventListener('abort', abort, { once: true });
    this.#open.add(line);
    this.begun.push({ from, to });
    try {
      const received = receiver.store.receiveSnapshot(header, this.#passing(line, chunks));
      await Promise.race([received, line.broken.promise]);
      this.delivered.push({ from, to });
    } finally {
      this.#open.delete(line);
    }
  }

  /** The process of this store is gone. */
  broken(storeId: number): void {
    for (const line of this.#open) {
      if (line.from !== storeId && line.to !== storeId) continue;
      line.broken.reject(new MatrixError('UNAVAILABLE', 'Snapshot stream was cut off'));
    }
  }

  async *#passing(line: Line, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let number = 0;
    for await (const bytes of chunks) {
      number += 1;
      const passed = this.onChunk({ from: line.from, to: line.to, number, bytes });
      await Promise.race([passed, line.broken.promise]);
      yield bytes;
    }
  }
}
