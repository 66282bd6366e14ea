// Joins protobuf-es to grpc-js, so that no service code has to be generated: a service is described
// once, in proto/, and both a server and a client come from that description.
//
// Values are the plain messages of src/wire/gen. Whoever sends may pass a whole message or just its
// fields; whoever receives always gets a whole message with defaults filled in. What a peer sent is
// checked only for being well-formed protobuf; its meaning is checked by the room that uses it.

import type { DescMessage, DescMethod, DescService, MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, isMessage, toBinary } from '@bufbuild/protobuf';
import type {
  MethodDefinition,
  ServiceClientConstructor,
  ServiceDefinition,
  ServiceError,
} from '@grpc/grpc-js';
import { Metadata, makeClientConstructor } from '@grpc/grpc-js';
import { MatrixError } from '../kernel/errors.ts';
import { ERROR_TRAILER, fromStatus, toStatus } from './status.ts';

/** A whole message, or the fields of one. */
type Sent = MessageInitShape<DescMessage>;

/** The service as grpc-js wants it, for `server.addService`. Methods carry their lowerCamel names. */
export function toServiceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, toMethodDefinition(method)]),
  );
}

/** A client class for the service; `new` it with an address and credentials. Closing is the owner's duty. */
export function toClientConstructor(service: DescService): ServiceClientConstructor {
  return makeClientConstructor(toServiceDefinition(service), service.typeName);
}

/** What a handler hands to grpc-js in order to fail a call. */
export function toServiceError(error: MatrixError): ServiceError {
  const { code, details, trailer } = toStatus(error);
  const metadata = new Metadata();
  if (trailer !== undefined) metadata.set(ERROR_TRAILER, Buffer.from(trailer));
  return Object.assign(new Error(details), { code, details, metadata });
}

/** What a failed call means to its caller, whoever failed it: the peer, a proxy or grpc-js itself. */
export function fromServiceError(error: Error & Partial<ServiceError>): MatrixError {
  if (error.code === undefined) return MatrixError.from(error);
  const value = error.metadata?.get(ERROR_TRAILER)[0];
  const trailer = value instanceof Buffer ? value : undefined;
  return fromStatus({ code: error.code, details: error.details ?? error.message, trailer });
}

function toMethodDefinition(method: DescMethod): MethodDefinition<Sent, Sent> {
  const kind = method.methodKind;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: kind === 'client_streaming' || kind === 'bidi_streaming',
    responseStream: kind === 'server_streaming' || kind === 'bidi_streaming',
    requestSerialize: (value) => encode(method.input, value),
    requestDeserialize: (bytes) => decode(method.input, bytes),
    responseSerialize: (value) => encode(method.output, value),
    responseDeserialize: (bytes) => decode(method.output, bytes),
  };
}

function encode(schema: DescMessage, value: Sent): Buffer {
  const bytes = toBinary(schema, isMessage(value, schema) ? value : create(schema, value));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength); // a view, not a copy
}

/**
 * Reads through a plain Uint8Array view: from a Buffer, every bytes field would come out as a Buffer,
 * which compares unequal to the same bytes made elsewhere. The fields stay views of the one received
 * buffer, so whoever keeps a small field for long should copy it.
 */
function decode(schema: DescMessage, bytes: Buffer): Sent {
  return fromBinary(schema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}
