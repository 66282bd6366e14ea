// Plain HTTP calls over kept connections, as a careful client makes them: it knows whether a call that
// failed had reached the node or not.

import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** No answer: the connection failed, or the answer took too long. */
export class CallFailure extends Error {
  override readonly name = 'CallFailure';
  /** False: the node cannot have seen the call. */
  readonly mayHaveHappened: boolean;

  constructor(text: string, mayHaveHappened: boolean) {
    super(text);
    this.mayHaveHappened = mayHaveHappened;
  }
}

export interface Call {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 15_000;
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export function call(url: string, options: Call = {}): Promise<Reply> {
  const { method = 'GET', body, headers = {}, timeoutMs = TIMEOUT_MS } = options;
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const outgoing = request(url, { agent, method, headers: { ...headers, ...length } });
    const timer = setTimeout(() => {
      outgoing.destroy(new Error(`No answer within ${timeoutMs} ms`));
    }, timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      // Refused means that nobody listened; everything else may have been read.
      const isRefused = 'code' in error && error.code === 'ECONNREFUSED';
      reject(new CallFailure(`${method} ${url}: ${error.message}`, !isRefused));
    };
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', fail);
      incoming.on('end', () => {
        clearTimeout(timer);
        const { statusCode = 0, headers: received } = incoming;
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: statusCode, headers: received, body: text });
      });
    });
    outgoing.end(body);
  });
}

/** The answer's JSON, which must come with status 200. */
export async function callJson(url: string, options: Call = {}): Promise<unknown> {
  const { status, body } = await call(url, options);
  if (status !== 200) throw new Error(`${url} answered ${status}: ${body.slice(0, 300)}`);
  return JSON.parse(body);
}
