// One HTTP/1.1 connection that sends many requests before it reads the first answer: the cheapest way
// to give a node much to do. It understands just the answers that a node gives: with Content-Length.

import { connect, type Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

interface Batch {
  answersLeft: number;
  /** The first answer that was no success. */
  problem: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly body?: string;
}

/** Keys and values are ASCII here: a character is a byte. */
export function encodeRequest({ method, path, body = '' }: HttpRequest): string {
  const length = method === 'PUT' ? `Content-Length: ${body.length}\r\n` : '';
  return `${method} ${path} HTTP/1.1\r\nHost: node\r\n${length}\r\n${body}`;
}

export class PipelinedConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #batch: Batch | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('The connection was closed')));
  }

  static open(url: string): Promise<PipelinedConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new PipelinedConnection(socket)));
    });
  }

  /** Sends encoded requests in one piece; resolves when each was answered with success. */
  send(requests: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#batch = { answersLeft: requests.length, problem: '', resolve, reject };
      this.#socket.write(requests.join(''), 'latin1');
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let length = this.#takeAnswer(this.#received);
    while (length > 0) {
      this.#received = this.#received.subarray(length);
      length = this.#takeAnswer(this.#received);
    }
  }

  /** The length of the first answer, 0 as long as it is not whole. */
  #takeAnswer(bytes: Buffer): number {
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return 0;
    const head = bytes.toString('latin1', 0, headEnd);
    const bodyLength = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? '0');
    const length = headEnd + HEAD_END.length + bodyLength;
    if (bytes.length < length) return 0;
    const isGood = head.startsWith('HTTP/1.1 2');
    this.#answered(isGood ? '' : bytes.toString('latin1', 0, length));
    return length;
  }

  #answered(problem: string): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    batch.answersLeft -= 1;
    if (batch.problem === '') batch.problem = problem;
    if (batch.answersLeft > 0) return;
    this.#batch = undefined;
    if (batch.problem === '') batch.resolve();
    else batch.reject(new Error(`Not answered with success: ${batch.problem}`));
  }

  #fail(error: Error): void {
    this.#batch?.reject(error);
    this.#batch = undefined;
  }
}
