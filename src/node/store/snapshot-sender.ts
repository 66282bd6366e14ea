// Streams the state of a shard to a replica that the log no longer reaches (d.9). The state is an
// engine snapshot taken in the turn in which the applied index was read, so the two belong together.

import type { KeyRange } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { ReplicaId, ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Replica } from '../shard/replica.ts';
import { type ReplicaDescriptor, replicaById } from '../shard/shard-meta.ts';
import { CHUNK_BYTES_MAX, encodeHeader, encodePart } from '../shard/snapshot-codec.ts';
import { stateRangesOf } from '../shard/state-ranges.ts';
import type { Engine, EngineSnapshot } from '../storage/engine.ts';
import { readPages } from '../storage/read-pages.ts';

/** Hands a stream to the transport; resolves when the receiver has all of it safely on disk. */
export type SnapshotStream = (
  to: { readonly shardId: ShardId; readonly replica: ReplicaDescriptor },
  snapshot: {
    readonly header: Uint8Array;
    readonly chunks: AsyncIterable<Uint8Array>;
    readonly signal: AbortSignal;
  },
) => Promise<void>;

export interface SnapshotSenderOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly stream: SnapshotStream;
  readonly wake: (replica: Replica) => void;
  /** When this shard was created by a split here, on the node's clock. */
  readonly splitAt: (shardId: ShardId) => number | undefined;
}

/** Outgoing snapshots of one store at a time (lesson 20). */
const SENDING_MAX = 2;
/** Replicas that will make the new shard themselves, by applying the same split, get this long. */
const SPLIT_GRACE_MS = 10_000;
/** Before a declined snapshot is asked for again. */
const RETRY_PAUSE_MS = 300;
const PAGE_ENTRIES = 1000;

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  /** By shard and receiver: a leader that comes back must not send what is on its way already. */
  readonly #sending = new Map<string, AbortController>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  get sending(): number {
    return this.#sending.size;
  }

  /** Called between turns, when what is in memory is what is on disk. */
  send(replica: Replica, to: ReplicaId): void {
    const receiver = replicaById(replica.meta, to);
    const key = `${replica.shardId}/${to}`;
    const isBusy = this.#sending.size >= SENDING_MAX || this.#sending.has(key);
    if (receiver === undefined || isBusy || this.#isTooEarly(replica)) {
      this.#decline(replica, to);
      return;
    }
    const abort = new AbortController();
    this.#sending.set(key, abort);
    replica.snapshotStarted(to);
    const ended = (isDelivered: boolean): void => {
      this.#sending.delete(key);
      replica.snapshotEnded(to, isDelivered);
      this.#options.wake(replica);
    };
    this.#stream(replica, receiver, abort.signal).then(
      () => ended(true),
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.observer.log.warn(
          { shard: replica.shardId, to, reason },
          'Snapshot was not delivered',
        );
        this.#options.clock.after(RETRY_PAUSE_MS, () => ended(false));
      },
    );
  }

  stop(): void {
    for (const abort of this.#sending.values()) abort.abort();
  }

  #isTooEarly(replica: Replica): boolean {
    const splitAt = this.#options.splitAt(replica.shardId);
    return splitAt !== undefined && this.#options.clock.now() - splitAt < SPLIT_GRACE_MS;
  }

  #decline(replica: Replica, to: ReplicaId): void {
    this.#options.clock.after(RETRY_PAUSE_MS, () => {
      replica.snapshotEnded(to, false);
      this.#options.wake(replica);
    });
  }

  async #stream(replica: Replica, receiver: ReplicaDescriptor, signal: AbortSignal): Promise<void> {
    const { engine, observer, stream } = this.#options;
    const { meta, durable, shardId } = replica;
    const snapshot = engine.snapshot();
    const header = encodeHeader({
      meta,
      last: durable,
      from: replica.replicaId,
      to: receiver.replicaId,
      term: replica.term,
    });
    observer.log.info(
      { shard: shardId, to: receiver.replicaId, index: durable.index },
      'Snapshot is being sent',
    );
    try {
      const chunks = readChunks(engine, snapshot, stateRangesOf(meta));
      await stream({ shardId, replica: receiver }, { header, chunks, signal });
      observer.metrics.count('matrixkv_shard_snapshots_total', 1, {
        direction: 'sent',
        result: 'ok',
      });
    } catch (error) {
      observer.metrics.count('matrixkv_shard_snapshots_total', 1, {
        direction: 'sent',
        result: 'failed',
      });
      throw error;
    } finally {
      await snapshot.close();
    }
  }
}

async function* readChunks(
  engine: Engine,
  snapshot: EngineSnapshot,
  ranges: readonly KeyRange[],
): AsyncGenerator<Uint8Array> {
  let count = 0;
  for (const range of ranges) {
    const options = { ...range, limit: PAGE_ENTRIES, bytesMax: CHUNK_BYTES_MAX, snapshot };
    for await (const entries of readPages(engine, options)) {
      count += entries.length;
      yield encodePart({ type: 'entries', entries });
    }
  }
  yield encodePart({ type: 'end', entries: count });
}
