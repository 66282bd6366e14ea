import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from './memory-services-suite.ts';

test('livez and readyz say why not, and with verbose also what is well', async () => {
  const { fetch, admin } = await startTestServer();
  assert.equal(await (await fetch('/livez')).text(), 'livez ok\n');
  assert.equal(
    await (await fetch('/readyz?verbose')).text(),
    'readyz ok\n[+] storage ok\n[+] registered ok\n',
  );
  admin.healthNow = {
    isLive: true,
    isReady: false,
    checks: [
      { name: 'storage', problem: '' },
      { name: 'registered', problem: 'Prophet does not answer' },
    ],
  };
  const ready = await fetch('/readyz');
  assert.equal(ready.status, 503);
  assert.equal(await ready.text(), 'readyz failed\n[-] registered: Prophet does not answer\n');
  const live = await fetch('/livez');
  assert.equal(live.status, 200);
});

test('probes answer unknown parameters and HEAD as well', async () => {
  const { fetch } = await startTestServer();
  assert.equal((await fetch('/livez?exclude=etcd')).status, 200);
  assert.equal((await fetch('/readyz', { method: 'HEAD' })).status, 200);
});

test('metrics come as they are', async () => {
  const { fetch } = await startTestServer();
  const metrics = await fetch('/metrics');
  assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4');
  assert.equal(await metrics.text(), 'up 1\n');
});
