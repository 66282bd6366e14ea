// The gRPC door: adds the public KV service, the standard health service and server reflection to a
// grpc-js server. Peers talk to the same server, so the node opens one port for both.

import type { Server, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, service as healthService } from 'grpc-health-check';
import type { Clock } from '../../kernel/clock.ts';
import { every } from '../../kernel/clock.ts';
import type { Observer } from '../../kernel/observer.ts';
import { fileDescriptorsOf } from '../../wire/file-descriptors.ts';
import type {
  DeleteRequest,
  GetRequest,
  PutRequest,
  ScanRequest,
} from '../../wire/gen/matrixkv/v1/kv_pb.ts';
import { KV } from '../../wire/gen/matrixkv/v1/kv_pb.ts';
import { toServiceDefinition } from '../../wire/grpc.ts';
import { ERROR_TRAILER, toStatus } from '../../wire/status.ts';
import type { AdminService, CallContext, KvService } from '../routing/services.ts';
import { Admission } from './admission.ts';
import { withinDeadline } from './deadline.ts';
import { toFailure } from './failure.ts';
import { GrpcKv } from './grpc-kv.ts';
import type { ServerLimits } from './limits.ts';
import { assertLimits } from './limits.ts';

export interface KvServiceOptions {
  readonly kv: KvService;
  readonly admin: AdminService;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly limits: ServerLimits;
}

export interface KvServiceHandle {
  /** Says NOT_SERVING from now on. The server itself is closed by its owner. */
  close(): void;
}

/** How often the health service looks; it has no other way to learn of a change. */
const HEALTH_INTERVAL_MS = 1000;

export function addKvService(server: Server, options: KvServiceOptions): KvServiceHandle {
  const { clock, limits } = options;
  assertLimits(limits);
  const kv = new GrpcKv(options);
  const face: Face = { ...options, admission: new Admission(limits) };
  server.addService(toServiceDefinition(KV), {
    get: unary<GetRequest>(face, {
      name: 'Get',
      isWrite: false,
      bytesOf: ({ key }) => key.length,
      run: (request, context) => kv.get(request, context),
    }),
    put: unary<PutRequest>(face, {
      name: 'Put',
      isWrite: true,
      bytesOf: ({ key, value }) => key.length + value.length,
      run: (request, context) => kv.put(request, context),
    }),
    delete: unary<DeleteRequest>(face, {
      name: 'Delete',
      isWrite: true,
      bytesOf: ({ key }) => key.length,
      run: (request, context) => kv.delete(request, context),
    }),
    scan: unary<ScanRequest>(face, {
      name: 'Scan',
      isWrite: false,
      bytesOf: ({ start, end }) => start.length + end.length,
      run: (request, context) => kv.scan(request, context),
    }),
  });
  addReflection(server);
  const health = new HealthImplementation();
  health.addToServer(server);
  const say = (isServing: boolean): void => {
    const status = isServing ? 'SERVING' : 'NOT_SERVING';
    // The empty name stands for the server as a whole.
    for (const name of ['', KV.typeName]) health.setStatus(name, status);
  };
  say(options.admin.health().isReady);
  const timer = every(clock, HEALTH_INTERVAL_MS, () => say(options.admin.health().isReady));
  return {
    close: () => {
      timer.cancel();
      say(false);
    },
  };
}

interface Face extends KvServiceOptions {
  readonly admission: Admission;
}

interface Rpc<Request> {
  readonly name: string;
  readonly isWrite: boolean;
  bytesOf(request: Request): number;
  run(request: Request, context: CallContext): Promise<object>;
}

type UnaryHandler<Request> = (
  call: ServerUnaryCall<Request, object>,
  answer: sendUnaryData<object>,
) => void;

function unary<Request>(face: Face, rpc: Rpc<Request>): UnaryHandler<Request> {
  return (call, answer) => {
    perform({ face, rpc, call }).then(
      (response) => answer(null, response),
      (error: unknown) => {
        const { clock, observer } = face;
        const failure = toFailure(error, { clock, observer, route: `gRPC ${rpc.name}` });
        const { code, details, trailer } = toStatus(failure);
        const metadata = new Metadata();
        if (trailer !== undefined) metadata.set(ERROR_TRAILER, Buffer.from(trailer));
        answer({ code, details, metadata });
      },
    );
  };
}

interface Performed<Request> {
  readonly face: Face;
  readonly rpc: Rpc<Request>;
  readonly call: ServerUnaryCall<Request, object>;
}

async function perform<Request>({ face, rpc, call }: Performed<Request>): Promise<object> {
  const { clock, admission } = face;
  // gRPC has read the message already; what it holds counts until it is answered.
  const ticket = admission.enter(rpc.bytesOf(call.request));
  const abort = new AbortController();
  call.on('cancelled', () => abort.abort());
  try {
    const timeoutMs = timeoutOf(face, call.getDeadline());
    const context = { deadline: clock.now() + timeoutMs, signal: abort.signal };
    return await withinDeadline(rpc.run(call.request, context), {
      clock,
      timeoutMs,
      outcome: rpc.isWrite ? 'unknown' : 'not-applied',
      giveUp: () => abort.abort(),
    });
  } finally {
    ticket.letGo();
  }
}

/** gRPC gives wall-clock time, or Infinity when the client named no deadline. */
function timeoutOf({ clock, limits }: Face, deadline: Date | number): number {
  const at = Number(deadline);
  if (!Number.isFinite(at)) return limits.timeoutDefaultMs;
  return Math.max(0, Math.min(at - clock.wallNow(), limits.timeoutMaxMs));
}

/** Tells tools like grpcurl the KV and health services; what peers speak is nobody else's business. */
function addReflection(server: Server): void {
  const kv = fileDescriptorsOf(KV).map((bytes) => Buffer.from(bytes));
  const health = Object.values(healthService).flatMap((method) => [
    ...method.requestType.fileDescriptorProtos,
    ...method.responseType.fileDescriptorProtos,
  ]);
  const described = {
    format: 'Protocol Buffer 3 DescriptorProto',
    type: {},
  } as const;
  const fileDescriptorProtos = [...kv, ...health];
  new ReflectionService({ files: { ...described, fileDescriptorProtos } }).addToServer(server);
}
