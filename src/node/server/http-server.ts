// The HTTP door, the one file that knows the web framework: it listens, admits, reads bodies, hands
// each request to its route and sends the answer. Everything a request means is decided elsewhere.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fastify } from 'fastify';
import { must } from '../../kernel/assert.ts';
import { EMPTY } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Ticket } from './admission.ts';
import { Admission } from './admission.ts';
import type { Answer } from './answer.ts';
import { errorAnswer, parserErrorResponse, translateFrameworkError } from './http-errors.ts';
import { KV_PREFIX } from './kv-routes.ts';
import { assertLimits } from './limits.ts';
import { listenError } from './listen-error.ts';
import type { Route } from './route.ts';
import { pathOf, queryOf, RouteRunner } from './route-runner.ts';
import type { RouteOptions } from './route-table.ts';
import { allRoutes, noRouteAnswer } from './route-table.ts';

export interface HttpServerOptions extends RouteOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly clock: Clock;
  readonly observer: Observer;
}

export interface HttpServer {
  readonly port: number;
  /** Stops listening, waits a bounded time for requests in flight, then closes every connection. */
  close(): Promise<void>;
}

/** Address and headers together: three range bounds of 4 KiB, percent-encoded, fit with room to spare. */
const HEADER_BYTES_MAX = 64 * 1024;
/** A client that sends its request slower than this is cut off. */
const REQUEST_TIMEOUT_MS = 60_000;

/** What the framework keeps for us between reading the head of a request and answering it. */
interface Visit {
  readonly abort: AbortController;
  readonly ticket: Ticket | undefined;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** From now on every answer is the last of its connection. */
    isClosing: boolean;
  }
  interface FastifyRequest {
    visit: Visit | undefined;
  }
}

export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port, observer, limits } = options;
  assertLimits(limits);
  const app = buildApp(options);
  app.server.maxConnections = limits.connectionsMax;
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw listenError({ host, port }, error);
  }
  const address = app.server.address();
  const actualPort = typeof address === 'object' && address !== null ? address.port : port;
  observer.log.info({ host, port: actualPort }, 'HTTP is served');
  let closing: Promise<void> | undefined;
  return {
    port: actualPort,
    close: () => {
      closing ??= closeApp(app, options);
      return closing;
    },
  };
}

async function closeApp(app: FastifyInstance, options: HttpServerOptions): Promise<void> {
  const { clock, limits } = options;
  app.isClosing = true;
  const timer = clock.after(limits.closeGraceMs, () => app.server.closeAllConnections());
  await app.close();
  timer.cancel();
}

function buildApp(options: HttpServerOptions): FastifyInstance {
  const { limits } = options;
  const app = fastify({
    logger: false,
    // A request that still comes in on an open connection is served; the connection closes after it.
    return503OnClosing: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { maxHeaderSize: HEADER_BYTES_MAX },
    rewriteUrl: ({ url = '/' }) => hideKey(url),
    // Handlers read the query from the raw address, as bytes.
    routerOptions: { querystringParser: () => ({}) },
    frameworkErrors: (error, _request, reply) => {
      // The framework types this reply for no route in particular; it is one as any other.
      send(reply as unknown as FastifyReply, errorAnswer(translateFrameworkError(error, 0)));
    },
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ECONNRESET' || socket.destroyed) return;
      if (socket.writable) socket.write(parserErrorResponse(error.code));
      socket.destroy(error);
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.decorate('isClosing', false);
  app.decorateRequest('visit', undefined);
  addRoutes(app, options, new Admission(limits));
  return app;
}

function addRoutes(app: FastifyInstance, options: HttpServerOptions, admission: Admission): void {
  const routes = allRoutes(options);
  const runner = new RouteRunner(options);
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      bodyLimit: Math.max(1, route.bodyBytesMax),
      errorHandler: (error, _request, reply) => {
        send(reply, runner.refuse(route, translateFrameworkError(error, route.bodyBytesMax)));
      },
      onRequest: (request, reply, done) => {
        try {
          admit({ request, reply, route, admission });
          done();
        } catch (error) {
          // The body will not be read, and neither will what may follow it.
          if (announcedBytes(request, route) > 0) reply.header('connection', 'close');
          done(MatrixError.from(error));
        }
      },
      handler: (request, reply) => serve({ request, reply, route, runner }),
    });
  }
  app.setNotFoundHandler((request, reply) => {
    send(reply, noRouteAnswer(routes, pathOf(request.originalUrl)));
  });
  app.setErrorHandler((error, _request, reply) => {
    send(reply, errorAnswer(translateFrameworkError(error, app.initialConfig.bodyLimit ?? 0)));
  });
}

interface Admitted {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly route: Route;
}

/** Before the body is read: takes room for it, and watches for the client going away. */
function admit(options: Admitted & { readonly admission: Admission }): void {
  const { request, reply, route, admission } = options;
  // Every body is bytes; what the client calls it, even wrongly, is no reason to refuse it.
  request.headers['content-type'] = undefined;
  const ticket =
    route.kind === 'probe' ? undefined : admission.enter(announcedBytes(request, route));
  const abort = new AbortController();
  request.visit = { abort, ticket };
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) abort.abort();
    ticket?.letGo();
  });
}

/** What the body will take; without a length it may grow up to the route's limit. */
function announcedBytes({ headers }: FastifyRequest, { bodyBytesMax }: Route): number {
  if (headers['transfer-encoding'] !== undefined) return bodyBytesMax;
  const length = Number(headers['content-length'] ?? 0);
  return Math.min(length, bodyBytesMax);
}

async function serve(options: Admitted & { readonly runner: RouteRunner }): Promise<void> {
  const { request, reply, route, runner } = options;
  const { abort, ticket } = must(request.visit, 'A request is served that was not admitted');
  ticket?.hold();
  const answer = await runner.run(route, {
    rawUrl: request.originalUrl,
    params: asParams(request.params),
    headers: request.headers,
    body: request.body instanceof Uint8Array ? request.body : EMPTY,
    abort,
  });
  ticket?.letGo();
  // An open connection without a request would hold up the end until its time is over.
  if (request.server.isClosing) reply.header('connection', 'close');
  send(reply, answer);
}

/** What the router found in the path: always an object of strings. */
function asParams(params: unknown): Readonly<Record<string, string>> {
  return params as Readonly<Record<string, string>>;
}

function send(reply: FastifyReply, answer: Answer): void {
  reply.code(answer.status).headers(answer.headers).send(answer.body);
}

/** The router decodes paths as UTF-8 and splits them at slashes, so it gets to see no key at all. */
function hideKey(rawUrl: string): string {
  if (!rawUrl.startsWith(KV_PREFIX)) return rawUrl;
  const query = queryOf(rawUrl);
  return query === '' ? `${KV_PREFIX}-` : `${KV_PREFIX}-?${query}`;
}
