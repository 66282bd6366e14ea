// Situations as scripts: each file of testdata/ shows one, and says which in its first line. After a
// change of behaviour, `RAFT_REWRITE=1 node --test src/node/raft/raft.golden.test.ts` writes what the
// core does now into the scripts. Read that difference line by line before committing it: a wrong
// trace that is written down as right is worse than none.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GoldenGroup } from './golden-suite.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const isRewriting = process.env['RAFT_REWRITE'] === '1';

/** Lesson 6: of pre-vote and check quorum the whole set of rules, or groups lock themselves up. */
const LESSON_6 = /^(?:prevote|checkquorum|forget_leader|lower_term_prevote|stale_term)/;

for (const name of readdirSync(FOLDER).sort()) {
  test(`${LESSON_6.test(name) ? 'lesson 6: ' : ''}${name} goes as written`, () => {
    const path = join(FOLDER, name);
    const expected = readFileSync(path, 'utf8');
    assert.match(expected, /^# [A-Z]/, 'A script begins with what it shows');
    const actual = replay(expected);
    if (isRewriting) writeFileSync(path, actual);
    else assert.equal(actual, expected);
  });
}

test('there are scripts', () => {
  assert.ok(readdirSync(FOLDER).length >= 28);
});

/** The script with the output that its commands give now. */
function replay(script: string): string {
  const group = new GoldenGroup();
  const blocks = script.trimEnd().split(/\n{2,}/);
  return `${blocks.map((block) => replayBlock(group, block)).join('\n\n')}\n`;
}

function replayBlock(group: GoldenGroup, block: string): string {
  const lines = block.split('\n');
  const end = lines.indexOf('----');
  const input = end < 0 ? lines : lines.slice(0, end);
  const commands = input.filter((line) => !line.startsWith('#'));
  if (commands.length === 0) return block;
  return [...input, '----', ...group.run(commands)].join('\n');
}
