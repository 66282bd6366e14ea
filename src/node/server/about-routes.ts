// What this server says about itself: the list of its routes at `/`, and its OpenAPI description.

import { readFile } from 'node:fs/promises';
import { MatrixError } from '../../kernel/errors.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer } from './answer.ts';
import type { Route } from './route.ts';

const DESCRIPTION = new URL('../../../docs/openapi.yaml', import.meta.url);

const PROBE = { method: 'GET', kind: 'probe', bodyBytesMax: 0, query: 'any' } as const;

export function aboutRoutes(others: readonly Route[]): Route[] {
  const description: Route = {
    ...PROBE,
    path: '/v1/openapi.yaml',
    summary: 'This API as an OpenAPI 3.1 document',
    handle: readDescription,
  };
  const list: Route = {
    ...PROBE,
    path: '/',
    summary: 'This list',
    handle: () => answer,
  };
  const routes = [...others, description, list];
  const answer = jsonAnswer({
    name: 'MatrixKV',
    openapi: '/v1/openapi.yaml',
    routes: routes.map(({ method, path, summary }) => ({ method, path, summary })),
  });
  return [description, list];
}

async function readDescription(): Promise<Answer> {
  try {
    const body = await readFile(DESCRIPTION);
    return { status: 200, headers: { 'content-type': 'application/yaml' }, body };
  } catch (error) {
    throw new MatrixError('UNSUPPORTED', 'This build does not carry its API description', {
      cause: error,
    });
  }
}
