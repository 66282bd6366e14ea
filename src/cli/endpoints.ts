// Which nodes a command talks to. Any node answers any request, so a list is only about who is up.

import { CliError } from './exit-codes.ts';

/** The nodes of a local cluster as `npm start` makes it: one of them down is no reason to fail. */
export const DEFAULT_ENDPOINTS =
  'http://127.0.0.1:8080,http://127.0.0.1:8081,http://127.0.0.1:8082,http://127.0.0.1:8083';

const ENDPOINTS_MAX = 64;

/** From `--endpoint` or MKV_ENDPOINT: a list with commas; `http://` may be left away. */
export function parseEndpoints(text: string): readonly string[] {
  const endpoints = text.split(',').map((part) => parseEndpoint(part.trim()));
  if (endpoints.length <= ENDPOINTS_MAX) return endpoints;
  throw new CliError('usage', `--endpoint has ${endpoints.length} addresses: at most 64 are tried`);
}

function parseEndpoint(text: string): string {
  const full = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  const isPlain = url?.search === '' && url.hash === '' && url.username === '';
  if (url === undefined || !isPlain || !['http:', 'https:'].includes(url.protocol)) {
    throw new CliError(
      'usage',
      `--endpoint ${text} is not an address: use http://HOST:PORT, such as http://127.0.0.1:8080`,
    );
  }
  return url.href.replace(/\/+$/, '');
}
