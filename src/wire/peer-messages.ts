// Building the messages that nodes ask each other with: whole messages from their plain fields, so
// that the rooms need not know the protobuf library.

import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { PeerRequest, PeerResponse } from './gen/matrixkv/v1/peer_pb.ts';
import { PeerRequestSchema, PeerResponseSchema } from './gen/matrixkv/v1/peer_pb.ts';

/** What a sender may pass for a message: a whole one, or just the fields that are set. */
export type InitOf<Desc extends DescMessage> = MessageInitShape<Desc>;

/** One of the questions of `PeerRequest`, by its case. */
export type PeerQuestion = NonNullable<InitOf<typeof PeerRequestSchema>['request']>;

/** One of the answers of `PeerResponse`, by its case. */
export type PeerAnswer = NonNullable<InitOf<typeof PeerResponseSchema>['response']>;

export function peerRequest(question: PeerQuestion): PeerRequest {
  return create(PeerRequestSchema, { request: question });
}

export function peerAnswer(answer: PeerAnswer): PeerResponse {
  return create(PeerResponseSchema, { response: answer });
}
