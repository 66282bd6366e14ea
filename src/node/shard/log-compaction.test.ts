import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ProgressStatus } from '../raft/progress.ts';
import type { RaftStatus } from '../raft/raft.ts';
import { type CompactionInput, compactionPoint, type LogLimits } from './log-compaction.ts';

const LIMITS: LogLimits = {
  messageBytesMax: 1000,
  inflightMessagesMax: 4,
  inflightBytesMax: 1000,
  uncommittedBytesMax: 1000,
  applyBytesMax: 1000,
  logEntriesMax: 100,
  logBytesMax: 10_000,
  cutEntriesMax: 1000,
  proposalsMax: 10,
  readsMax: 10,
};

interface Situation {
  readonly truncated: number;
  readonly last: number;
  readonly bytes?: number;
  readonly matches?: readonly (Partial<ProgressStatus> & { readonly match: number })[];
}

function statusOf(one: Situation): RaftStatus {
  const progress = one.matches?.map((status, at): [number, ProgressStatus] => [
    at + 2,
    { state: 'replicate', isRecentlyActive: true, ...status } as ProgressStatus,
  ]);
  return {
    id: 1,
    role: progress === undefined ? 'follower' : 'leader',
    term: 1,
    vote: 1,
    leader: 1,
    conf: { voters: [1], learners: [] },
    commit: one.last,
    applied: one.last,
    truncated: { term: 1, index: one.truncated },
    firstIndex: one.truncated + 1,
    lastIndex: one.last,
    logBytes: one.bytes ?? one.last - one.truncated,
    ...(progress !== undefined && { progress: new Map(progress) }),
    leaderTransferee: 0,
    pendingConf: false,
    isReadReady: true,
  };
}

function pointOf(one: Situation, input: Partial<CompactionInput> = {}): number | undefined {
  return compactionPoint(statusOf(one), { durable: one.last, held: [], limits: LIMITS, ...input });
}

test('a long log is cut to half of its window', () => {
  assert.equal(pointOf({ truncated: 0, last: 101 }), 51);
  assert.equal(pointOf({ truncated: 1000, last: 1200 }), 1150);
});

test('a log of large entries is cut by its bytes', () => {
  // Entries of 1000 bytes: ten of them fill the window.
  assert.equal(pointOf({ truncated: 0, last: 20, bytes: 20_000 }), 15);
  assert.equal(pointOf({ truncated: 0, last: 2, bytes: 2_000_000 }), 2, 'larger than the window');
});

test('an empty log and one within half of its window are left alone', () => {
  assert.equal(pointOf({ truncated: 7, last: 7, bytes: 0 }), undefined);
  assert.equal(pointOf({ truncated: 60, last: 101 }), undefined);
});

test('what a live follower still needs is kept, what a silent one needs is not', () => {
  const matches = [{ match: 101 }, { match: 20 }];
  assert.equal(pointOf({ truncated: 0, last: 101, matches }), 20);
  const silent = [{ match: 101 }, { match: 20, isRecentlyActive: false }];
  assert.equal(pointOf({ truncated: 0, last: 101, matches: silent }), 51);
  const waiting = [{ match: 101 }, { match: 20, state: 'snapshot' as const }];
  assert.equal(pointOf({ truncated: 0, last: 101, matches: waiting }), 51);
  assert.equal(pointOf({ truncated: 20, last: 121, matches: [{ match: 20 }] }), undefined);
});

test('lesson 20: the log stays behind a snapshot that is on its way', () => {
  assert.equal(pointOf({ truncated: 0, last: 101 }, { held: [30, 40] }), 30);
  assert.equal(pointOf({ truncated: 30, last: 131 }, { held: [30] }), undefined);
});

test('beyond four windows nobody is waited for', () => {
  assert.equal(pointOf({ truncated: 0, last: 400, matches: [{ match: 0 }] }), undefined);
  assert.equal(pointOf({ truncated: 0, last: 450, matches: [{ match: 0 }] }), 50);
  assert.equal(pointOf({ truncated: 0, last: 450 }, { held: [0] }), 50);
});

test('one turn removes a bounded number of entries', () => {
  const limits = { ...LIMITS, cutEntriesMax: 10 };
  assert.equal(pointOf({ truncated: 5, last: 500 }, { limits }), 15);
});

test('compactionPoint() never goes above what is durable, nor below what is cut', () => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.nat(1000),
      fc.nat(100_000),
      fc.nat(1000),
      fc.array(fc.nat(2000), { maxLength: 3 }),
      fc.array(fc.nat(2000), { maxLength: 3 }),
      (truncated, length, bytes, applied, matches, held) => {
        const last = truncated + length;
        const durable = truncated + Math.min(applied, length);
        const situation = { truncated, last, bytes, matches: matches.map((match) => ({ match })) };
        const to = pointOf(situation, { durable, held });
        if (to === undefined) return;
        assert.ok(to > truncated && to <= durable && Number.isInteger(to), `${to}`);
      },
    ),
    { numRuns: 1000 },
  );
});
