import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { METRICS } from './metrics.ts';

function usedNames(): Set<string> {
  const files = globSync('src/node/**/*.ts', {
    exclude: (path) => /\.test\.ts$|-suite\.ts$|metrics\.ts$/.test(path),
  });
  const names = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/'(matrixkv_[a-z0-9_]+)'/g)].map(
      (match) => match[1] ?? '',
    ),
  );
  return new Set(names);
}

test('the table holds exactly the metrics that the code sets', () => {
  const used = usedNames();
  assert.ok(used.size > 0);
  assert.deepEqual([...used].sort(), Object.keys(METRICS).sort());
});
