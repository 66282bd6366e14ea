import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../kernel/errors.ts';
import { EXCHANGE_REQUESTS } from '../../wire/frames.ts';
import type { Heartbeats } from '../../wire/gen/matrixkv/v1/transport_pb.ts';
import { HeartbeatColumns, readHeartbeats } from './heartbeat-columns.ts';
import type { Envelope } from './transport.ts';

const SHARD = {
  start: Buffer.from('a'),
  end: Buffer.from('b'),
  epoch: { generation: 3, confVersion: 2 },
};

function envelope(message: Envelope['message'], isKnown = true): Envelope {
  return {
    shardId: 7,
    toStoreId: 2,
    from: { replicaId: message.from, storeId: 1, role: 'voter' },
    to: { replicaId: message.to, storeId: 2, role: 'voter' },
    shard: SHARD,
    message,
    isKnown,
  };
}

const REQUEST = {
  type: 'heartbeat',
  from: 11,
  to: 12,
  term: 6,
  commit: 2 ** 40,
  readSequence: 5,
} as const;
const RESPONSE = {
  type: 'heartbeat-response',
  from: 11,
  to: 12,
  term: 6,
  readSequence: 5,
} as const;

function overTheWire(columns: HeartbeatColumns): Heartbeats {
  const frame = EXCHANGE_REQUESTS.decode(EXCHANGE_REQUESTS.encode(columns.field()));
  assert.ok(frame.heartbeats);
  return frame.heartbeats;
}

test('heartbeats and their answers come out of the columns as they went in', () => {
  const columns = new HeartbeatColumns();
  assert.ok(columns.add(envelope(REQUEST)));
  assert.ok(columns.add(envelope(RESPONSE)));
  const read = readHeartbeats(overTheWire(columns), 1);
  assert.deepEqual(
    read.map(({ message }) => message),
    [REQUEST, RESPONSE],
  );
  assert.deepEqual(read[0]?.from, { replicaId: 11, storeId: 1, role: 'voter' });
  assert.equal(read[0]?.toStoreId, 2);
  assert.equal(read[0]?.isKnown, true);
});

test('add() leaves other messages, and groups the receiver may not know, to whole envelopes', () => {
  const columns = new HeartbeatColumns();
  assert.equal(columns.add(envelope({ type: 'timeout-now', from: 1, to: 2, term: 3 })), false);
  assert.equal(columns.add(envelope(REQUEST, false)), false);
  assert.equal(columns.size, 0);
  assert.deepEqual(columns.field(), {});
});

test('readHeartbeats() refuses columns of different length and numbers that are not whole', () => {
  const columns = new HeartbeatColumns();
  columns.add(envelope(REQUEST));
  const good = overTheWire(columns);
  for (const bad of [
    { term: [] },
    { commit: [0.5] },
    { shardId: [-1] },
    { toReplicaId: [Number.NaN] },
  ]) {
    assert.throws(() => readHeartbeats({ ...good, ...bad }, 1), MatrixError);
  }
});
