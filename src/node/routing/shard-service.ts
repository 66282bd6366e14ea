// Carries out what other nodes ask of the replicas here. It executes or refuses, and never forwards:
// the asking node follows the hints itself.

import { MatrixError } from '../../kernel/errors.ts';
import type { ShardRequest, ShardResponseSchema } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { InitOf } from '../../wire/peer-messages.ts';
import { fromUint64 } from '../../wire/safe-number.ts';
import type { LocalStore } from '../store/local-store.ts';
import {
  fromPutRequest,
  fromScanRequest,
  fromSession,
  fromWriteRequest,
  toGetResponse,
  toScanResponse,
  toWriteResponse,
} from './kv-codec.ts';
import type { ShardAddress } from './shard-call.ts';

type ShardAnswer = InitOf<typeof ShardResponseSchema>;

/** A key longer than every admitted one comes from a broken peer. */
const KEY_BYTES_CEILING = 8192;

export class ShardService {
  readonly #localStore: () => LocalStore | undefined;

  constructor(options: { readonly localStore: () => LocalStore | undefined }) {
    this.#localStore = options.localStore;
  }

  /** Errors: those of LocalStore, and INVALID_ARGUMENT for what makes no sense. */
  async execute(request: ShardRequest, deadline: number): Promise<ShardAnswer> {
    const address = {
      shardId: fromUint64(request.shardId, 'shard_id'),
      generation: fromUint64(request.generation, 'generation'),
    };
    const store = this.#localStore();
    if (store === undefined) {
      throw new MatrixError('SHARD_NOT_FOUND', 'This node holds no shards yet');
    }
    const { operation } = request;
    switch (operation.case) {
      case 'get': {
        const key = checkedKey(operation.value.key);
        return found(toGetResponse(await store.get({ ...address, key }, deadline)));
      }
      case 'scan': {
        const scan = fromScanRequest(operation.value);
        const result = await store.scan({ ...address, scan }, deadline);
        return { result: { case: 'scan', value: toScanResponse(result) } };
      }
      case 'put':
      case 'delete':
        return write(store, { request, address, deadline });
      case undefined:
        throw new MatrixError('UNSUPPORTED', 'The request names no operation that is known here', {
          outcome: 'not-applied',
        });
    }
  }
}

function found(value: ReturnType<typeof toGetResponse>): ShardAnswer {
  return { result: { case: 'get', value } };
}

async function write(
  store: LocalStore,
  context: {
    readonly request: ShardRequest;
    readonly address: ShardAddress;
    readonly deadline: number;
  },
): Promise<ShardAnswer> {
  const { request, address, deadline } = context;
  const { shardId, generation } = address;
  const header = { generation, session: fromSession(request.session) };
  const { operation } = request;
  if (operation.case === 'put') {
    const fields = fromPutRequest(operation.value);
    checkedKey(fields.key);
    const command = { type: 'put', ...header, ...fields } as const;
    const value = toWriteResponse(await store.write({ shardId, command }, deadline));
    return { result: { case: 'put', value } };
  }
  if (operation.case !== 'delete') throw new MatrixError('UNSUPPORTED', 'Not a write');
  const fields = fromWriteRequest(operation.value);
  checkedKey(fields.key);
  const command = { type: 'delete', ...header, ...fields } as const;
  const value = toWriteResponse(await store.write({ shardId, command }, deadline));
  return { result: { case: 'delete', value } };
}

function checkedKey(key: Uint8Array): Uint8Array {
  if (key.length > 0 && key.length <= KEY_BYTES_CEILING) return key;
  throw new MatrixError('INVALID_ARGUMENT', `A key of ${key.length} bytes is none`);
}
