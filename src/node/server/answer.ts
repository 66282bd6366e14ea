// What a handler answers with: a status, headers and a body that is ready to be sent.

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent where HTTP allows no body (204, 304). */
  readonly body?: string | Uint8Array;
}

type AnswerHeaders = Readonly<Record<string, string>>;

const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';

export function jsonAnswer(body: unknown, status = 200, headers: AnswerHeaders = {}): Answer {
  return {
    status,
    headers: { 'content-type': JSON_TYPE, ...headers },
    body: JSON.stringify(body),
  };
}

export function textAnswer(body: string, status = 200): Answer {
  return { status, headers: { 'content-type': TEXT_TYPE }, body };
}

export function emptyAnswer(status: 204 | 304, headers: AnswerHeaders = {}): Answer {
  return { status, headers };
}
