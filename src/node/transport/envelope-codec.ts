// Raft messages between the program and protobuf, and the gate that checks what a peer sent. A bad
// envelope throws INVALID_ARGUMENT here, and the transport drops and counts it: it must never get as
// far as an assertion.
//
// Everything that outlives the frame is copied out of it. The fields of a decoded message are views
// of the whole frame, so a hundred-byte entry kept in the log would keep a megabyte alive; copying
// costs a few per cent of what decoding costs.

import { unreachable } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { EntryId } from '../../kernel/ids.ts';
import type { EnvelopeInit } from '../../wire/frames.ts';
import type {
  Entry as WireEntry,
  EntryId as WireEntryId,
  Envelope as WireEnvelope,
  SnapshotMeta as WireSnapshotMeta,
} from '../../wire/gen/matrixkv/v1/raft_pb.ts';
import { EntryKind as WireKind } from '../../wire/gen/matrixkv/v1/raft_pb.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import { fromEpoch, fromReplica, toEpoch, toReplica } from '../../wire/shard-codec.ts';
import type { Entry, EntryKind, Message, SnapshotMeta } from '../raft/messages.ts';
import type { Envelope } from './transport.ts';

export function toWireEnvelope(envelope: Envelope): EnvelopeInit {
  return {
    shardId: toUint64(envelope.shardId),
    toStoreId: toUint64(envelope.toStoreId),
    from: toReplica(envelope.from),
    to: toReplica(envelope.to),
    start: envelope.shard.start,
    end: envelope.shard.end,
    epoch: toEpoch(envelope.shard.epoch),
    term: toUint64(envelope.message.term),
    body: toBody(envelope.message),
  };
}

export function fromWireEnvelope(wire: WireEnvelope): Envelope {
  const from = fromReplica(wire.from);
  const to = fromReplica(wire.to);
  const sender = { from: from.replicaId, to: to.replicaId, term: fromUint64(wire.term, 'term') };
  return {
    shardId: fromUint64(wire.shardId, 'shard_id'),
    toStoreId: fromUint64(wire.toStoreId, 'to_store_id'),
    from,
    to,
    shard: {
      start: wire.start.slice(),
      end: wire.end.slice(),
      epoch: fromEpoch(wire.epoch),
    },
    message: fromBody(wire.body, sender),
  };
}

function toBody(message: Message): NonNullable<EnvelopeInit['body']> {
  switch (message.type) {
    case 'pre-vote':
      return { case: 'preVote', value: { last: toEntryId(message.last) } };
    case 'pre-vote-response':
      return { case: 'preVoteResponse', value: { granted: message.granted } };
    case 'vote':
      return {
        case: 'vote',
        value: { last: toEntryId(message.last), isTransfer: message.isTransfer },
      };
    case 'vote-response':
      return { case: 'voteResponse', value: { granted: message.granted } };
    case 'append':
      return {
        case: 'append',
        value: {
          previous: toEntryId(message.previous),
          entries: message.entries.map(toEntry),
          commit: toUint64(message.commit),
        },
      };
    case 'append-response': {
      const hint = message.hint === undefined ? {} : { hint: toEntryId(message.hint) };
      return { case: 'appendResponse', value: { index: toUint64(message.index), ...hint } };
    }
    case 'heartbeat':
      return {
        case: 'heartbeat',
        value: { commit: toUint64(message.commit), readSequence: toUint64(message.readSequence) },
      };
    case 'heartbeat-response':
      return {
        case: 'heartbeatResponse',
        value: { readSequence: toUint64(message.readSequence) },
      };
    case 'snapshot':
      return { case: 'installSnapshot', value: { snapshot: toSnapshotMeta(message.snapshot) } };
    case 'timeout-now':
      return { case: 'timeoutNow', value: {} };
    default:
      return unreachable(message);
  }
}

function fromBody(
  body: WireEnvelope['body'],
  sender: Pick<Message, 'from' | 'to' | 'term'>,
): Message {
  switch (body.case) {
    case 'preVote':
      return { ...sender, type: 'pre-vote', last: fromEntryId(body.value.last) };
    case 'preVoteResponse':
      return { ...sender, type: 'pre-vote-response', granted: body.value.granted };
    case 'vote': {
      const { last, isTransfer } = body.value;
      return { ...sender, type: 'vote', last: fromEntryId(last), isTransfer };
    }
    case 'voteResponse':
      return { ...sender, type: 'vote-response', granted: body.value.granted };
    case 'append': {
      const previous = fromEntryId(body.value.previous);
      const entries = fromEntries(body.value.entries, previous);
      const commit = fromUint64(body.value.commit, 'append.commit');
      return { ...sender, type: 'append', previous, entries, commit };
    }
    case 'appendResponse': {
      const index = fromUint64(body.value.index, 'append_response.index');
      const hint = body.value.hint === undefined ? {} : { hint: fromEntryId(body.value.hint) };
      return { ...sender, type: 'append-response', index, ...hint };
    }
    case 'heartbeat': {
      const commit = fromUint64(body.value.commit, 'heartbeat.commit');
      const readSequence = fromUint64(body.value.readSequence, 'heartbeat.read_sequence');
      return { ...sender, type: 'heartbeat', commit, readSequence };
    }
    case 'heartbeatResponse': {
      const readSequence = fromUint64(body.value.readSequence, 'heartbeat.read_sequence');
      return { ...sender, type: 'heartbeat-response', readSequence };
    }
    case 'installSnapshot':
      return { ...sender, type: 'snapshot', snapshot: fromSnapshotMeta(body.value.snapshot) };
    case 'timeoutNow':
      return { ...sender, type: 'timeout-now' };
    case undefined:
      throw new MatrixError('INVALID_ARGUMENT', 'Envelope holds no message that is known here');
    default:
      return unreachable(body);
  }
}

const WIRE_KINDS: Readonly<Record<EntryKind, WireKind>> = {
  normal: WireKind.NORMAL,
  conf: WireKind.CONF,
  empty: WireKind.EMPTY,
};

function toEntry(entry: Entry): { term: bigint; index: bigint; kind: WireKind; data: Uint8Array } {
  return { ...toEntryId(entry), kind: WIRE_KINDS[entry.kind], data: entry.data };
}

/** Entries must follow `previous` without a hole and with terms that never fall. */
function fromEntries(wire: readonly WireEntry[], previous: EntryId): Entry[] {
  let before = previous;
  return wire.map((entry) => {
    const id = fromEntryId(entry);
    if (id.index !== before.index + 1 || id.term < before.term) {
      const place = `${id.term}/${id.index} behind ${before.term}/${before.index}`;
      throw new MatrixError('INVALID_ARGUMENT', `Entry ${place} is out of sequence`);
    }
    before = id;
    return { ...id, kind: fromKind(entry.kind), data: entry.data.slice() };
  });
}

function fromKind(kind: WireKind): EntryKind {
  if (kind === WireKind.NORMAL) return 'normal';
  if (kind === WireKind.CONF) return 'conf';
  if (kind === WireKind.EMPTY) return 'empty';
  throw new MatrixError('INVALID_ARGUMENT', `Field entry.kind has the unknown value ${kind}`);
}

function toEntryId(id: EntryId): { term: bigint; index: bigint } {
  return { term: toUint64(id.term), index: toUint64(id.index) };
}

function fromEntryId(id: Pick<WireEntryId, 'term' | 'index'> | undefined): EntryId {
  if (id === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field entry id is missing');
  return { term: fromUint64(id.term, 'entry.term'), index: fromUint64(id.index, 'entry.index') };
}

function toSnapshotMeta(meta: SnapshotMeta): {
  last: { term: bigint; index: bigint };
  voters: bigint[];
  learners: bigint[];
} {
  return {
    last: toEntryId(meta.last),
    voters: meta.conf.voters.map(toUint64),
    learners: meta.conf.learners.map(toUint64),
  };
}

function fromSnapshotMeta(meta: WireSnapshotMeta | undefined): SnapshotMeta {
  if (meta === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Field snapshot is missing');
  return {
    last: fromEntryId(meta.last),
    conf: {
      voters: meta.voters.map((id) => fromUint64(id, 'snapshot.voters')),
      learners: meta.learners.map((id) => fromUint64(id, 'snapshot.learners')),
    },
  };
}
