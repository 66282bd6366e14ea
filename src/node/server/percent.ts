// Percent-encoding without a character set: a key is bytes, and %FF is a byte like any other. The
// decoders of the URL standard insist on UTF-8 and would refuse or change such keys.

import { MatrixError } from '../../kernel/errors.ts';

const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const PERCENT = 0x25;

/** The bytes that `text` stands for. Node hands out header bytes as Latin-1, one character each. */
export function decodePercent(text: string, what: string): Uint8Array {
  const source = Buffer.from(text, 'latin1');
  if (!text.includes('%')) return source;
  const broken = BROKEN_ESCAPE.exec(text);
  if (broken !== null) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `${what} has a broken percent escape at character ${broken.index + 1}`,
    );
  }
  const bytes = Buffer.allocUnsafe(source.length);
  let length = 0;
  for (let at = 0; at < source.length; at += 1) {
    const byte = source[at] ?? 0;
    if (byte === PERCENT) {
      bytes[length] = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    } else {
      bytes[length] = byte;
    }
    length += 1;
  }
  return bytes.subarray(0, length);
}
