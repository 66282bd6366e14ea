// Loses, repeats and delays single Raft messages on their way out, on top of any transport. Streams
// keep their order and lose nothing unless they break; Raft must stand more than that, because the
// port promises less: "lost, late or repeated".

import type { Clock } from '../../src/kernel/clock.ts';
import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { Envelope, Transport } from '../../src/node/transport/transport.ts';

export interface Lossiness {
  readonly lostPerMille: number;
  readonly repeatedPerMille: number;
  /** Delayed messages are overtaken by those that follow. */
  readonly delayedPerMille: number;
  readonly delayMsMax: number;
}

export interface LossyOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Asked for each message, so that a run can heal. */
  readonly lossiness: () => Lossiness;
}

export function lossyTransport(inner: Transport, options: LossyOptions): Transport {
  const { clock, random } = options;
  const sendOnce = (address: string, envelope: Envelope): void => {
    const { delayedPerMille, delayMsMax } = options.lossiness();
    if (chance(random, delayedPerMille, 1000)) {
      clock.after(between(random, 1, Math.max(1, delayMsMax)), () => inner.send(address, envelope));
      return;
    }
    inner.send(address, envelope);
  };
  return {
    start: (handlers) => inner.start(handlers),
    call: (address, request, callOptions) => inner.call(address, request, callOptions),
    sendSnapshot: (address, snapshotOptions) => inner.sendSnapshot(address, snapshotOptions),
    identify: (identity) => inner.identify(identity),
    close: () => inner.close(),
    send: (address, envelope) => {
      const { lostPerMille, repeatedPerMille } = options.lossiness();
      if (chance(random, lostPerMille, 1000)) return;
      sendOnce(address, envelope);
      if (chance(random, repeatedPerMille, 1000)) sendOnce(address, envelope);
    },
  };
}
