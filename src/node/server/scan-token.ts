// The continuation token of a scan: opaque to clients, so that it may change. It holds where to go on
// and in which direction, and a version byte; the range itself is repeated by the client.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { view } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';

const TOKEN_VERSION = 1;

export interface ScanPosition {
  readonly isReverse: boolean;
  /** Forward: the next start, inclusive. Reverse: the next end, exclusive. */
  readonly next: Uint8Array;
}

export function encodeScanToken(position: ScanPosition): string {
  const bytes = new ByteWriter().u8(TOKEN_VERSION).bool(position.isReverse).raw(position.next);
  return view(bytes.finish()).toString('base64url');
}

export function decodeScanToken(token: string): ScanPosition {
  const bytes = Buffer.from(token, 'base64url');
  // Node skips what is no base64; a token that was cut or changed must not scan something else.
  if (bytes.toString('base64url') !== token) throw notOurs();
  const reader = new ByteReader(bytes);
  try {
    if (reader.u8() !== TOKEN_VERSION) throw notOurs();
    return { isReverse: reader.bool(), next: reader.rest() };
  } catch (error) {
    if (error instanceof DecodeError) throw notOurs();
    throw error;
  }
}

function notOurs(): MatrixError {
  return new MatrixError('INVALID_ARGUMENT', 'Parameter continue is not a token of this server');
}
