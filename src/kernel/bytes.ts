// Byte strings. Keys are ordered as unsigned bytes, exactly as LevelDB orders them; JavaScript's own
// string order (UTF-16) and locale order are different and never used for keys.

export const EMPTY: Uint8Array = new Uint8Array(0);

/** Unsigned lexicographic order: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

export function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

export function toHex(bytes: Uint8Array): string {
  return view(bytes).toString('hex');
}

/** One character per byte: a cheap, exact key for a `Map`. */
export function toMapKey(bytes: Uint8Array): string {
  return view(bytes).toString('latin1');
}

/** For people: text when it is printable UTF-8, otherwise hex with a leading 0x. */
export function describeBytes(bytes: Uint8Array): string {
  const text = view(bytes).toString('utf8');
  const isText = !/[\p{Cc}\uFFFD]/u.test(text);
  return isText ? JSON.stringify(text) : `0x${toHex(bytes)}`;
}

/**
 * The smallest byte string that is greater than every string with this prefix, or the empty string
 * when there is none (all bytes 0xff), which ends of ranges read as "no end".
 */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let last = prefix.length - 1; last >= 0; last -= 1) {
    const byte = prefix[last] ?? 0xff;
    if (byte === 0xff) continue;
    const end = Uint8Array.from(prefix.subarray(0, last + 1));
    end[last] = byte + 1;
    return end;
  }
  return EMPTY;
}

/** The smallest byte string greater than `key`: the key with a zero byte behind it. */
export function keyAfter(key: Uint8Array): Uint8Array {
  return concatBytes(key, Uint8Array.of(0));
}

/** A half-open range of keys. An empty `start` is the lowest key; an empty `end` means no end. */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

export function rangeContains(range: KeyRange, key: Uint8Array): boolean {
  return (
    compareBytes(key, range.start) >= 0 &&
    (range.end.length === 0 || compareBytes(key, range.end) < 0)
  );
}

export function rangesOverlap(a: KeyRange, b: KeyRange): boolean {
  const aBeforeB = a.end.length > 0 && compareBytes(a.end, b.start) <= 0;
  const bBeforeA = b.end.length > 0 && compareBytes(b.end, a.start) <= 0;
  return !aBeforeB && !bBeforeA;
}

/** A Buffer over the same memory, for the methods that only Buffer has. */
export function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
