// Bytes in JSON. JSON holds only text, so bytes that are valid UTF-8 are written as that text and
// all others in base64, with `"encoding":"base64"` beside them. Nothing is ever replaced or lost.

import { isUtf8 } from 'node:buffer';
import { view } from '../../kernel/bytes.ts';

export type Encoding = 'text' | 'base64';

/** The same bytes for every name, written in one encoding; `encoding` is there only for base64. */
export function bytesToJson<Name extends string>(
  fields: Readonly<Record<Name, Uint8Array>>,
  wanted?: Encoding,
): Record<Name, string> & { encoding?: 'base64' };
export function bytesToJson(
  fields: Readonly<Record<string, Uint8Array>>,
  wanted: Encoding = 'text',
): Record<string, string> {
  const isText = wanted === 'text' && Object.values(fields).every((bytes) => isUtf8(bytes));
  const json: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(fields)) {
    json[name] = view(bytes).toString(isText ? 'utf8' : 'base64');
  }
  if (!isText) json['encoding'] = 'base64';
  return json;
}
