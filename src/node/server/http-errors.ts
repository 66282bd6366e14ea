// Every failure leaves as JSON of one shape, `{error, code, retry, outcome}`: words for people, a
// stable code, whether to try again, and whether the write may have happened.

import type { ErrorCode } from '../../kernel/errors.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer } from './answer.ts';
import { HTTP_STATUS } from './http-status.ts';

const RETRY_AFTER_DEFAULT_MS = 1000;

export interface ErrorAnswerOptions {
  /** What the body carries besides: the ancestor's routes echo the key. */
  readonly fields?: Readonly<Record<string, string | number>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the meaning of HTTP wants another status than the code's own (404 for a path, 405). */
  readonly status?: number;
}

export function errorAnswer(error: MatrixError, options: ErrorAnswerOptions = {}): Answer {
  const status = options.status ?? HTTP_STATUS[error.code];
  const body = {
    ...options.fields,
    error: error.text,
    code: error.code,
    retry: error.retry,
    outcome: error.outcome,
  };
  return jsonAnswer(body, status, { ...retryAfter(status, error), ...options.headers });
}

/** No such path: UNSUPPORTED rather than NOT_FOUND, which is said of keys, stores and shards. */
export function unknownPathAnswer(path: string): Answer {
  const text = `No such path: ${path}; GET / lists the routes`;
  return errorAnswer(new MatrixError('UNSUPPORTED', text), { status: 404 });
}

export function wrongMethodAnswer(path: string, allowed: readonly string[]): Answer {
  const allow = allowed.join(', ');
  const error = new MatrixError('UNSUPPORTED', `${path} takes only ${allow}`);
  return errorAnswer(error, { status: 405, headers: { allow } });
}

/** What the framework found wrong before a handler ran, in our words. */
export function translateFrameworkError(error: unknown, bodyBytesMax: number): MatrixError {
  if (error instanceof MatrixError) return error;
  const { code, statusCode } = describeError(error);
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const text = `Body is too large, at most ${bodyBytesMax} bytes are allowed here`;
    return new MatrixError('TOO_LARGE', text);
  }
  if (code === 'FST_ERR_BAD_URL') {
    return new MatrixError('INVALID_ARGUMENT', 'Path has a broken percent escape', {
      cause: error,
    });
  }
  if (statusCode >= 400 && statusCode < 500) {
    const text = error instanceof Error ? error.message : String(error);
    return new MatrixError('INVALID_ARGUMENT', text, { cause: error });
  }
  return MatrixError.from(error);
}

interface ParserRefusal {
  readonly status: string;
  readonly code: ErrorCode;
  readonly text: string;
}

/** The whole response, head and body, to bytes that never became a request. */
export function parserErrorResponse(errorCode: string): string {
  const { status, code, text } = describeParserError(errorCode);
  const body = errorAnswer(new MatrixError(code, text, { outcome: 'not-applied' })).body ?? '';
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

function describeParserError(errorCode: string): ParserRefusal {
  if (errorCode === 'HPE_HEADER_OVERFLOW') {
    return {
      status: '431 Request Header Fields Too Large',
      code: 'TOO_LARGE',
      text: 'Address and headers are too large together',
    };
  }
  if (errorCode === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: '408 Request Timeout', code: 'TIMEOUT', text: 'Request came in too slowly' };
  }
  return { status: '400 Bad Request', code: 'INVALID_ARGUMENT', text: 'This is not HTTP/1.1' };
}

function retryAfter(status: number, error: MatrixError): Record<string, string> {
  if (status !== 429 && status !== 503) return {};
  const pauseMs = error.retryAfterMs ?? RETRY_AFTER_DEFAULT_MS;
  return { 'retry-after': String(Math.max(1, Math.ceil(pauseMs / 1000))) };
}

function describeError(error: unknown): { code: unknown; statusCode: number } {
  if (typeof error !== 'object' || error === null) return { code: undefined, statusCode: 0 };
  const code = 'code' in error ? error.code : undefined;
  const statusCode = 'statusCode' in error ? Number(error.statusCode) : 0;
  return { code, statusCode };
}
