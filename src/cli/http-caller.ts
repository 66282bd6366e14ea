// One request to whichever node answers, within one deadline. A write is repeated only when it is
// certain that it did not happen: the node said so, or the connection was never made.

import { isErrorCode, MatrixError } from '../kernel/errors.ts';
import { isObject, type JsonObject } from './json-reader.ts';

const ROUND_PAUSE_MS = 200;
const ATTEMPT_MS_MIN = 500;
/** The node answers its own time-out a little late; that answer knows more than ours. */
const GRACE_MS = 1_000;
const SERVER_TIMEOUT_MS_MAX = 60_000;

/** Failures before the first byte was sent. */
const NOT_SENT_CODES: readonly string[] = [
  'ECONNREFUSED',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
  // Fetch refuses some ports by itself; this is a message, as there is no code.
  'bad port',
];

export interface ApiRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

interface Attempt {
  readonly endpoint: string;
  readonly timeoutMs: number;
}

/** A failure, and whether another node may be asked the same. */
interface Failure {
  readonly error: MatrixError;
  readonly isSent: boolean;
  readonly mayRepeat: boolean;
}

export class HttpCaller {
  readonly #endpoints: readonly string[];
  readonly #timeoutMs: number;

  constructor(options: { readonly endpoints: readonly string[]; readonly timeoutMs: number }) {
    this.#endpoints = options.endpoints;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Throws MatrixError: the node's own, UNAVAILABLE, TIMEOUT or OUTCOME_UNKNOWN. */
  async call(request: ApiRequest): Promise<ApiAnswer> {
    const deadline = performance.now() + this.#timeoutMs;
    for (;;) {
      const failures: Failure[] = [];
      for (const endpoint of this.#endpoints) {
        const isLast = endpoint === this.#endpoints.at(-1);
        const timeoutMs = attemptTime(deadline - performance.now(), request, isLast);
        const result = await attempt(request, { endpoint, timeoutMs });
        if ('status' in result) return result;
        if (!result.mayRepeat) throw result.error;
        failures.push(result);
        if (performance.now() >= deadline) break;
      }
      const last = failures.findLast(({ isSent }) => isSent);
      if (last === undefined) throw this.#nobodyThere(failures);
      if (performance.now() + ROUND_PAUSE_MS >= deadline) throw last.error;
      await new Promise((resolve) => setTimeout(resolve, ROUND_PAUSE_MS));
    }
  }

  #nobodyThere(failures: readonly Failure[]): MatrixError {
    const reasons = [...new Set(failures.map(({ error }) => error.text))];
    const tried = this.#endpoints.slice(0, 4).join(', ');
    return new MatrixError(
      'UNAVAILABLE',
      `No node answers at ${tried} (${reasons.join(', ')}): start a local cluster with \`npm start\`, ` +
        'or name a node with --endpoint',
    );
  }
}

/** A read leaves time for the next node; a write that is on its way must be waited for. */
function attemptTime(remainingMs: number, request: ApiRequest, isLast: boolean): number {
  const mayMoveOn = request.method === 'GET' && !isLast;
  return Math.max(ATTEMPT_MS_MIN, Math.ceil(mayMoveOn ? remainingMs / 2 : remainingMs));
}

async function attempt(
  request: ApiRequest,
  { endpoint, timeoutMs }: Attempt,
): Promise<ApiAnswer | Failure> {
  const isRead = request.method === 'GET';
  let answer: ApiAnswer;
  try {
    const response = await fetch(`${endpoint}${request.path}`, {
      method: request.method,
      headers: {
        ...request.headers,
        'x-timeout-ms': String(Math.min(timeoutMs, SERVER_TIMEOUT_MS_MAX)),
      },
      ...(request.body === undefined ? {} : { body: Uint8Array.from(request.body) }),
      signal: AbortSignal.timeout(timeoutMs + GRACE_MS),
    });
    const body = new Uint8Array(await response.arrayBuffer());
    answer = { status: response.status, headers: response.headers, body };
  } catch (error) {
    return translateFailure(error, { endpoint, isRead, timeoutMs });
  }
  if (answer.status < 400) return answer;
  const error = errorOf(answer, endpoint);
  const isHarmless = isRead || error.outcome === 'not-applied';
  return { error, isSent: true, mayRepeat: error.retry !== 'no' && isHarmless };
}

function translateFailure(
  error: unknown,
  { endpoint, isRead, timeoutMs }: Attempt & { readonly isRead: boolean },
): Failure {
  const isTimeout = error instanceof DOMException && error.name === 'TimeoutError';
  const code = isTimeout ? 'TIMEOUT' : causeCode(error);
  if (NOT_SENT_CODES.includes(code)) {
    const text = code === 'ECONNREFUSED' ? 'connection refused' : code;
    const refused = new MatrixError('UNAVAILABLE', text, { cause: error });
    return { error: refused, isSent: false, mayRepeat: true };
  }
  const what = isTimeout
    ? `${endpoint} gave no answer within ${timeoutMs} ms`
    : `The connection to ${endpoint} broke (${code})`;
  if (isRead) {
    const options = { cause: error, outcome: 'not-applied' } as const;
    const lost = new MatrixError(isTimeout ? 'TIMEOUT' : 'UNAVAILABLE', what, options);
    return { error: lost, isSent: true, mayRepeat: true };
  }
  const text = `${what}: the write may have happened, or may yet`;
  const unknown = new MatrixError('OUTCOME_UNKNOWN', text, { cause: error });
  return { error: unknown, isSent: true, mayRepeat: false };
}

/** The code of the innermost error that has one, else its text. */
function causeCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Several addresses of one name were tried: they fail alike.
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error.cause;
  if (inner instanceof Error) return causeCode(inner);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** What the node said, or what its status says when something between answers in other words. */
function errorOf(answer: ApiAnswer, endpoint: string): MatrixError {
  const json = parseBody(answer.body);
  const { error, code, retry, outcome } = json;
  if (typeof code === 'string' && isErrorCode(code)) {
    return new MatrixError(code, typeof error === 'string' ? error : code, {
      ...(retry === 'no' || retry === 'later' || retry === 'elsewhere' ? { retry } : {}),
      ...(outcome === 'not-applied' || outcome === 'unknown' ? { outcome } : {}),
    });
  }
  const text = `${endpoint} answered with HTTP status ${answer.status}, not as a MatrixKV node does`;
  return new MatrixError('UNAVAILABLE', text, { outcome: 'unknown', retry: 'elsewhere' });
}

function parseBody(body: Uint8Array): JsonObject {
  try {
    const json: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return isObject(json) ? json : {};
  } catch {
    return {}; // A proxy's page: the status has to do.
  }
}
