// Requests on keys, carried out on the replica that leads their shard. The address is checked twice:
// before the request is queued, and again at the moment of execution, because a split or a change of
// leaders may come in between (d.5, ancestor defect 7).

import {
  compareBytes,
  EMPTY,
  equalBytes,
  type KeyRange,
  keyAfter,
  rangeContains,
  rangesOverlap,
} from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import { encodeCommand, type WriteCommand } from '../shard/commands.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import { decodeValue } from '../shard/record.ts';
import type { Replica } from '../shard/replica.ts';
import { decodeResult } from '../shard/results.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { Engine } from '../storage/engine.ts';
import { dataKey, dataRange, userKeyOf } from '../storage/keys.ts';
import type { ReplicaHost } from './replica-host.ts';

export interface RequestsOptions {
  readonly host: ReplicaHost;
  readonly engine: Engine;
  readonly observer: Observer;
  readonly wake: (replica: Replica) => void;
}

/** Bytes of one page of a scan: bounds the memory of an answer. */
const SCAN_BYTES_MAX = 1024 * 1024;

interface Address {
  readonly shardId: ShardId;
  readonly generation: number;
  /** What the request is about: shards overlapping it are named when the address is wrong. */
  readonly range: KeyRange;
  /** True when the range is gone through from its end. */
  readonly isReverse?: boolean;
}

export class Requests {
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  async write(
    request: { shardId: ShardId; command: WriteCommand },
    deadline: number,
  ): Promise<WriteResult> {
    const { command, shardId } = request;
    const range = pointRange(command.key);
    const address = { shardId, generation: command.generation, range };
    const replica = this.#leaderAt(address);
    const bytes = await new Promise<Uint8Array>((resolve, reject) => {
      const fail = (error: MatrixError): void => {
        this.#count(error.outcome === 'unknown' ? 'unknown' : 'refused');
        reject(error);
      };
      replica.propose(encodeCommand(command), { deadline, resolve, reject: fail });
      this.#options.wake(replica);
    });
    this.#count('applied');
    return this.#writeResult(bytes, address);
  }

  #count(result: 'applied' | 'refused' | 'unknown'): void {
    this.#options.observer.metrics.count('matrixkv_shard_proposals_total', 1, { result });
  }

  async get(
    request: { shardId: ShardId; generation: number; key: Uint8Array },
    deadline: number,
  ): Promise<GetResult> {
    const address = { ...request, range: pointRange(request.key) };
    await this.#readable(address, deadline);
    const key = dataKey(request.key);
    const record = this.#options.engine.get(key);
    if (record === undefined) return { found: false };
    const stored = decodeValue(key, record);
    return { found: true, value: stored.value, version: stored.version };
  }

  async scan(
    request: { shardId: ShardId; generation: number; scan: ScanRequest },
    deadline: number,
  ): Promise<ScanResult> {
    const { scan } = request;
    const range = { start: scan.start, end: scan.end };
    const address = { ...request, range, isReverse: scan.reverse };
    const replica = await this.#readable(address, deadline);
    // The pages are read later, but from the state of this very turn.
    const { meta } = replica;
    const snapshot = this.#options.engine.snapshot();
    try {
      const page = await this.#options.engine.scan({
        ...dataRange(intersection(meta, scan)),
        limit: scan.limit,
        bytesMax: SCAN_BYTES_MAX,
        reverse: scan.reverse,
        snapshot,
      });
      const items = page.entries.map(({ key, value }) => {
        const stored = decodeValue(key, value);
        const item = { key: userKeyOf(key), version: stored.version };
        return { ...item, value: scan.keysOnly ? EMPTY : stored.value };
      });
      const next = nextStart({ scan, meta, hasMore: page.hasMore, last: items.at(-1)?.key });
      return next === undefined ? { items } : { items, next };
    } finally {
      await snapshot.close();
    }
  }

  /** Resolves in the turn in which the replica's durable state may be read. */
  async #readable(address: Address, deadline: number): Promise<Replica> {
    const replica = this.#leaderAt(address);
    await new Promise<void>((resolve, reject) => {
      replica.read({ deadline, resolve, reject });
      this.#options.wake(replica);
    });
    this.#checkAddress(address);
    return replica;
  }

  #leaderAt(address: Address): Replica {
    const replica = this.#checkAddress(address);
    if (!replica.isLeader) throw replica.notLeader();
    return replica;
  }

  #checkAddress(address: Address): Replica {
    const { host } = this.#options;
    const replica = host.userShard(address.shardId);
    if (replica === undefined || replica.isInstalling) {
      throw new MatrixError('SHARD_NOT_FOUND', `Shard ${address.shardId} is not on this store`, {
        hint: { shards: host.overlapping(address.range) },
      });
    }
    const { meta } = replica;
    if (meta.epoch.generation !== address.generation || !holdsBeginning(meta, address)) {
      throw this.#epochError(address, meta);
    }
    return replica;
  }

  #epochError(address: Address, meta: ShardMeta): MatrixError {
    const text = `Shard ${meta.id} is at generation ${meta.epoch.generation}, not ${address.generation}`;
    const shards = this.#options.host.overlapping(address.range);
    return new MatrixError('EPOCH_NOT_MATCH', text, { hint: { shards } });
  }

  #writeResult(bytes: Uint8Array, address: Address): WriteResult {
    const result = decodeResult(bytes);
    switch (result.type) {
      case 'written':
        return { applied: result.applied, existed: result.existed, version: result.version };
      case 'epoch-not-match': {
        const shards = this.#options.host.overlapping(address.range);
        const text = `Shard ${address.shardId} changed while the write was on its way`;
        throw new MatrixError('EPOCH_NOT_MATCH', text, { hint: { shards } });
      }
      case 'session-expired':
        throw new MatrixError(
          'SESSION_EXPIRED',
          'The shard has forgotten sessions as old as this',
          {
            hint: { sessionFloor: result.floor },
          },
        );
      case 'session-full':
        throw new MatrixError('OVERLOADED', 'The session has too many unacknowledged writes');
      case 'stale-duplicate':
        throw new MatrixError(
          'INVALID_ARGUMENT',
          'The write repeats a call that was answered long ago',
        );
      default:
        throw new MatrixError('UNSUPPORTED', 'The shard does not understand the command', {
          outcome: 'not-applied',
        });
    }
  }
}

function pointRange(key: Uint8Array): KeyRange {
  return { start: key, end: keyAfter(key) };
}

/** Of a range it is enough that its first part lies here; without that part it would be skipped. */
function holdsBeginning(meta: KeyRange, { range, isReverse }: Address): boolean {
  if (isReverse !== true) return rangeContains(meta, range.start);
  return rangesOverlap(meta, range) && equalBytes(earlierEnd(meta.end, range.end), range.end);
}

function intersection(meta: KeyRange, range: KeyRange): KeyRange {
  const start = compareBytes(meta.start, range.start) > 0 ? meta.start : range.start;
  return { start, end: earlierEnd(meta.end, range.end) };
}

function earlierEnd(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return compareBytes(a, b) < 0 ? a : b;
}

/** Where the rest of the range begins (forward) or ends (reverse), if there is a rest. */
function nextStart(page: {
  readonly scan: ScanRequest;
  readonly meta: KeyRange;
  readonly hasMore: boolean;
  readonly last: Uint8Array | undefined;
}): Uint8Array | undefined {
  const { scan, meta, hasMore, last } = page;
  if (hasMore && last !== undefined) return scan.reverse ? last : keyAfter(last);
  if (scan.reverse) {
    const isDone = compareBytes(meta.start, scan.start) <= 0;
    return isDone ? undefined : meta.start;
  }
  const isDone =
    meta.end.length === 0 || (scan.end.length > 0 && compareBytes(meta.end, scan.end) >= 0);
  return isDone ? undefined : meta.end;
}
