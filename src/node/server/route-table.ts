// All routes in one list, and the questions that are asked of the list as a whole.

import type { AdminService, KvService } from '../routing/services.ts';
import { aboutRoutes } from './about-routes.ts';
import { adminRoutes } from './admin-routes.ts';
import type { Answer } from './answer.ts';
import { compatRoutes } from './compat-routes.ts';
import type { MetricsText } from './health-routes.ts';
import { healthRoutes } from './health-routes.ts';
import { unknownPathAnswer, wrongMethodAnswer } from './http-errors.ts';
import { KV_PREFIX, kvRoutes } from './kv-routes.ts';
import type { ServerLimits } from './limits.ts';
import type { Route } from './route.ts';
import { scanRoutes } from './scan-routes.ts';

export interface RouteOptions {
  readonly kv: KvService;
  readonly admin: AdminService;
  readonly limits: ServerLimits;
  readonly metricsText: () => Promise<MetricsText>;
}

export function allRoutes(options: RouteOptions): Route[] {
  const { kv, admin, limits } = options;
  const routes = [
    ...compatRoutes(options),
    ...kvRoutes(kv, limits),
    ...scanRoutes(kv),
    ...adminRoutes(admin),
    ...healthRoutes(options),
  ];
  return [...routes, ...aboutRoutes(routes)];
}

/** What to say where no route fits: the wrong method for a known path, or no such path. */
export function noRouteAnswer(routes: readonly Route[], rawPath: string): Answer {
  const methods = routes
    .filter((route) => isPathOf(route, rawPath))
    .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return methods.length === 0
    ? unknownPathAnswer(rawPath)
    : wrongMethodAnswer(rawPath, [...new Set(methods)]);
}

function isPathOf(route: Route, rawPath: string): boolean {
  // A key may hold slashes.
  if (route.path.startsWith(KV_PREFIX)) return rawPath.startsWith(KV_PREFIX);
  const wanted = route.path.split('/');
  const given = rawPath.split('/');
  return (
    wanted.length === given.length &&
    wanted.every((part, at) => part === given[at] || (part.startsWith('{') && given[at] !== ''))
  );
}
