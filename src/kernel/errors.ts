// The one error that crosses rooms and the wire. Answers (key absent, compare failed) are return
// values; bugs are assertions; everything else is a MatrixError with a code from a closed list, an
// advice on retrying, and an honest word about the outcome.

import type { KeyRange } from './bytes.ts';

/** The closed list. A code is a promise to users: never renamed, never given a second meaning. */
export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'TOO_LARGE',
  'PRECONDITION_FAILED',
  'NOT_LEADER',
  'SHARD_NOT_FOUND',
  'EPOCH_NOT_MATCH',
  'SESSION_EXPIRED',
  'STORE_MISMATCH',
  'STORE_REMOVED',
  'OVERLOADED',
  'UNAVAILABLE',
  'TIMEOUT',
  'OUTCOME_UNKNOWN',
  'DISK_FULL',
  'UNSUPPORTED',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** `no`: the same request fails again. `later`: after a pause. `elsewhere`: at another node, at once. */
export type RetryAdvice = 'no' | 'later' | 'elsewhere';

/** `not-applied`: it has not happened and never will. `unknown`: it may have happened, or may yet. */
export type Outcome = 'not-applied' | 'unknown';

const ADVICE: Readonly<Record<ErrorCode, { retry: RetryAdvice; outcome: Outcome }>> = {
  INVALID_ARGUMENT: { retry: 'no', outcome: 'not-applied' },
  NOT_FOUND: { retry: 'no', outcome: 'not-applied' },
  TOO_LARGE: { retry: 'no', outcome: 'not-applied' },
  PRECONDITION_FAILED: { retry: 'no', outcome: 'not-applied' },
  NOT_LEADER: { retry: 'elsewhere', outcome: 'not-applied' },
  SHARD_NOT_FOUND: { retry: 'elsewhere', outcome: 'not-applied' },
  EPOCH_NOT_MATCH: { retry: 'elsewhere', outcome: 'not-applied' },
  SESSION_EXPIRED: { retry: 'later', outcome: 'not-applied' },
  STORE_MISMATCH: { retry: 'elsewhere', outcome: 'not-applied' },
  STORE_REMOVED: { retry: 'no', outcome: 'not-applied' },
  OVERLOADED: { retry: 'later', outcome: 'not-applied' },
  UNAVAILABLE: { retry: 'later', outcome: 'not-applied' },
  TIMEOUT: { retry: 'later', outcome: 'unknown' },
  OUTCOME_UNKNOWN: { retry: 'later', outcome: 'unknown' },
  DISK_FULL: { retry: 'later', outcome: 'not-applied' },
  UNSUPPORTED: { retry: 'no', outcome: 'not-applied' },
  INTERNAL: { retry: 'no', outcome: 'unknown' },
};

/** What a refusal teaches the caller about routes: see `routing/`. */
export interface RouteHint {
  /** Replica and store of the leader as far as the answering replica knows. */
  readonly leader?: { readonly replicaId: number; readonly storeId: number; readonly term: number };
  /** Every current shard of the answering store that overlaps the requested range (lesson 10). */
  readonly shards?: readonly HintedShard[];
  /** Of SESSION_EXPIRED: the new session's client id must be greater than this one. */
  readonly sessionFloor?: Uint8Array;
}

export interface HintedShard extends KeyRange {
  readonly id: number;
  readonly epoch: { readonly generation: number; readonly confVersion: number };
  readonly replicas: readonly {
    readonly replicaId: number;
    readonly storeId: number;
    readonly role: 'voter' | 'learner';
  }[];
}

export interface MatrixErrorOptions {
  readonly cause?: unknown;
  readonly retry?: RetryAdvice;
  readonly outcome?: Outcome;
  readonly hint?: RouteHint;
  /** A pause the server asks for, in milliseconds. */
  readonly retryAfterMs?: number;
}

export class MatrixError extends Error {
  override readonly name = 'MatrixError';
  readonly code: ErrorCode;
  readonly retry: RetryAdvice;
  readonly outcome: Outcome;
  readonly hint: RouteHint | undefined;
  readonly retryAfterMs: number | undefined;
  /** The text without the code in front. */
  readonly text: string;

  constructor(code: ErrorCode, text: string, options: MatrixErrorOptions = {}) {
    super(`[${code}] ${text}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.text = text;
    this.retry = options.retry ?? ADVICE[code].retry;
    this.outcome = options.outcome ?? ADVICE[code].outcome;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The single gate from foreign errors. */
  static from(error: unknown): MatrixError {
    if (error instanceof MatrixError) return error;
    const text = error instanceof Error ? error.message : String(error);
    return new MatrixError('INTERNAL', text, { cause: error });
  }

  /** The same error, saying that the write may have happened. */
  withUnknownOutcome(): MatrixError {
    if (this.outcome === 'unknown') return this;
    return new MatrixError('OUTCOME_UNKNOWN', this.text, { cause: this, retry: this.retry });
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(text);
}
