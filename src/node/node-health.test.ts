import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeHealth } from './node-health.ts';

function problemsOf(health: NodeHealth): string[] {
  const { checks } = health.report();
  return checks.filter(({ problem }) => problem !== '').map(({ name }) => name);
}

test('a node with both roles is ready once it is open, registered and voting', () => {
  const health = new NodeHealth({ isProphet: true, isData: true });
  assert.deepEqual(problemsOf(health), ['storage', 'store', 'prophet']);
  health.opened();
  assert.deepEqual(problemsOf(health), ['store', 'prophet']);
  health.votes();
  assert.deepEqual(problemsOf(health), ['store']);
  health.registered();
  assert.deepEqual(problemsOf(health), []);
  health.stopping();
  assert.deepEqual(problemsOf(health), ['stopping']);
});

test('a node is held to the roles that it has', () => {
  const prophet = new NodeHealth({ isProphet: true, isData: false });
  prophet.opened();
  assert.deepEqual(problemsOf(prophet), ['prophet']);
  const data = new NodeHealth({ isProphet: false, isData: true });
  data.opened();
  assert.deepEqual(problemsOf(data), ['store']);
});

test('a node is live whatever it waits for', () => {
  const health = new NodeHealth({ isProphet: true, isData: true });
  assert.equal(health.report().isLive, true);
  health.stopping();
  assert.equal(health.report().isLive, true);
});
