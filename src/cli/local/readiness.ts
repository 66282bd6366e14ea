// Waits for nodes to be ready by asking them, as any user could: /readyz of each node, and whether the
// cluster has made its first shards.

import { isObject } from '../json-reader.ts';
import type { LocalNode } from './cluster-file.ts';
import { LOCAL_HOST } from './ports.ts';

const POLL_MS = 60;
const ANSWER_MS_MAX = 2_000;

export interface Waiting {
  /** Ends the waiting without a result. */
  readonly signal: AbortSignal;
  /** Asked in each round: a node that is gone is not waited for. */
  isGone?(node: LocalNode): boolean;
  /** Called with what is not ready, each time that it changed. */
  onProgress?(problem: string): void;
}

export function httpAddressOf(node: Pick<LocalNode, 'httpPort'>): string {
  return `http://${LOCAL_HOST}:${node.httpPort}`;
}

/** True when all nodes that are there are ready and serve; false when the signal came first, or none is there. */
export async function waitUntilReady(
  nodes: readonly LocalNode[],
  { signal, isGone, onProgress }: Waiting,
): Promise<boolean> {
  const ready = new Set<LocalNode>();
  let known = '';
  while (!signal.aborted) {
    const present = nodes.filter((node) => isGone?.(node) !== true);
    if (present.length === 0) return false;
    const problem =
      (await findProblems(present, { ready, signal })) || (await clusterProblem(present, signal));
    if (problem === '') return !signal.aborted;
    if (problem !== known && !signal.aborted) onProgress?.(problem);
    known = problem;
    await pause(POLL_MS, signal);
  }
  return false;
}

/** Asks those that were not ready before; empty when all are. */
async function findProblems(
  nodes: readonly LocalNode[],
  { ready, signal }: { readonly ready: Set<LocalNode>; readonly signal: AbortSignal },
): Promise<string> {
  const problems = await Promise.all(
    nodes.map(async (node) => {
      const problem = ready.has(node) ? '' : await problemOf(node, signal);
      if (problem === '') ready.add(node);
      return problem;
    }),
  );
  return problems.filter((text) => text !== '').join('; ');
}

async function problemOf(node: LocalNode, signal: AbortSignal): Promise<string> {
  const answer = await ask(`${httpAddressOf(node)}/readyz`, signal);
  if (answer === undefined) return `${node.name} does not answer yet`;
  if (answer.status === 200) return '';
  const said = answer.text
    .trim()
    .replaceAll(/\s*\n\s*/g, ', ')
    .slice(0, 300);
  return `${node.name} is not ready: ${said === '' ? `HTTP status ${answer.status}` : said}`;
}

async function clusterProblem(nodes: readonly LocalNode[], signal: AbortSignal): Promise<string> {
  const [node] = nodes;
  if (node === undefined) return '';
  const answer = await ask(`${httpAddressOf(node)}/v1/cluster`, signal);
  if (answer?.status !== 200) return 'no Prophet leader yet';
  try {
    const json: unknown = JSON.parse(answer.text);
    return isObject(json) && json['bootstrapped'] === true ? '' : 'the first shard is not made yet';
  } catch {
    return `${node.name} answers something that is not JSON`;
  }
}

/** The state of one node in a word, for `status`. */
export async function probeNode(node: LocalNode): Promise<'ready' | 'not ready' | 'no answer'> {
  const answer = await ask(`${httpAddressOf(node)}/readyz`, new AbortController().signal);
  if (answer === undefined) return 'no answer';
  return answer.status === 200 ? 'ready' : 'not ready';
}

async function ask(
  url: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string } | undefined> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]);
    const response = await fetch(url, { signal: limit });
    return { status: response.status, text: await response.text() };
  } catch {
    return undefined; // Not listening yet, or too slow: both mean not ready.
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
