// The words between the HTTP door and the handlers: what a route is, what it is asked and what it
// answers. Handlers know nothing of sockets and of the framework; they are functions of these.

import type { CallContext } from '../routing/services.ts';
import type { Answer } from './answer.ts';
import type { Query } from './query.ts';

/** `probe`: answered from memory, and even when the node is busy, as it is asked whether it is well. */
export type RouteKind = 'read' | 'write' | 'probe';

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** As in OpenAPI: `/v1/stores/{id}/drain`. HEAD is answered wherever GET is. */
  readonly path: string;
  /** One line for the list of routes at `/`. */
  readonly summary: string;
  readonly kind: RouteKind;
  readonly bodyBytesMax: number;
  /** Query parameters that the route knows besides `timeout`. Others are refused, unless `any`. */
  readonly query: readonly string[] | 'any';
  handle(request: RouteRequest): Promise<Answer> | Answer;
  /** What an error body carries besides the error; the request is absent when it was never read. */
  errorFields?(request?: RouteRequest): Readonly<Record<string, string>>;
}

export interface RouteRequest {
  /** The path as it came, still percent-encoded, without the query. */
  readonly rawPath: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly context: CallContext;
}

/** By lower-case name, as Node gives them. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The header's text; repeated headers count as one list (RFC 9110, 5.3). */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return value === undefined || typeof value === 'string' ? value : value.join(', ');
}
