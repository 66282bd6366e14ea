// Messages and snapshots of peers that a test plays itself.

import { EMPTY, utf8 } from '../../src/kernel/bytes.ts';
import type { EntryId } from '../../src/kernel/ids.ts';
import type { Message } from '../../src/node/raft/messages.ts';
import { encodeValue } from '../../src/node/shard/record.ts';
import { replicaById, type ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { encodeHeader, encodePart } from '../../src/node/shard/snapshot-codec.ts';
import type { EngineEntry } from '../../src/node/storage/engine.ts';
import { dataKey } from '../../src/node/storage/keys.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';

/** A shard over a range of keys with replicas given as `replicaId@storeId`. */
export function shardMeta(
  id: number,
  replicas: readonly string[],
  shard: { start?: string; end?: string; generation?: number; confVersion?: number } = {},
): ShardMeta {
  return {
    id,
    start: shard.start === undefined ? EMPTY : utf8(shard.start),
    end: shard.end === undefined ? EMPTY : utf8(shard.end),
    epoch: { generation: shard.generation ?? 1, confVersion: shard.confVersion ?? 1 },
    replicas: replicas.map((replica) => {
      const [replicaId = 0, storeId = 0] = replica.split('@').map(Number);
      return { replicaId, storeId, role: 'voter' as const };
    }),
  };
}

export function envelope(meta: ShardMeta, message: Message): Envelope {
  const find = (id: number): Envelope['from'] =>
    replicaById(meta, id) ?? { replicaId: id, storeId: 0, role: 'voter' };
  const to = find(message.to);
  const { start, end, epoch } = meta;
  return {
    shardId: meta.id,
    toStoreId: to.storeId,
    from: find(message.from),
    to,
    shard: { start, end, epoch },
    message,
  };
}

export interface HandMadeSnapshot {
  readonly header: Uint8Array;
  readonly chunks: readonly Uint8Array[];
}

/** A snapshot of these keys, one chunk for each. */
export function handMadeSnapshot(snapshot: {
  readonly meta: ShardMeta;
  readonly from: number;
  readonly to: number;
  readonly last: EntryId;
  readonly term?: number;
  readonly keys?: readonly string[];
  readonly value?: string;
}): HandMadeSnapshot {
  const { keys = [], value = 'v', ...rest } = snapshot;
  const chunks = keys.map((text): Uint8Array => entriesPart([dataEntry(text, value)]));
  return {
    header: encodeHeader({ ...rest, term: snapshot.term ?? snapshot.last.term }),
    chunks: [...chunks, encodePart({ type: 'end', entries: keys.length })],
  };
}

export function entriesPart(entries: readonly EngineEntry[]): Uint8Array {
  return encodePart({ type: 'entries', entries });
}

export function dataEntry(text: string, value: string): EngineEntry {
  const key = dataKey(utf8(text));
  return { key, value: encodeValue(key, { version: 1, value: utf8(value) }) };
}

/** Chunks that pass one by one as the test says. */
export class HeldChunks implements AsyncIterable<Uint8Array> {
  readonly #chunks: readonly Uint8Array[];
  readonly #gates: PromiseWithResolvers<void>[];

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = chunks;
    this.#gates = chunks.map(() => Promise.withResolvers<void>());
  }

  pass(count: number): void {
    for (const gate of this.#gates.slice(0, count)) gate.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (const [position, chunk] of this.#chunks.entries()) {
      await this.#gates[position]?.promise;
      yield chunk;
    }
  }
}

export async function* passing(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
