// Which HTTP status says what a MatrixError says. The status is for programs that know only HTTP;
// ours look at `code` in the body, which is finer.

import type { ErrorCode } from '../../kernel/errors.ts';

export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 400,
  NOT_FOUND: 404,
  PRECONDITION_FAILED: 412,
  TOO_LARGE: 413,
  OVERLOADED: 429,
  INTERNAL: 500,
  UNSUPPORTED: 501,
  UNAVAILABLE: 503,
  NOT_LEADER: 503,
  SHARD_NOT_FOUND: 503,
  EPOCH_NOT_MATCH: 503,
  SESSION_EXPIRED: 503,
  STORE_MISMATCH: 503,
  STORE_REMOVED: 503,
  TIMEOUT: 504,
  OUTCOME_UNKNOWN: 504,
  DISK_FULL: 507,
};
