// What the parts of one transport share.

import type { Clock } from '../../kernel/clock.ts';
import type { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type { Handshake } from './handshake.ts';
import type { TransportLimits } from './limits.ts';
import type { Wire } from './wire-port.ts';

export interface TransportContext {
  readonly wire: Wire;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly limits: TransportLimits;
  readonly handshake: Handshake;
  /** Logs that a hello was refused, by us or by the peer: at most once a minute for each address. */
  reportRefusal(address: string, error: MatrixError): void;
}

export type DropReason = 'queue-full' | 'unreachable' | 'malformed' | 'wrong-store';

export function countDropped(observer: Observer, reason: DropReason, count: number): void {
  if (count > 0) observer.metrics.count('matrixkv_transport_dropped_total', count, { reason });
}

/** The error, if it refuses the conversation as such: then nothing of it was looked at. */
export function refusalIn(error: MatrixError | undefined): MatrixError | undefined {
  return error?.code === 'STORE_MISMATCH' || error?.code === 'UNSUPPORTED' ? error : undefined;
}
