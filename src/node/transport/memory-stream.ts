// One stream of frames in memory: two ends, each a Link for its owner, and a pipe in each direction.

import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { FrameCodec } from '../../wire/frames.ts';
import { MemoryEnd } from './memory-end.ts';
import type { DeliveryPolicy } from './memory-pipe.ts';
import { MemoryPipe } from './memory-pipe.ts';
import type { Link, LinkEvents } from './wire-port.ts';

export interface MemoryStreamOptions<Request, RequestFrame, Response, ResponseFrame> {
  readonly clock: Clock;
  readonly policy: DeliveryPolicy;
  /** The address that opens the stream. */
  readonly from: string;
  /** The address that is dialled. */
  readonly to: string;
  readonly requests: FrameCodec<Request, RequestFrame>;
  readonly responses: FrameCodec<Response, ResponseFrame>;
  /** Of the end that opens. */
  readonly events: LinkEvents<ResponseFrame>;
  /** Asked when the dial arrives; undefined when nobody listens there. */
  readonly accept: (link: Link<Response>) => LinkEvents<RequestFrame> | undefined;
  /** Both ends are closed. */
  readonly onDone: () => void;
}

/** What the network knows of a stream, whatever it carries. */
export interface MemoryStream {
  touches(address: string): boolean;
  /** Both ends find the connection reset. */
  break(reason: string): void;
  /** The process at one end is gone without a word; the other end finds a reset connection. */
  kill(address: string): void;
}

/** What dialling and a reset weigh, for a policy that looks at sizes. */
const SIGNAL_BYTES = 16;

export function openMemoryStream<Request, RequestFrame, Response, ResponseFrame>(
  options: MemoryStreamOptions<Request, RequestFrame, Response, ResponseFrame>,
): { readonly link: Link<Request>; readonly stream: MemoryStream } {
  const { clock, policy, from, to, requests, responses, onDone } = options;
  const breakBoth = (reason: string): void => {
    there.stop();
    back.stop();
    dialler.closeWith(lost(reason));
    accepted.closeWith(lost(reason));
  };
  const there = new MemoryPipe({ clock, policy, from, to, onBreak: breakBoth });
  const back = new MemoryPipe({ clock, policy, from: to, to: from, onBreak: breakBoth });
  const onClosed = (): void => {
    if (!dialler.isClosed || !accepted.isClosed) return;
    there.stop();
    back.stop();
    onDone();
  };
  const dialler = new MemoryEnd<Request, ResponseFrame>({
    clock,
    pipe: there,
    encode: requests.encode,
    decode: responses.decode,
    onClosed,
  });
  const accepted = new MemoryEnd<Response, RequestFrame>({
    clock,
    pipe: back,
    encode: responses.encode,
    decode: requests.decode,
    onClosed,
  });
  dialler.join(accepted, options.events);

  const arrive = (): void => {
    const events = options.accept(accepted);
    if (events === undefined) {
      accepted.vanish();
      dialler.closeWith(lost(`Connection to ${to} was refused`));
    } else {
      accepted.join(dialler, events);
    }
  };
  there.push({ bytes: SIGNAL_BYTES, arrive });

  return {
    link: dialler,
    stream: {
      touches: (address) => address === from || address === to,
      break: breakBoth,
      kill: (address) => {
        const [dead, other, pipe] =
          address === from ? [dialler, accepted, there] : [accepted, dialler, back];
        dead.vanish();
        pipe.push({ bytes: SIGNAL_BYTES, arrive: () => other.closeWith(lost('Connection reset')) });
      },
    },
  };
}

function lost(reason: string): MatrixError {
  return new MatrixError('UNAVAILABLE', reason);
}
