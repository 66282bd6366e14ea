// Bytes in JSON, as the HTTP API writes them: text where the bytes are text, else base64 with
// `"encoding":"base64"` beside it; for the fields of one object together.

import { isUtf8 } from 'node:buffer';
import { view } from '../kernel/bytes.ts';

export function bytesToJson(fields: Readonly<Record<string, Uint8Array>>): Record<string, string> {
  const isText = Object.values(fields).every((bytes) => isUtf8(bytes));
  const json: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(fields)) {
    json[name] = view(bytes).toString(isText ? 'utf8' : 'base64');
  }
  return isText ? json : { ...json, encoding: 'base64' };
}

/** The other way round, for an object that may say its encoding. */
export function bytesFromJson(text: string, encoding: unknown): Uint8Array {
  return Buffer.from(text, encoding === 'base64' ? 'base64' : 'utf8');
}
