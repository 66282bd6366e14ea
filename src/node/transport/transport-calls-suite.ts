// Calls over any wire: answers, errors, deadlines.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../kernel/errors.ts';
import type { Sender, Start } from './transport-rig-suite.ts';
import {
  CLOCK,
  clusterRequest,
  hasCode,
  ok,
  peerRequest,
  routesRequest,
  soon,
} from './transport-rig-suite.ts';

export function callTests(start: Start): void {
  test('calls are answered in any order', async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = await start({
      handlers: {
        onCall: async (request) => {
          if (request.request.case === 'routes') await gate;
          return ok(request.request.case === 'routes' ? 1 : 2);
        },
      },
    });
    const client = await start();
    const slow = client.transport.call(server.address, routesRequest(), soon());
    const quick = await client.transport.call(server.address, clusterRequest(), soon());
    assert.deepEqual(quick, ok(2));
    release();
    assert.deepEqual(await slow, ok(1));
  });

  test('the handler learns who asks and until when', async () => {
    const asked: { from: Sender; leftMs: number }[] = [];
    const server = await start({
      handlers: {
        onCall: async (_request, from, { deadline }) => {
          asked.push({ from, leftMs: deadline - CLOCK.now() });
          return ok(1);
        },
      },
    });
    const client = await start({ storeId: 7 });
    await client.transport.call(server.address, clusterRequest(), soon(5000));
    assert.equal(asked[0]?.from.storeId, 7);
    assert.equal(asked[0]?.from.address, client.address);
    assert.ok((asked[0]?.leftMs ?? 0) > 0 && (asked[0]?.leftMs ?? 0) <= 5000);
  });

  test('a call without answer ends at its deadline, and its outcome is unknown', async () => {
    const server = await start({ handlers: { onCall: () => new Promise(() => {}) } });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon(300)),
      hasCode('TIMEOUT', 'unknown'),
    );
    assert.ok(client.frames.some((frame) => frame.calls === 1));
  });

  test('a call whose deadline has passed is not sent', async () => {
    const server = await start();
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon(-1)),
      hasCode('TIMEOUT', 'not-applied'),
    );
    assert.equal(client.frames.length, 0);
  });

  test('a request of an unknown kind is refused as UNSUPPORTED', async () => {
    const server = await start();
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, peerRequest({ case: undefined }), soon()),
      hasCode('UNSUPPORTED', 'not-applied'),
    );
  });
}

export function callErrorTests(start: Start): void {
  test('an error arrives with everything it says', async () => {
    const hint = { leader: { replicaId: 4, storeId: 2, term: 9 } };
    const server = await start({
      handlers: {
        onCall: () => {
          throw new MatrixError('NOT_LEADER', 'Ask another', { hint, retryAfterMs: 5 });
        },
      },
    });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      (error) => {
        assert.ok(error instanceof MatrixError);
        const { code, text, retry, outcome, retryAfterMs } = error;
        assert.deepEqual(
          { code, text, retry, outcome, retryAfterMs, hint: error.hint },
          {
            code: 'NOT_LEADER',
            text: 'Ask another',
            retry: 'elsewhere',
            outcome: 'not-applied',
            retryAfterMs: 5,
            hint,
          },
        );
        return true;
      },
    );
  });

  test('a failure that is not ours becomes INTERNAL', async () => {
    const server = await start({
      handlers: { onCall: () => Promise.reject(new TypeError('Broken')) },
    });
    const client = await start();
    await assert.rejects(
      client.transport.call(server.address, clusterRequest(), soon()),
      hasCode('INTERNAL', 'unknown'),
    );
  });
}
