import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ERROR_CODES, MatrixError } from '../kernel/errors.ts';
import { decodeError, encodeError, fromErrorMessage, toErrorMessage } from './error-codec.ts';
import { RetryAdvice } from './gen/matrixkv/v1/shard_pb.ts';
import { fromStatus, toStatus } from './status.ts';

/** Everything of an error that others may rely on. */
function shape(error: MatrixError | undefined): unknown {
  if (error === undefined) return undefined;
  const { code, text, retry, outcome, hint, retryAfterMs } = error;
  return { code, text, retry, outcome, hint, retryAfterMs };
}

const errors = fc
  .record({
    code: fc.constantFrom(...ERROR_CODES),
    text: fc.string({ maxLength: 200 }),
    retry: fc.constantFrom('no' as const, 'later' as const, 'elsewhere' as const),
    outcome: fc.constantFrom('unknown' as const, 'not-applied' as const),
    retryAfterMs: fc.integer({ min: 1, max: 60_000 }),
  })
  .map(({ code, text, ...options }) => new MatrixError(code, text, options));

const HINTED = new MatrixError('EPOCH_NOT_MATCH', 'Shard 1 was split', {
  hint: {
    leader: { replicaId: 4, storeId: 2, term: 9 },
    sessionFloor: Uint8Array.of(1, 2, 3),
    shards: [
      {
        id: 1,
        start: Uint8Array.of(1),
        end: new Uint8Array(0),
        epoch: { generation: 2, confVersion: 1 },
        replicas: [{ replicaId: 4, storeId: 2, role: 'learner' }],
      },
    ],
  },
});

describe('error codec', () => {
  test('every error survives the way out and back', () => {
    fc.assert(
      fc.property(errors, (error) => {
        assert.deepEqual(shape(decodeError(encodeError(error))), shape(error));
      }),
    );
  });

  test('hints travel with the error', () => {
    assert.deepEqual(shape(decodeError(encodeError(HINTED))), shape(HINTED));
  });

  test('a code from a newer peer becomes INTERNAL and keeps its advice', () => {
    const wire = {
      ...toErrorMessage(new MatrixError('UNAVAILABLE', 'Moon is down')),
      code: 'TIDE',
    };
    const error = fromErrorMessage(wire);
    assert.equal(error.code, 'INTERNAL');
    assert.match(error.text, /TIDE.*Moon is down/);
    assert.equal(error.retry, 'later');
    assert.equal(error.outcome, 'not-applied');
  });

  test('advice that is not given is the one of the code', () => {
    const wire = toErrorMessage(new MatrixError('NOT_LEADER', 'Ask another', { retry: 'no' }));
    assert.equal(fromErrorMessage(wire).retry, 'no');
    wire.retry = RetryAdvice.UNSPECIFIED;
    assert.equal(fromErrorMessage(wire).retry, 'elsewhere');
  });

  test('a broken hint is left out, not thrown', () => {
    const wire = toErrorMessage(HINTED);
    for (const shard of wire.shards) shard.id = 2n ** 60n;
    const error = fromErrorMessage(wire);
    assert.equal(error.code, 'EPOCH_NOT_MATCH');
    assert.equal(error.hint, undefined);
  });

  test('texts are cut to a bound and stay valid text', () => {
    const wire = toErrorMessage(new MatrixError('INTERNAL', `${'x'.repeat(1023)}\u{1f600}`));
    assert.equal(wire.message.length, 1024);
    assert.ok(wire.message.isWellFormed());
  });

  test('garbage is no error, and never throws', () => {
    assert.equal(decodeError(new Uint8Array(0)), undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        decodeError(bytes);
      }),
    );
  });
});

describe('status', () => {
  test('every error survives as status and trailer', () => {
    fc.assert(
      fc.property(errors, (error) => {
        assert.deepEqual(shape(fromStatus(toStatus(error))), shape(error));
      }),
    );
  });

  test('a status that gRPC clients repeat by themselves means that nothing was applied', () => {
    const UNAVAILABLE = 14;
    assert.equal(toStatus(new MatrixError('UNAVAILABLE', 'Away')).code, UNAVAILABLE);
    const lost = new MatrixError('UNAVAILABLE', 'Lost on the way', { outcome: 'unknown' });
    assert.notEqual(toStatus(lost).code, UNAVAILABLE);
  });

  test('a status without trailer keeps the outcome open', () => {
    const error = fromStatus({ code: 14, details: 'Connection dropped' });
    assert.equal(error.code, 'UNAVAILABLE');
    assert.equal(error.outcome, 'unknown');
    assert.equal(fromStatus({ code: 12, details: 'No such method' }).outcome, 'not-applied');
    assert.equal(fromStatus({ code: 99, details: 'Odd' }).code, 'INTERNAL');
  });

  test('a hint that is too large for a trailer is left out', () => {
    const shards = Array.from({ length: 500 }, () => HINTED.hint?.shards ?? []).flat();
    const error = new MatrixError('EPOCH_NOT_MATCH', 'Split often', { hint: { shards } });
    const status = toStatus(error);
    assert.ok((status.trailer?.length ?? 0) <= 4096);
    assert.equal(fromStatus(status).code, 'EPOCH_NOT_MATCH');
  });
});
