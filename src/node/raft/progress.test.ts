import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from './messages.ts';
import { Progress } from './progress.ts';

const LIMITS = { inflightMessagesMax: 2, inflightBytesMax: 1000 };

function entries(from: number, count: number, bytes = 0): Entry[] {
  return Array.from({ length: count }, (_, offset) => ({
    term: 1,
    index: from + offset,
    kind: 'normal',
    data: new Uint8Array(bytes),
  }));
}

/** Streams to a follower that has confirmed up to 10. */
function replicating(limits = LIMITS): Progress {
  const progress = new Progress(11, limits);
  progress.accepted(10, 1);
  return progress;
}

test('a new follower is probed once, and again only after a sign of life', () => {
  const progress = new Progress(11, LIMITS);
  assert.ok(progress.wantsAppend(10, 10));
  progress.sent([], 10);
  assert.equal(progress.wantsAppend(12, 10), false);
  progress.heard(12);
  assert.ok(progress.wantsAppend(12, 10));
});

test('an accepted probe turns into a stream behind what was accepted', () => {
  const progress = replicating();
  assert.deepEqual([progress.state, progress.match, progress.next], ['replicate', 10, 11]);
  progress.sent(entries(11, 3), 10);
  assert.equal(progress.next, 14);
});

test('a stream pauses at the limit of messages and goes on when one is answered', () => {
  const progress = replicating();
  progress.sent(entries(11, 1), 10);
  assert.equal(progress.isPaused, false);
  progress.sent(entries(12, 1), 10);
  assert.equal(progress.isPaused, true);
  assert.equal(progress.wantsAppend(13, 10), false);
  progress.accepted(11, 1);
  assert.equal(progress.isPaused, false);
  assert.ok(progress.wantsAppend(13, 10));
});

test('a stream pauses at the limit of bytes', () => {
  const progress = replicating();
  progress.sent(entries(11, 1, 1000), 10);
  assert.equal(progress.isPaused, true);
  progress.accepted(11, 1);
  assert.equal(progress.isPaused, false);
});

test('a paused stream still tells news of the commit index, once', () => {
  const progress = replicating();
  progress.sent(entries(11, 1), 10);
  progress.sent(entries(12, 1), 10);
  assert.ok(progress.wantsAppend(12, 11));
  progress.sent([], 11);
  assert.equal(progress.wantsAppend(12, 11), false);
  // What lies beyond the entries sent could not be used by the follower.
  assert.ok(progress.wantsAppend(20, 15));
  progress.sent([], 15);
  assert.equal(progress.wantsAppend(20, 15), false);
});

test('a sign of life of a follower that lacks something lets one append through', () => {
  const progress = replicating();
  progress.sent(entries(11, 1), 10);
  progress.sent(entries(12, 1), 10);
  progress.heard(12);
  assert.ok(progress.wantsAppend(12, 10));
  progress.sent([], 10);
  assert.equal(progress.wantsAppend(12, 10), false);
});

test('a sign of life of a follower that has everything changes nothing', () => {
  const progress = replicating();
  progress.sent([], 10);
  progress.heard(10);
  assert.equal(progress.wantsAppend(10, 10), false);
});

test('a refusal sends a stream back to probing behind what is confirmed', () => {
  const progress = replicating();
  progress.sent(entries(11, 3), 10);
  progress.refused(13, 12);
  assert.deepEqual([progress.state, progress.next], ['probe', 11]);
});

test('a refusal of what was accepted since is old news', () => {
  const progress = replicating();
  progress.refused(9, 5);
  assert.deepEqual([progress.state, progress.next], ['replicate', 11]);
});

test('a refused probe goes back to where the logs may agree, but not behind what is confirmed', () => {
  const progress = new Progress(20, LIMITS);
  progress.refused(19, 12);
  assert.equal(progress.next, 13);
  progress.refused(19, 3);
  assert.equal(progress.next, 13, 'the answer to an older probe');
  progress.refused(12, 40);
  assert.equal(progress.next, 12, 'always at least one step back');
});

test('the answer that only tells a newer term accepts nothing', () => {
  const progress = new Progress(11, LIMITS);
  progress.accepted(0, 1);
  assert.deepEqual([progress.state, progress.next], ['probe', 11]);
});

test('a follower waits for its snapshot until it has caught up with the log', () => {
  const progress = new Progress(5, LIMITS);
  progress.becomeSnapshot(30);
  assert.equal(progress.wantsAppend(30, 30), false);
  progress.refused(4, 2);
  progress.accepted(10, 20);
  assert.equal(progress.state, 'snapshot', 'entries between 10 and 20 are gone');
  progress.accepted(19, 20);
  assert.deepEqual([progress.state, progress.next], ['replicate', 20]);
});

test('a delivered snapshot is followed up after the next sign of life, a failed one too', () => {
  for (const [index, next] of [
    [30, 31],
    [undefined, 1],
  ] as const) {
    const progress = new Progress(5, LIMITS);
    progress.becomeSnapshot(30);
    progress.snapshotEnded(index);
    assert.deepEqual([progress.state, progress.next, progress.isPaused], ['probe', next, true]);
    progress.heard(30);
    assert.equal(progress.isPaused, false);
  }
});

test('the report of a snapshot that nobody waits for changes nothing', () => {
  const progress = replicating();
  progress.snapshotEnded(undefined);
  assert.equal(progress.state, 'replicate');
});

test('an unreachable follower is probed from what is confirmed', () => {
  const progress = replicating();
  progress.sent(entries(11, 2), 10);
  progress.unreachable();
  assert.deepEqual([progress.state, progress.next], ['probe', 11]);
});
