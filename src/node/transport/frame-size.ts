// How large things will be on the wire, roughly: queues are bounded by bytes, and encoding twice just
// to know the size would cost more than the answer is worth.

import type { Envelope } from './transport.ts';

const ENVELOPE_BYTES = 96;
const ENTRY_BYTES = 24;
const FIELD_BYTES = 8;

export function envelopeBytes(envelope: Envelope): number {
  const { message, shard } = envelope;
  const fixed = ENVELOPE_BYTES + shard.start.length + shard.end.length;
  if (message.type !== 'append') return fixed;
  return message.entries.reduce((sum, entry) => sum + ENTRY_BYTES + entry.data.length, fixed);
}

/** Walks a decoded or a plain message: only bytes and texts differ much in size. */
export function messageBytes(value: unknown): number {
  if (typeof value === 'string') return FIELD_BYTES + value.length;
  if (value instanceof Uint8Array) return FIELD_BYTES + value.length;
  if (typeof value !== 'object' || value === null) return FIELD_BYTES;
  let sum = FIELD_BYTES;
  for (const part of Object.values(value)) sum += messageBytes(part);
  return sum;
}
