// Answers whether this member of Prophet has a history: the one question that may come before the
// node has joined anything (see prophet-start.ts).

import { PROPHET_SHARD } from '../kernel/ids.ts';
import type { PeerRequest, PeerResponse } from '../wire/gen/matrixkv/v1/peer_pb.ts';
import { peerAnswer } from '../wire/peer-messages.ts';
import { FIRST_ENTRY } from './shard/split.ts';
import type { Store } from './store/store.ts';

/** Undefined for every other question. */
export function probeOwnGroup(
  { request }: PeerRequest,
  store: Store,
): Promise<PeerResponse> | undefined {
  if (request.case !== 'probeReplica' || request.value.shardId !== BigInt(PROPHET_SHARD)) {
    return undefined;
  }
  const replica = store.replica(PROPHET_SHARD);
  // Whoever has seen a term beyond the first one has seen an election.
  const hasVoted = replica !== undefined && replica.term > FIRST_ENTRY.term;
  // A damaged replica had one, although it cannot tell any more what it was.
  const hasHistory = hasVoted || store.isQuarantined(PROPHET_SHARD);
  return Promise.resolve(peerAnswer({ case: 'probeReplica', value: { hasHistory } }));
}
