// Takes a snapshot in: admits it by tokens and by range, stages its chunks durably, and gives it to
// the replica's core, which decides whether it is wanted (d.9). Installing is in snapshot-install.ts.

import { DecodeError } from '../../kernel/byte-codec.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { PROPHET_SHARD, type ReplicaId, type ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Replica } from '../shard/replica.ts';
import { confStateOf, replicaOn } from '../shard/shard-meta.ts';
import { decodeHeader, decodePart, type SnapshotHeader } from '../shard/snapshot-codec.ts';
import { stagingKey, stagingRange } from '../storage/keys.ts';
import { type SweepOptions, sweepRanges } from './range-sweep.ts';
import type { ReplicaHost } from './replica-host.ts';
import { putStaging, type Staging } from './staging.ts';

export interface SnapshotReceiverOptions extends SweepOptions {
  readonly host: ReplicaHost;
  readonly observer: Observer;
  readonly storeId: () => number;
  /** The replica that the snapshot is for; made if messages have not made it yet. */
  readonly replicaFor: (shardId: ShardId, replicaId: ReplicaId) => Replica | undefined;
  readonly wake: (replica: Replica) => void;
  readonly nextTurn: () => Promise<void>;
  /** Resolves when the installation that has begun for this shard is finished. */
  readonly installed: (shardId: ShardId) => Promise<void>;
}

/** Incoming snapshots of one store at a time (lesson 20). */
const RECEIVING_MAX = 2;

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  get receiving(): number {
    return this.#options.host.count('snapshot');
  }

  /** Resolves when the snapshot is installed, or was not needed. Rejects when it is refused. */
  async receive(headerBytes: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const header = decodeHeader(headerBytes);
    const { host } = this.#options;
    const shardId = header.meta.id;
    this.#admit(header);
    host.claim(shardId, 'snapshot', header.meta);
    try {
      const staging = await this.#stage(header, chunks);
      await this.#offer(header, staging);
    } finally {
      if (host.claimOf(shardId) === 'snapshot') host.release(shardId);
    }
  }

  #admit(header: SnapshotHeader): void {
    const { host, storeId } = this.#options;
    const { meta } = header;
    const local = replicaOn(meta, storeId());
    if (meta.id !== PROPHET_SHARD && local?.replicaId !== header.to) {
      throw refusal(header, `replica ${header.to} is not on store ${storeId()}`);
    }
    if (this.receiving >= RECEIVING_MAX) throw refusal(header, 'two others are being received');
    if (host.claimOf(meta.id) !== undefined) throw refusal(header, 'the shard is busy here');
    const conflict = host.conflict(meta.id, meta);
    if (meta.id !== PROPHET_SHARD && conflict !== undefined) throw refusal(header, conflict);
    const replica = host.get(meta.id);
    if (replica !== undefined && replica.replicaId > header.to) {
      throw refusal(header, `a newer replica ${replica.replicaId} is here`);
    }
    if (replica?.isInstalling === true) throw refusal(header, 'another one is being installed');
  }

  /** Writes the chunks to disk as they come, so that memory stays small however large the shard. */
  async #stage(header: SnapshotHeader, chunks: AsyncIterable<Uint8Array>): Promise<Staging> {
    const { submit } = this.#options;
    const shardId = header.meta.id;
    await sweepRanges(this.#options, [stagingRange(shardId)]);
    let count = 0;
    let entries = 0;
    let isComplete = false;
    for await (const chunk of chunks) {
      if (isComplete) throw new DecodeError('Snapshot goes on behind its end');
      const part = decodePart(chunk);
      if (part.type === 'end') {
        if (part.entries !== entries) {
          throw new DecodeError(`Snapshot has ${entries} entries, ${part.entries} were sent`);
        }
        isComplete = true;
      } else {
        entries += part.entries.length;
        await submit([{ type: 'put', key: stagingKey(shardId, count), value: chunk }]);
        count += 1;
      }
    }
    if (!isComplete) throw new DecodeError('Snapshot ended early');
    return { meta: header.meta, last: header.last, chunks: count };
  }

  async #offer(header: SnapshotHeader, staging: Staging): Promise<void> {
    const { host, replicaFor, wake, nextTurn, installed, submit } = this.#options;
    const { meta } = header;
    await submit([putStaging(staging)]);
    // The range may have been taken while the chunks came in.
    const conflict = host.conflict(meta.id, meta);
    if (meta.id !== PROPHET_SHARD && conflict !== undefined) throw refusal(header, conflict);
    const replica = replicaFor(meta.id, header.to);
    if (replica === undefined) throw refusal(header, 'its replica is not wanted here');
    const message = {
      type: 'snapshot',
      from: header.from,
      to: header.to,
      term: header.term,
      snapshot: { last: header.last, conf: confStateOf(meta.replicas) },
    } as const;
    replica.receiveSnapshot(message, meta);
    wake(replica);
    await nextTurn();
    if (replica.isInstalling) await installed(meta.id);
    else await sweepRanges(this.#options, [stagingRange(meta.id)]);
  }
}

function refusal(header: SnapshotHeader, reason: string): MatrixError {
  return new MatrixError(
    'UNAVAILABLE',
    `Snapshot of shard ${header.meta.id} is refused as ${reason}`,
  );
}
