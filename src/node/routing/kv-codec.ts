// Questions and answers about keys between protobuf and the plain shapes of the shard room. What
// comes in is checked here; a message that makes no sense is answered with INVALID_ARGUMENT.

import { MatrixError } from '../../kernel/errors.ts';
import type {
  DeleteRequest,
  DeleteRequestSchema,
  GetResponse,
  GetResponseSchema,
  PreconditionSchema,
  PutRequest,
  PutRequestSchema,
  ScanRequestSchema,
  ScanResponse,
  ScanResponseSchema,
  Precondition as WirePrecondition,
  ScanRequest as WireScanRequest,
} from '../../wire/gen/matrixkv/v1/kv_pb.ts';
import type { Session, SessionSchema } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { InitOf } from '../../wire/peer-messages.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import { CLIENT_ID_BYTES, type SessionStamp } from '../shard/commands.ts';
import type {
  GetResult,
  Precondition,
  ScanRequest,
  ScanResult,
  WriteResult,
} from '../shard/kv-types.ts';

/** The fields of a put or delete, without what addresses it. */
export interface WriteFields {
  readonly key: Uint8Array;
  readonly precondition?: Precondition;
}

/** More than any face admits: only a broken peer asks for more. */
const SCAN_LIMIT_CEILING = 100_000;

export function toGetResponse(result: GetResult): InitOf<typeof GetResponseSchema> {
  if (!result.found) return { found: false };
  return { found: true, value: result.value, version: toUint64(result.version) };
}

export function fromGetResponse(response: GetResponse): GetResult {
  if (!response.found) return { found: false };
  const version = fromUint64(response.version, 'version');
  return { found: true, value: response.value, version };
}

export function toPutRequest(
  write: WriteFields & { readonly value: Uint8Array },
): InitOf<typeof PutRequestSchema> {
  return { ...toWriteRequest(write), value: write.value };
}

export function toDeleteRequest(write: WriteFields): InitOf<typeof DeleteRequestSchema> {
  return toWriteRequest(write);
}

function toWriteRequest(write: WriteFields): {
  key: Uint8Array;
  precondition?: InitOf<typeof PreconditionSchema>;
} {
  if (write.precondition === undefined) return { key: write.key };
  return { key: write.key, precondition: toPrecondition(write.precondition) };
}

export function fromPutRequest(request: PutRequest): WriteFields & { readonly value: Uint8Array } {
  return { ...fromWriteRequest(request), value: request.value };
}

/** Puts and deletes alike. */
export function fromWriteRequest(request: PutRequest | DeleteRequest): WriteFields {
  const precondition = fromPrecondition(request.precondition);
  return precondition === undefined ? { key: request.key } : { key: request.key, precondition };
}

/** The answers of puts and deletes have the same fields. */
export interface WriteResponseFields {
  readonly applied: boolean;
  readonly existed: boolean;
  readonly version: bigint;
}

export function toWriteResponse(result: WriteResult): WriteResponseFields {
  const { applied, existed, version } = result;
  return { applied, existed, version: toUint64(version) };
}

export function fromWriteResponse(response: WriteResponseFields): WriteResult {
  const { applied, existed } = response;
  return { applied, existed, version: fromUint64(response.version, 'version') };
}

export function toScanRequest(scan: ScanRequest): InitOf<typeof ScanRequestSchema> {
  const { start, end, limit, reverse, keysOnly } = scan;
  return { start, end, limit, reverse, keysOnly };
}

export function fromScanRequest(request: WireScanRequest): ScanRequest {
  const { start, end, limit, reverse, keysOnly } = request;
  if (limit < 1 || limit > SCAN_LIMIT_CEILING) {
    throw new MatrixError('INVALID_ARGUMENT', `Limit ${limit} of a scan is out of range`);
  }
  return { start, end, limit, reverse, keysOnly };
}

export function toScanResponse(result: ScanResult): InitOf<typeof ScanResponseSchema> {
  const items = result.items.map(({ key, value, version }) => ({
    key,
    value,
    version: toUint64(version),
  }));
  return result.next === undefined ? { items } : { items, next: result.next };
}

export function fromScanResponse(response: ScanResponse): ScanResult {
  const items = response.items.map(({ key, value, version }) => ({
    key,
    value,
    version: fromUint64(version, 'version'),
  }));
  return response.next === undefined ? { items } : { items, next: response.next };
}

export function toSession(stamp: SessionStamp): InitOf<typeof SessionSchema> {
  return {
    clientId: stamp.clientId,
    sequence: toUint64(stamp.sequence),
    acknowledgedBelow: toUint64(stamp.acknowledgedBelow),
  };
}

export function fromSession(session: Session | undefined): SessionStamp {
  if (session?.clientId.length !== CLIENT_ID_BYTES) {
    throw new MatrixError('INVALID_ARGUMENT', 'A write needs a session with a client id');
  }
  const stamp = {
    clientId: session.clientId.slice(),
    sequence: fromUint64(session.sequence, 'session.sequence'),
    acknowledgedBelow: fromUint64(session.acknowledgedBelow, 'session.acknowledged_below'),
  };
  if (stamp.acknowledgedBelow > stamp.sequence) {
    throw new MatrixError('INVALID_ARGUMENT', 'A write is acknowledged before it was answered');
  }
  return stamp;
}

function toPrecondition(precondition: Precondition): InitOf<typeof PreconditionSchema> {
  switch (precondition.type) {
    case 'absent':
      return { condition: { case: 'absent', value: true } };
    case 'present':
      return { condition: { case: 'present', value: true } };
    case 'version':
      return { condition: { case: 'version', value: toUint64(precondition.version) } };
  }
}

function fromPrecondition(precondition: WirePrecondition | undefined): Precondition | undefined {
  if (precondition === undefined) return undefined;
  const { condition } = precondition;
  switch (condition.case) {
    case 'absent':
    case 'present':
      if (condition.value) return { type: condition.case };
      break;
    case 'version':
      return { type: 'version', version: fromUint64(condition.value, 'precondition.version') };
    case undefined:
      break;
  }
  // A condition that this release does not know must not be taken for none.
  throw new MatrixError('INVALID_ARGUMENT', 'The precondition says nothing that can be checked');
}
