// The answer of the state machine to one command, as bytes: what a session remembers, and what the
// waiting caller gets. Refusals are answers too: they say that the command was NOT applied.

import { assert } from '../../kernel/assert.ts';
import { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import type { WriteResult } from './kv-types.ts';

export type CommandResult =
  | ({ readonly type: 'written' } & WriteResult)
  /** The shard was split or the key lies elsewhere now. */
  | { readonly type: 'epoch-not-match' }
  /** The session was forgotten; a new one must be later than `floor` (16 bytes). */
  | { readonly type: 'session-expired'; readonly floor: Uint8Array }
  /** A copy of a call whose answer has already arrived. */
  | { readonly type: 'stale-duplicate' }
  /** Too many unacknowledged calls in one session. */
  | { readonly type: 'session-full' }
  /** Bytes that this version does not understand. */
  | { readonly type: 'bad-command' }
  | { readonly type: 'split-done' };

const KINDS = [
  'written',
  'epoch-not-match',
  'session-expired',
  'stale-duplicate',
  'session-full',
  'bad-command',
  'split-done',
] as const;

export function encodeResult(result: CommandResult): Uint8Array {
  const writer = new ByteWriter(16).u8(KINDS.indexOf(result.type));
  if (result.type === 'written') {
    writer.bool(result.applied).bool(result.existed).u64(result.version);
  }
  if (result.type === 'session-expired') writer.raw(result.floor);
  return writer.finish();
}

/** Results are made by this process or read from a sealed record: nonsense here is a bug. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const reader = new ByteReader(bytes);
  const kind = KINDS[reader.u8()];
  assert(kind !== undefined, 'Command result has an unknown kind');
  switch (kind) {
    case 'written':
      return {
        type: kind,
        applied: reader.bool(),
        existed: reader.bool(),
        version: reader.u64(),
      };
    case 'session-expired':
      return { type: kind, floor: reader.rest() };
    default:
      return { type: kind };
  }
}
