// What travels between nodes, by the names that the transport uses for it, and as bytes for a wire
// that is not gRPC (the simulator's). Types ending in `Init` are what a sender may pass: whole
// messages or just their fields.

import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { MatrixError } from '../kernel/errors.ts';
import type { PeerRequestSchema, PeerResponse } from './gen/matrixkv/v1/peer_pb.ts';
import { PeerResponseSchema } from './gen/matrixkv/v1/peer_pb.ts';
import type { EnvelopeSchema } from './gen/matrixkv/v1/raft_pb.ts';
import type { AnswerSchema, CallSchema, HelloSchema } from './gen/matrixkv/v1/transport_pb.ts';
import {
  ExchangeRequestSchema,
  ExchangeResponseSchema,
  InstallSnapshotRequestSchema,
  InstallSnapshotResponseSchema,
} from './gen/matrixkv/v1/transport_pb.ts';

export type HelloInit = MessageInitShape<typeof HelloSchema>;
export type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;
export type PeerRequestInit = MessageInitShape<typeof PeerRequestSchema>;
export type CallInit = MessageInitShape<typeof CallSchema>;
export type AnswerInit = MessageInitShape<typeof AnswerSchema>;
export type ExchangeRequestInit = MessageInitShape<typeof ExchangeRequestSchema>;
export type ExchangeResponseInit = MessageInitShape<typeof ExchangeResponseSchema>;
export type SnapshotRequestInit = MessageInitShape<typeof InstallSnapshotRequestSchema>;
export type SnapshotResponseInit = MessageInitShape<typeof InstallSnapshotResponseSchema>;

/** One kind of frame as bytes. `decode` throws INVALID_ARGUMENT on what is not such a frame. */
export interface FrameCodec<Init, Frame> {
  encode(frame: Init): Uint8Array;
  decode(bytes: Uint8Array): Frame;
}

export const EXCHANGE_REQUESTS = frameCodec(ExchangeRequestSchema);
export const EXCHANGE_RESPONSES = frameCodec(ExchangeResponseSchema);
export const SNAPSHOT_REQUESTS = frameCodec(InstallSnapshotRequestSchema);
export const SNAPSHOT_RESPONSES = frameCodec(InstallSnapshotResponseSchema);

/** A whole response from its fields, for whoever answers calls. */
export function peerResponse(response: PeerResponse['response']): PeerResponse {
  return create(PeerResponseSchema, { response });
}

function frameCodec<Desc extends DescMessage>(
  schema: Desc,
): FrameCodec<MessageInitShape<Desc>, MessageShape<Desc>> {
  return {
    encode: (frame) => toBinary(schema, create(schema, frame)),
    decode: (bytes) => {
      try {
        return fromBinary(schema, bytes);
      } catch (cause) {
        throw new MatrixError('INVALID_ARGUMENT', `Not a ${schema.typeName}`, { cause });
      }
    },
  };
}
