// The calls of `matrixkv.v1.KV` as calls of the KvService: numbers and oneofs in, plain words out,
// with the same limits as over HTTP. Knows messages but not gRPC.

import { EMPTY } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type {
  DeleteRequest,
  GetRequest,
  Precondition as PreconditionMessage,
  PutRequest,
  ScanRequest,
} from '../../wire/gen/matrixkv/v1/kv_pb.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import type { CallContext, KvService } from '../routing/services.ts';
import type { Precondition, WriteResult } from '../shard/kv-types.ts';
import type { ServerLimits } from './limits.ts';
import { checkBound, checkKey, checkScanLimit, checkValue, SCAN_LIMIT_DEFAULT } from './limits.ts';

interface WriteResponse {
  readonly applied: boolean;
  readonly existed: boolean;
  readonly version: bigint;
}

interface GetResponse {
  readonly found: boolean;
  readonly value: Uint8Array;
  readonly version: bigint;
}

interface ScanResponse {
  readonly items: { key: Uint8Array; value: Uint8Array; version: bigint }[];
  readonly next?: Uint8Array;
}

export class GrpcKv {
  readonly #kv: KvService;
  readonly #limits: ServerLimits;

  constructor(options: { readonly kv: KvService; readonly limits: ServerLimits }) {
    this.#kv = options.kv;
    this.#limits = options.limits;
  }

  async get({ key }: GetRequest, context: CallContext): Promise<GetResponse> {
    checkKey(key);
    const result = await this.#kv.get(key, context);
    if (!result.found) return { found: false, value: EMPTY, version: 0n };
    return { found: true, value: result.value, version: toUint64(result.version) };
  }

  async put(request: PutRequest, context: CallContext): Promise<WriteResponse> {
    const { key, value } = request;
    checkKey(key);
    checkValue(value, this.#limits);
    const precondition = fromMessage(request.precondition);
    return toWriteResponse(await this.#kv.put({ key, value, ...precondition }, context));
  }

  async delete(request: DeleteRequest, context: CallContext): Promise<WriteResponse> {
    const { key } = request;
    checkKey(key);
    const precondition = fromMessage(request.precondition);
    return toWriteResponse(await this.#kv.delete({ key, ...precondition }, context));
  }

  async scan(request: ScanRequest, context: CallContext): Promise<ScanResponse> {
    const { start, end, reverse, keysOnly } = request;
    const limit = request.limit === 0 ? SCAN_LIMIT_DEFAULT : request.limit;
    checkBound(start);
    checkBound(end);
    checkScanLimit(limit);
    const page = await this.#kv.scan({ start, end, limit, reverse, keysOnly }, context);
    const items = page.items.map((item) => ({ ...item, version: toUint64(item.version) }));
    return page.next === undefined ? { items } : { items, next: page.next };
  }
}

function toWriteResponse({ applied, existed, version }: WriteResult): WriteResponse {
  return { applied, existed, version: toUint64(version) };
}

/** A precondition that is there but says nothing is refused: an unconditional write was not meant. */
function fromMessage(message: PreconditionMessage | undefined): { precondition?: Precondition } {
  if (message === undefined) return {};
  const { condition } = message;
  switch (condition.case) {
    case 'absent':
    case 'present':
      if (!condition.value) throw invalid(`Precondition ${condition.case} is false, leave it out`);
      return { precondition: { type: condition.case } };
    case 'version': {
      const version = fromUint64(condition.value, 'precondition.version');
      if (version === 0) throw invalid('Precondition version is 0, use absent');
      return { precondition: { type: 'version', version } };
    }
    case undefined:
      throw invalid('Precondition is empty');
  }
}

function invalid(text: string): MatrixError {
  return new MatrixError('INVALID_ARGUMENT', text);
}
