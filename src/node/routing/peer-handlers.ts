// What this node answers to other nodes' calls: operations on the shards here, Prophet's protocol if
// a member of Prophet is here, and questions about single replicas. Every failure becomes an answer;
// only a bug of ours ends the process, and its caller still gets a word.

import { AssertionError } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { toErrorMessage } from '../../wire/error-codec.ts';
import type {
  PeerRequest,
  PeerResponse,
  ProbeReplicaRequest,
  TransferLeaderRequest,
} from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import { type PeerAnswer, peerAnswer } from '../../wire/peer-messages.ts';
import { fromUint64 } from '../../wire/safe-number.ts';
import { toShard } from '../../wire/shard-codec.ts';
import type { LocalStore } from '../store/local-store.ts';
import type { TransportHandlers } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import { transferLocally } from './leader-transfer.ts';
import { answerProphetCall } from './prophet-answers.ts';
import type { ProphetService } from './prophet-service.ts';
import { ShardService } from './shard-service.ts';

export interface PeerHandlersOptions {
  readonly localStore: () => LocalStore | undefined;
  /** The member of Prophet on this node; undefined on other nodes. */
  readonly prophet: () => ProphetService | undefined;
  readonly addressBook: AddressBook;
  /** A broken invariant was met: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

/** The `onCall` of the transport. Never rejects. */
export function createCallHandler(options: PeerHandlersOptions): TransportHandlers['onCall'] {
  const shards = new ShardService({ localStore: options.localStore });
  return async (request, from, { deadline }): Promise<PeerResponse> => {
    options.addressBook.hear(from.storeId, from.address);
    try {
      return peerAnswer(await answer(request, { options, shards, deadline }));
    } catch (error) {
      if (error instanceof AssertionError) options.onFatal(error);
      return peerAnswer({ case: 'error', value: toErrorMessage(MatrixError.from(error)) });
    }
  };
}

interface AnswerContext {
  readonly options: PeerHandlersOptions;
  readonly shards: ShardService;
  readonly deadline: number;
}

async function answer({ request }: PeerRequest, context: AnswerContext): Promise<PeerAnswer> {
  const { options, shards, deadline } = context;
  switch (request.case) {
    case 'shard':
      return { case: 'shard', value: await shards.execute(request.value, deadline) };
    case 'probeReplica':
      return probeReplica(request.value, options.localStore());
    case 'transferLeader':
      return transferLeader(request.value, options.localStore());
    case undefined:
      throw new MatrixError('UNSUPPORTED', 'The call asks nothing that is known here');
    default:
      return answerProphetCall(request, { prophet: options.prophet(), deadline });
  }
}

/** Only the replica itself speaks here, never Prophet's view: its word may end another (lesson 9). */
function probeReplica(request: ProbeReplicaRequest, store: LocalStore | undefined): PeerAnswer {
  const shard = store?.shard(fromUint64(request.shardId, 'shard_id'));
  const value = shard === undefined ? {} : { shard: toShard(shard.meta) };
  return { case: 'probeReplica', value };
}

function transferLeader(request: TransferLeaderRequest, store: LocalStore | undefined): PeerAnswer {
  const shardId = fromUint64(request.shardId, 'shard_id');
  const storeId = fromUint64(request.toStoreId, 'to_store_id');
  if (store === undefined) {
    throw new MatrixError('SHARD_NOT_FOUND', 'This node holds no shards yet');
  }
  transferLocally(store, { shardId, storeId });
  return { case: 'transferLeader', value: {} };
}
