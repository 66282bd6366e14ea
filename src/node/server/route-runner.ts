// Runs one route for one request: reads the query, sets the deadline, calls the handler, and turns
// whatever comes back into an answer. A failure becomes an answer here and nowhere else.

import type { Clock } from '../../kernel/clock.ts';
import type { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Answer } from './answer.ts';
import { timeoutOf, withinDeadline } from './deadline.ts';
import { toFailure } from './failure.ts';
import { errorAnswer } from './http-errors.ts';
import type { ServerLimits } from './limits.ts';
import { Query } from './query.ts';
import type { Headers, Route, RouteRequest } from './route.ts';

export interface RunnerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly limits: ServerLimits;
}

/** A request as the door hands it over. */
export interface IncomingCall {
  /** Path and query as they came, still percent-encoded. */
  readonly rawUrl: string;
  readonly params: Readonly<Record<string, string>>;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Aborted by the door when the client goes away, and here when waiting ends. */
  readonly abort: AbortController;
}

export class RouteRunner {
  readonly #options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async run(route: Route, call: IncomingCall): Promise<Answer> {
    const { clock, limits } = this.#options;
    const startedAt = clock.now();
    let request: RouteRequest | undefined;
    let answer: Answer;
    try {
      const query = Query.parse(queryOf(call.rawUrl));
      if (route.query !== 'any') query.allowOnly([...route.query, 'timeout']);
      const timeoutMs = timeoutOf(query, call.headers, limits);
      request = {
        rawPath: pathOf(call.rawUrl),
        params: call.params,
        query,
        headers: call.headers,
        body: call.body,
        context: { deadline: startedAt + timeoutMs, signal: call.abort.signal },
      };
      answer = await withinDeadline(Promise.resolve(route.handle(request)), {
        clock,
        timeoutMs,
        outcome: route.kind === 'write' ? 'unknown' : 'not-applied',
        giveUp: () => call.abort.abort(),
      });
    } catch (error) {
      answer = this.#failure(route, error, request);
    }
    this.#measure(route, answer.status, clock.now() - startedAt);
    return answer;
  }

  /** The answer to a request that was refused before its handler ran. */
  refuse(route: Route, error: MatrixError): Answer {
    const answer = this.#failure(route, error);
    this.#measure(route, answer.status);
    return answer;
  }

  #failure(route: Route, error: unknown, request?: RouteRequest): Answer {
    const { clock, observer } = this.#options;
    const failure = toFailure(error, { clock, observer, route: nameOf(route) });
    const fields = route.errorFields?.(request);
    return errorAnswer(failure, fields === undefined ? {} : { fields });
  }

  #measure(route: Route, status: number, elapsedMs?: number): void {
    const { metrics } = this.#options.observer;
    const name = nameOf(route);
    metrics.count('matrixkv_http_requests_total', 1, { route: name, status: String(status) });
    if (elapsedMs !== undefined) {
      metrics.observe('matrixkv_http_request_seconds', elapsedMs / 1000, { route: name });
    }
  }
}

function nameOf(route: Route): string {
  return `${route.method} ${route.path}`;
}

export function pathOf(rawUrl: string): string {
  const end = rawUrl.indexOf('?');
  return end === -1 ? rawUrl : rawUrl.slice(0, end);
}

/** What stands behind the question mark, without it. */
export function queryOf(rawUrl: string): string {
  const start = rawUrl.indexOf('?');
  return start === -1 ? '' : rawUrl.slice(start + 1);
}
