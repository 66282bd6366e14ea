// A network in memory, under a clock that is handed in: the simulator's ground and the tests'. Frames
// are really encoded and decoded, so nothing passes here that would not pass a real wire.
//
// Streams are as TCP: what is written arrives in order or not at all. What happens to each piece on
// its way is the policy's choice: some delay, a stall (a partition of lost packets, which TCP repeats
// until it gives up) or a break (a partition of reset connections).

import { assert } from '../../kernel/assert.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ExchangeRequestInit, SnapshotRequestInit } from '../../wire/frames.ts';
import {
  EXCHANGE_REQUESTS,
  EXCHANGE_RESPONSES,
  SNAPSHOT_REQUESTS,
  SNAPSHOT_RESPONSES,
} from '../../wire/frames.ts';
import type {
  ExchangeResponse,
  InstallSnapshotResponse,
} from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import type { DeliveryPolicy } from './memory-pipe.ts';
import type { MemoryStream, MemoryStreamOptions } from './memory-stream.ts';
import { openMemoryStream } from './memory-stream.ts';
import type { Acceptor, Link, LinkEvents, Wire } from './wire-port.ts';

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Default: everything arrives at once. */
  readonly policy?: DeliveryPolicy;
}

/** Streams at one time; a simulation that needs more has a leak. */
const STREAMS_MAX = 100_000;

type StreamParts<Request, RequestFrame, Response, ResponseFrame> = Omit<
  MemoryStreamOptions<Request, RequestFrame, Response, ResponseFrame>,
  'clock' | 'policy' | 'onDone'
>;

export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #policy: DeliveryPolicy;
  readonly #listening = new Map<string, MemoryWire>();
  readonly #streams = new Set<MemoryStream>();

  constructor(options: MemoryNetworkOptions) {
    this.#clock = options.clock;
    this.#policy = options.policy ?? (() => ({ type: 'deliver', delayMs: 0 }));
  }

  /** The wire of a process at this address. It is there for others once it listens. */
  wire(address: string): Wire {
    const wire: MemoryWire = new MemoryWire({
      address,
      listen: () => {
        if (this.#listening.has(address)) return false;
        this.#listening.set(address, wire);
        return true;
      },
      acceptorAt: (target) => this.#listening.get(target)?.acceptor,
      open: (parts) => this.#open(parts),
      onClose: () => {
        if (this.#listening.get(address) !== wire) return;
        this.#listening.delete(address);
        this.#breakStreams((stream) => stream.touches(address));
      },
    });
    return wire;
  }

  /** The process at this address is gone: it hears nothing more, and its peers find broken streams. */
  kill(address: string): void {
    this.#listening.get(address)?.die();
    this.#listening.delete(address);
    for (const stream of this.#streams) if (stream.touches(address)) stream.kill(address);
  }

  /** Resets the connections between two addresses. */
  disconnect(a: string, b: string): void {
    this.#breakStreams((stream) => stream.touches(a) && stream.touches(b));
  }

  #breakStreams(isMeant: (stream: MemoryStream) => boolean): void {
    for (const stream of [...this.#streams].filter(isMeant)) stream.break('Connection was reset');
  }

  #open<Request, RequestFrame, Response, ResponseFrame>(
    parts: StreamParts<Request, RequestFrame, Response, ResponseFrame>,
  ): Link<Request> {
    assert(this.#streams.size < STREAMS_MAX, `${this.#streams.size} streams are open`);
    const { link, stream } = openMemoryStream({
      ...parts,
      clock: this.#clock,
      policy: this.#policy,
      onDone: () => this.#streams.delete(stream),
    });
    this.#streams.add(stream);
    return link;
  }
}

interface MemoryWireOptions {
  readonly address: string;
  /** False when another process listens here. */
  readonly listen: () => boolean;
  readonly acceptorAt: (address: string) => Acceptor | undefined;
  readonly open: <Request, RequestFrame, Response, ResponseFrame>(
    parts: StreamParts<Request, RequestFrame, Response, ResponseFrame>,
  ) => Link<Request>;
  readonly onClose: () => void;
}

class MemoryWire implements Wire {
  readonly #options: MemoryWireOptions;
  #acceptor: Acceptor | undefined;
  #isGone = false;

  constructor(options: MemoryWireOptions) {
    this.#options = options;
  }

  get acceptor(): Acceptor | undefined {
    return this.#acceptor;
  }

  async listen(address: string, acceptor: Acceptor): Promise<string> {
    if (this.#isGone) return address;
    if (address !== this.#options.address || !this.#options.listen()) {
      throw new MatrixError('UNAVAILABLE', `Cannot listen on ${address}: it is another's`);
    }
    this.#acceptor = acceptor;
    return address;
  }

  openExchange(
    target: { readonly address: string },
    events: LinkEvents<ExchangeResponse>,
  ): Link<ExchangeRequestInit> {
    const { address: from, acceptorAt, open } = this.#options;
    if (this.#isGone) return deadLink;
    return open({
      from,
      to: target.address,
      requests: EXCHANGE_REQUESTS,
      responses: EXCHANGE_RESPONSES,
      events,
      accept: (link) => acceptorAt(target.address)?.onExchange(link),
    });
  }

  openSnapshot(
    target: { readonly address: string },
    events: LinkEvents<InstallSnapshotResponse>,
  ): Link<SnapshotRequestInit> {
    const { address: from, acceptorAt, open } = this.#options;
    if (this.#isGone) return deadLink;
    return open({
      from,
      to: target.address,
      requests: SNAPSHOT_REQUESTS,
      responses: SNAPSHOT_RESPONSES,
      events,
      accept: (link) => acceptorAt(target.address)?.onSnapshot(link),
    });
  }

  async close(): Promise<void> {
    if (this.#isGone) return;
    this.die();
    this.#options.onClose();
  }

  /** The process is gone: whatever it still does has no effect. */
  die(): void {
    this.#isGone = true;
    this.#acceptor = undefined;
  }
}

/** What a process that is gone holds in its hands. */
const deadLink: Link<unknown> = {
  write: () => true,
  end: () => {},
  destroy: () => {},
  pause: () => {},
  resume: () => {},
};
