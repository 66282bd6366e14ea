// The real wire: gRPC streams over HTTP/2. Every stream of ours has a channel of its own, which is to
// say a TCP connection, a fresh look at DNS, and no reconnecting behind our back: a broken stream is
// reported at once and NodeTransport decides when to try again.

import type {
  ChannelOptions,
  ClientDuplexStream,
  ClientWritableStream,
  ServerDuplexStream,
  ServerReadableStream,
  ServiceError,
  sendUnaryData,
} from '@grpc/grpc-js';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { must } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type {
  ExchangeRequestInit,
  ExchangeResponseInit,
  SnapshotRequestInit,
  SnapshotResponseInit,
} from '../../wire/frames.ts';
import type {
  ExchangeRequest,
  ExchangeResponse,
  InstallSnapshotRequest,
  InstallSnapshotResponse,
} from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { Peer } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { fromServiceError, toServiceDefinition, toServiceError } from '../../wire/grpc.ts';
import { ERROR_TRAILER } from '../../wire/status.ts';
import { OneClose } from './one-close.ts';
import type { Acceptor, Link, LinkEvents, Wire } from './wire-port.ts';

const MIB = 1024 * 1024;
const MESSAGE_BYTES_MAX = 64 * MIB;

const OPTIONS: ChannelOptions = {
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  // A host that died without a word is noticed after 5 to 10 seconds.
  'grpc.keepalive_time_ms': 5000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.keepalive_permit_without_calls': 1,
  // The default of 64 KiB would stop a stream once for every round trip.
  'grpc-node.flow_control_window': 4 * MIB,
};

const CLIENT_OPTIONS: ChannelOptions = {
  ...OPTIONS,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

const SERVICE = toServiceDefinition(Peer);
const EXCHANGE = must(SERVICE[Peer.method.exchange.localName], 'No method exchange');
const INSTALL = must(SERVICE[Peer.method.installSnapshot.localName], 'No method installSnapshot');

export interface GrpcWireOptions {
  /** Adds what else is served on the same port: the public API. */
  readonly addServices?: (server: Server) => void;
}

export class GrpcWire implements Wire {
  readonly #options: GrpcWireOptions;
  #server: Server | undefined;
  /** What breaks each open stream of ours. */
  readonly #breakers = new Set<(error: MatrixError) => void>();
  #isClosed = false;

  constructor(options: GrpcWireOptions = {}) {
    this.#options = options;
  }

  listen(address: string, acceptor: Acceptor): Promise<string> {
    const server = new Server(OPTIONS);
    this.#server = server;
    server.addService(SERVICE, {
      [Peer.method.exchange.localName]: (
        call: ServerDuplexStream<ExchangeRequest, ExchangeResponseInit>,
      ) => acceptExchange(call, acceptor),
      [Peer.method.installSnapshot.localName]: (
        call: ServerReadableStream<InstallSnapshotRequest, SnapshotResponseInit>,
        answer: sendUnaryData<SnapshotResponseInit>,
      ) => acceptSnapshot({ call, answer }, acceptor),
    });
    this.#options.addServices?.(server);
    return new Promise((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (cause, port) => {
        if (cause === null) {
          resolve(`${address.slice(0, address.lastIndexOf(':'))}:${port}`);
          return;
        }
        const remedy = 'stop what uses it or choose another address';
        const text = `Cannot listen on ${address} (${cause.message}): ${remedy}`;
        reject(new MatrixError('UNAVAILABLE', text, { cause }));
      });
    });
  }

  openExchange(
    target: { readonly address: string },
    events: LinkEvents<ExchangeResponse>,
  ): Link<ExchangeRequestInit> {
    const client = this.#client(target.address);
    const call: ClientDuplexStream<ExchangeRequestInit, ExchangeResponse> =
      client.makeBidiStreamRequest(
        EXCHANGE.path,
        EXCHANGE.requestSerialize,
        EXCHANGE.responseDeserialize,
      );
    const link = this.#dialled({ client, call }, events);
    let isOver = false;
    let isOk = false;
    const finish = (): void => {
      if (isOver && isOk) link.close.now(undefined);
    };
    call.on('data', (frame: ExchangeResponse) =>
      link.close.unlessClosed(() => events.onFrame(frame)),
    );
    call.on('end', () => {
      link.close.unlessClosed(() => events.onEnd());
      isOver = true;
      finish();
    });
    call.on('status', ({ code }) => {
      isOk = code === status.OK;
      finish();
    });
    return { ...link.handle, pause: () => call.pause(), resume: () => call.resume() };
  }

  openSnapshot(
    target: { readonly address: string },
    events: LinkEvents<InstallSnapshotResponse>,
  ): Link<SnapshotRequestInit> {
    const client = this.#client(target.address);
    const call: ClientWritableStream<SnapshotRequestInit> = client.makeClientStreamRequest(
      INSTALL.path,
      INSTALL.requestSerialize,
      INSTALL.responseDeserialize,
      (error: ServiceError | null, response?: InstallSnapshotResponse) => {
        if (error !== null) {
          link.close.now(toLinkError(error));
          return;
        }
        if (response !== undefined) link.close.unlessClosed(() => events.onFrame(response));
        link.close.unlessClosed(() => events.onEnd());
        link.close.now(undefined);
      },
    );
    const link = this.#dialled({ client, call }, events);
    // One small answer is all that comes in: there is nothing to pause.
    return { ...link.handle, pause: () => {}, resume: () => {} };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const error = new MatrixError('UNAVAILABLE', 'This node is closing');
    for (const breakOff of this.#breakers) breakOff(error);
    const server = this.#server;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.tryShutdown(() => resolve());
      server.forceShutdown();
    });
  }

  #client(address: string): Client {
    return new Client(address, credentials.createInsecure(), CLIENT_OPTIONS);
  }

  /** What both kinds of stream of ours have in common. */
  #dialled<Sent>(
    { client, call }: { client: Client; call: Dialled<Sent> },
    events: Pick<LinkEvents<never>, 'onDrain' | 'onClose'>,
  ): { handle: Pick<Link<Sent>, 'write' | 'end' | 'destroy'>; close: OneClose } {
    const close = new OneClose((error) => {
      this.#breakers.delete(destroy);
      client.close();
      events.onClose(error);
    });
    const destroy = (error: MatrixError): void => {
      if (!close.soon(error)) return;
      call.cancel();
    };
    this.#breakers.add(destroy);
    call.on('drain', () => close.unlessClosed(() => events.onDrain()));
    call.on('error', (error: Error) => close.now(toLinkError(error)));
    return {
      close,
      handle: {
        write: (frame) => close.isClosed || call.writableEnded || call.write(frame),
        end: () => {
          if (!close.isClosed) call.end();
        },
        destroy,
      },
    };
  }
}

/** The part of a client's stream that sends. */
interface Dialled<Sent> {
  readonly writableEnded: boolean;
  write(frame: Sent): boolean;
  end(): void;
  cancel(): void;
  on(event: 'drain', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

function acceptExchange(
  call: ServerDuplexStream<ExchangeRequest, ExchangeResponseInit>,
  acceptor: Acceptor,
): void {
  const close = new OneClose((error) => events.onClose(error));
  const events = acceptor.onExchange({
    write: (frame) => close.isClosed || call.writableEnded || call.write(frame),
    end: () => {
      if (!close.isClosed) call.end();
    },
    destroy: (error) => {
      if (close.soon(error)) call.emit('error', toServiceError(error));
    },
    pause: () => call.pause(),
    resume: () => call.resume(),
  });
  call.on('data', (frame: ExchangeRequest) => close.unlessClosed(() => events.onFrame(frame)));
  call.on('drain', () => close.unlessClosed(() => events.onDrain()));
  call.on('end', () => close.unlessClosed(() => events.onEnd()));
  call.on('finish', () => close.now(undefined));
  call.on('cancelled', () => close.now(lost()));
  call.on('error', () => close.now(lost()));
}

function acceptSnapshot(
  stream: {
    readonly call: ServerReadableStream<InstallSnapshotRequest, SnapshotResponseInit>;
    readonly answer: sendUnaryData<SnapshotResponseInit>;
  },
  acceptor: Acceptor,
): void {
  const { call, answer } = stream;
  let response: SnapshotResponseInit | undefined;
  const close = new OneClose((error) => events.onClose(error));
  const events = acceptor.onSnapshot({
    write: (frame) => {
      response = frame;
      return true;
    },
    end: () => {
      if (!close.soon(undefined)) return;
      const nothing = new MatrixError('INTERNAL', 'Snapshot stream was ended without answer');
      if (response === undefined) answer(toServiceError(nothing));
      else answer(null, response);
    },
    destroy: (error) => {
      if (close.soon(error)) answer(toServiceError(error));
    },
    pause: () => call.pause(),
    resume: () => call.resume(),
  });
  call.on('data', (frame: InstallSnapshotRequest) =>
    close.unlessClosed(() => events.onFrame(frame)),
  );
  call.on('end', () => close.unlessClosed(() => events.onEnd()));
  call.on('cancelled', () => close.now(lost()));
  call.on('error', () => close.now(lost()));
}

function lost(): MatrixError {
  return new MatrixError('UNAVAILABLE', 'Connection was lost');
}

/** The peer's own word when there is one; whatever else gRPC says means that the connection is gone. */
function toLinkError(error: Error & Partial<ServiceError>): MatrixError {
  if (error.metadata?.get(ERROR_TRAILER)[0] !== undefined) return fromServiceError(error);
  return new MatrixError('UNAVAILABLE', error.details ?? error.message, { cause: error });
}
