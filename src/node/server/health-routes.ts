// How the node is: for Kubernetes in one status and a line of text, for people and programs as JSON,
// for Prometheus as numbers. All answered from memory, and also when the node is too busy for
// anything else: a full node that fails its probes would be killed for being popular.

import type { AdminService, Health } from '../routing/services.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer, textAnswer } from './answer.ts';
import type { Route, RouteRequest } from './route.ts';

export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

export interface HealthOptions {
  readonly admin: AdminService;
  /** The numbers in Prometheus' text format. */
  readonly metricsText: () => Promise<MetricsText>;
}

const PROBE = { method: 'GET', kind: 'probe', bodyBytesMax: 0, query: 'any' } as const;

export function healthRoutes({ admin, metricsText }: HealthOptions): Route[] {
  return [
    {
      ...PROBE,
      path: '/livez',
      summary: 'Whether the node should go on living: 200 or 503, ?verbose for all checks',
      handle: (request) => probe(request, { name: 'livez', isWell: 'isLive' }, admin.health()),
    },
    {
      ...PROBE,
      path: '/readyz',
      summary: 'Whether the node can serve: 200 or 503 with the reasons, ?verbose for all checks',
      handle: (request) => probe(request, { name: 'readyz', isWell: 'isReady' }, admin.health()),
    },
    {
      ...PROBE,
      path: '/v1/health',
      summary: 'The same as JSON',
      handle: () => jsonAnswer(healthToJson(admin)),
    },
    {
      ...PROBE,
      path: '/metrics',
      summary: 'Numbers for Prometheus',
      handle: async () => {
        const { contentType, body } = await metricsText();
        return { status: 200, headers: { 'content-type': contentType }, body };
      },
    },
  ];
}

interface Probe {
  readonly name: string;
  readonly isWell: 'isLive' | 'isReady';
}

function probe({ query }: RouteRequest, { name, isWell }: Probe, health: Health): Answer {
  const isOk = health[isWell];
  const lines = [`${name} ${isOk ? 'ok' : 'failed'}`];
  for (const check of health.checks) {
    if (check.problem !== '') lines.push(`[-] ${check.name}: ${check.problem}`);
    else if (query.flag('verbose')) lines.push(`[+] ${check.name} ok`);
  }
  return textAnswer(`${lines.join('\n')}\n`, isOk ? 200 : 503);
}

function healthToJson(admin: AdminService): unknown {
  const { isLive, isReady, checks } = admin.health();
  return {
    storeId: admin.storeId,
    live: isLive,
    ready: isReady,
    checks: checks.map(({ name, problem }) => ({ name, ok: problem === '', problem })),
  };
}
