// Takes a snapshot in: admits it by tokens and by range, stages its chunks durably, and gives it to
// the replica's core, which decides whether it is wanted (d.9). Installing is in snapshot-install.ts.

import { DecodeError } from '../../kernel/byte-codec.ts';
import { type KeyRange, rangeContains } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { PROPHET_SHARD, type ReplicaId, type ShardId } from '../../kernel/ids.ts';
import type { Replica } from '../shard/replica.ts';
import { confStateOf, replicaOn } from '../shard/shard-meta.ts';
import { minReplicaId } from '../shard/shard-records.ts';
import { decodeHeader, decodePart, type SnapshotHeader } from '../shard/snapshot-codec.ts';
import { stateRangesOf } from '../shard/state-ranges.ts';
import type { EngineEntry } from '../storage/engine.ts';
import { stagingKey, stagingRange } from '../storage/keys.ts';
import { type SweepOptions, sweepRanges } from './range-sweep.ts';
import type { ReplicaHost } from './replica-host.ts';
import { putStaging, type Staging } from './staging.ts';

export interface SnapshotReceiverOptions extends SweepOptions {
  readonly host: ReplicaHost;
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
  /** Each has the staging place of its shard for itself until the last trace of it is gone. */
  readonly #incoming = new Set<ShardId>();

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  get receiving(): number {
    return this.#incoming.size;
  }

  /** Resolves when the snapshot is installed, or was not needed. Rejects when it is refused. */
  async receive(headerBytes: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const header = decodeHeader(headerBytes);
    const { host } = this.#options;
    const shardId = header.meta.id;
    this.#admit(header);
    this.#incoming.add(shardId);
    host.claim(shardId, 'snapshot', header.meta);
    try {
      const staging = await this.#stage(header, chunks);
      await this.#offer(header, staging);
    } catch (error) {
      await this.#clear(shardId);
      throw error;
    } finally {
      host.release(shardId, 'snapshot');
      this.#incoming.delete(shardId);
    }
  }

  #admit(header: SnapshotHeader): void {
    const { host } = this.#options;
    const { id } = header.meta;
    if (this.receiving >= RECEIVING_MAX) throw refusal(header, 'two others are being received');
    if (this.#incoming.has(id) || host.claimOf(id) !== undefined) {
      throw refusal(header, 'the shard is busy here');
    }
    this.#checkWanted(header);
  }

  /** Asked before the first chunk and after the last: much may happen in between. */
  #checkWanted(header: SnapshotHeader): void {
    const objection = this.#objection(header);
    if (objection !== undefined) throw refusal(header, objection);
  }

  #objection({ meta, to }: SnapshotHeader): string | undefined {
    const { host, engine, storeId } = this.#options;
    const replica = host.get(meta.id);
    if (replica?.isInstalling === true) return 'another one is being installed';
    if (meta.id === PROPHET_SHARD) {
      // A member of Prophet starts when it knows that it may vote (d.11), never because of a snapshot.
      return replica?.replicaId === to ? undefined : `member ${to} of Prophet does not run here`;
    }
    if (replicaOn(meta, storeId())?.replicaId !== to) {
      return `replica ${to} is not on store ${storeId()}`;
    }
    if (replica !== undefined && replica.replicaId !== to) {
      return `replica ${replica.replicaId} is here`;
    }
    if (to < minReplicaId(engine, meta.id)) return `replica ${to} was removed from this store`;
    return host.conflict(meta.id, meta);
  }

  /** Writes the chunks to disk as they come, so that memory stays small however large the shard. */
  async #stage(header: SnapshotHeader, chunks: AsyncIterable<Uint8Array>): Promise<Staging> {
    const { submit, host } = this.#options;
    const shardId = header.meta.id;
    const ranges = stateRangesOf(header.meta);
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
        checkInside(part.entries, ranges);
        entries += part.entries.length;
        await submit([{ type: 'put', key: stagingKey(shardId, count), value: chunk }]);
        count += 1;
        // A split or a removal takes the claim over.
        if (host.claimOf(shardId) !== 'snapshot') throw refusal(header, 'the shard has moved on');
      }
    }
    if (!isComplete) throw new DecodeError('Snapshot ended early');
    return { meta: header.meta, last: header.last, chunks: count };
  }

  async #offer(header: SnapshotHeader, staging: Staging): Promise<void> {
    const { replicaFor, wake, nextTurn, installed, submit } = this.#options;
    const { meta } = header;
    await submit([putStaging(staging)]);
    this.#checkWanted(header);
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

  /** What came of a refused snapshot must not fill the disk. An installation needs its chunks. */
  async #clear(shardId: ShardId): Promise<void> {
    if (this.#options.host.get(shardId)?.isInstalling === true) return;
    try {
      await sweepRanges(this.#options, [stagingRange(shardId)]);
    } catch {
      // The store is stopping: the next start clears it.
    }
  }
}

/** A chunk of a peer that is wrong, or worse, must not write over anything else on this disk. */
function checkInside(entries: readonly EngineEntry[], ranges: readonly KeyRange[]): void {
  for (const { key } of entries) {
    if (!ranges.some((range) => rangeContains(range, key))) {
      throw new DecodeError('Snapshot has a key that is not of its shard');
    }
  }
}

function refusal(header: SnapshotHeader, reason: string): MatrixError {
  return new MatrixError(
    'UNAVAILABLE',
    `Snapshot of shard ${header.meta.id} is refused as ${reason}`,
  );
}
