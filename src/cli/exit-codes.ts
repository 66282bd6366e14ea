// How `mkv` ends: a number for scripts, one sentence for people. Help prints this table.

import { MatrixError } from '../kernel/errors.ts';

export const EXIT_CODES = {
  ok: 0,
  notFound: 1,
  usage: 2,
  unavailable: 3,
  outcomeUnknown: 4,
  failed: 5,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export const EXIT_CODE_HELP = `Exit codes:
  0  done
  1  the key, store or shard is not there, or a precondition did not hold
  2  wrong usage, or a key or value that the cluster refuses
  3  the cluster or a node cannot be reached, or is not healthy; nothing was changed
  4  outcome unknown: the write may have happened, or may yet; read before you repeat it
  5  anything else that failed: a port in use, a directory that cannot be written, ...`;

/** The end of a command that did not do what was asked. The text is one sentence, then advice. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  /** For scripts, beside the text in JSON output. */
  readonly code: string;

  constructor(kind: Exclude<keyof typeof EXIT_CODES, 'ok'>, text: string, code?: string) {
    super(text);
    this.exitCode = EXIT_CODES[kind];
    this.code = code ?? DEFAULT_CODES[kind];
  }

  /** The single gate from everything that can be thrown. */
  static from(error: unknown): CliError {
    if (error instanceof CliError) return error;
    if (error instanceof MatrixError) {
      return new CliError(kindOf(error), error.text, error.code);
    }
    return new CliError('failed', error instanceof Error ? error.message : String(error));
  }
}

const DEFAULT_CODES = {
  notFound: 'NOT_FOUND',
  usage: 'INVALID_ARGUMENT',
  unavailable: 'UNAVAILABLE',
  outcomeUnknown: 'OUTCOME_UNKNOWN',
  failed: 'FAILED',
} as const;

function kindOf(error: MatrixError): Exclude<keyof typeof EXIT_CODES, 'ok'> {
  if (error.outcome === 'unknown' && error.code !== 'INTERNAL') return 'outcomeUnknown';
  switch (error.code) {
    case 'NOT_FOUND':
    case 'PRECONDITION_FAILED':
      return 'notFound';
    case 'INVALID_ARGUMENT':
    case 'TOO_LARGE':
      return 'usage';
    case 'INTERNAL':
    case 'UNSUPPORTED':
    case 'DISK_FULL':
      return 'failed';
    default:
      return 'unavailable';
  }
}
