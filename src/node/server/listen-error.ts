// Why a port could not be opened, in one clear sentence: the first error that many users ever see.

import { MatrixError } from '../../kernel/errors.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses this port',
  EACCES: 'this user may not open this port',
  EADDRNOTAVAIL: 'this machine does not have this address',
  ENOTFOUND: 'this name has no address',
  EAI_AGAIN: 'this name could not be looked up',
};

export function listenError({ host, port }: ListenAddress, error: unknown): MatrixError {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  const shown = host.includes(':') ? `[${host}]` : host;
  return new MatrixError('UNAVAILABLE', `Cannot listen on ${shown}:${port} as ${reason}`, {
    cause: error,
  });
}
