// (test) The safety promises of Raft (paper, figure 3), checked from outside with global knowledge.

import assert from 'node:assert/strict';
import type { EntryId, LogIndex, ReplicaId, Term } from '../../kernel/ids.ts';
import type { Entry, Message, Ready } from './messages.ts';
import { majority } from './quorum.ts';
import type { DiskReplica } from './replica-suite.ts';

interface Seen {
  readonly previousTerm: Term | undefined;
  readonly data: string;
}

export class Promises {
  /** Which life of which replica led a term: one life only, or two logs could claim the same term. */
  readonly #leaders = new Map<Term, string>();
  readonly #entries = new Map<string, Seen>();
  /** Term of each committed entry, by index. */
  readonly #committed = new Map<LogIndex, Term>();
  readonly #commits = new Map<string, LogIndex>();
  readonly #applied = new Map<LogIndex, string>();
  readonly #voters = new Map<string, readonly ReplicaId[]>();
  highestCommit: LogIndex = 0;

  get leaders(): number {
    return this.#leaders.size;
  }

  /** After each step, for the replica that did something; `life` counts its restarts. */
  check(replica: DiskReplica, life: number, all: Iterable<DiskReplica>): void {
    const name = `${replica.id}#${life}`;
    this.#checkCommit(replica, name, all);
    this.#checkLeader(replica, name);
  }

  /** Entries with equal index and term are equal, and so is all before them (log matching). */
  checkReady(replica: DiskReplica, ready: Ready): void {
    for (const entry of ready.entries) this.#checkEntry(replica, entry);
    const stored = ready.entries.at(-1)?.index ?? replica.disk.entries.at(-1)?.index ?? 0;
    const last = ready.committed.at(-1)?.index ?? 0;
    assert.ok(last <= stored, `Replica ${replica.id} applies ${last} but stores ${stored}`);
    for (const message of ready.messages) {
      if (message.type === 'append') {
        for (const entry of message.entries) this.#checkEntry(replica, entry);
      }
    }
    for (const entry of ready.committed) {
      const text = fingerprint(entry);
      assert.equal(this.#applied.get(entry.index) ?? text, text, 'State machine safety is broken');
      this.#applied.set(entry.index, text);
    }
  }

  /** What leaves before the disk is done promises nothing; what leaves after it holds already. */
  checkSent(
    replica: DiskReplica,
    sent: { early: readonly Message[]; late: readonly Message[] },
  ): void {
    for (const { type } of sent.early) {
      assert.ok(type !== 'append-response' && type !== 'vote-response', `${type} left too early`);
    }
    const { hardState, truncated, entries } = replica.disk;
    for (const message of sent.late) {
      assert.ok(message.term <= hardState.term || message.type === 'pre-vote-response');
      if (message.term !== hardState.term) continue;
      if (message.type === 'vote-response' && message.granted) {
        assert.equal(hardState.vote, message.to, 'A vote left that is not on the disk');
      }
      if (message.type === 'append-response' && message.hint === undefined) {
        const last = truncated.index + entries.length;
        assert.ok(message.index <= last, `Acknowledged ${message.index} but stored ${last}`);
      }
    }
  }

  /** A term never falls on the disk, a commit index neither, and a vote never changes. */
  checkDisk(before: DiskReplica['disk'], after: DiskReplica['disk']): void {
    const [old, now] = [before.hardState, after.hardState];
    assert.ok(now.term >= old.term, `Term went back from ${old.term} to ${now.term}`);
    assert.ok(now.commit >= old.commit, `Commit went back from ${old.commit} to ${now.commit}`);
    assert.ok(after.applied >= before.applied, 'Applied index went back');
    assert.ok(after.applied <= now.commit, `Applied ${after.applied} above commit ${now.commit}`);
    if (now.term === old.term && old.vote !== 0) {
      assert.equal(now.vote, old.vote, `Two votes in term ${now.term}`);
    }
  }

  #checkEntry(replica: DiskReplica, entry: Entry): void {
    const key = `${entry.term}/${entry.index}`;
    const seen: Seen = {
      previousTerm: replica.raft.termAt(entry.index - 1),
      data: fingerprint(entry),
    };
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, seen);
      return;
    }
    assert.equal(seen.data, known.data, `Two different entries ${key}`);
    if (seen.previousTerm === undefined || known.previousTerm === undefined) return;
    assert.equal(seen.previousTerm, known.previousTerm, `Different histories before ${key}`);
  }

  #checkCommit(replica: DiskReplica, name: string, all: Iterable<DiskReplica>): void {
    const { commit, truncated, role, conf, term } = replica.raft.status();
    const before = this.#commits.get(name) ?? 0;
    assert.ok(commit >= before, `Commit of ${name} went back from ${before} to ${commit}`);
    this.#commits.set(name, commit);
    for (let index = Math.max(before, truncated.index) + 1; index <= commit; index += 1) {
      const written = replica.raft.termAt(index);
      assert.ok(written !== undefined);
      assert.equal(
        this.#committed.get(index) ?? written,
        written,
        `Entry ${index} committed twice`,
      );
      this.#committed.set(index, written);
    }
    if (role === 'leader' && commit > before && before > 0) {
      // Entries of older terms are never committed by counting (Raft 5.4.2, figure 8).
      assert.equal(replica.raft.termAt(commit), term, `${name} commits an entry of an older term`);
    }
    if (role === 'leader' && commit > this.highestCommit) {
      const entry = { index: commit, term: replica.raft.termAt(commit) ?? 0 };
      const holders = [...all].filter((one) => holdsDurably(one, entry)).map((one) => one.id);
      // One step may commit by the old members and then apply a change to new ones.
      const confs = [this.#voters.get(name) ?? conf.voters, conf.voters];
      assert.ok(
        confs.some((voters) => isMajority(holders, voters)),
        `${name} commits ${commit} that only ${holders} of ${conf.voters} have stored`,
      );
    }
    this.#voters.set(name, conf.voters);
    this.highestCommit = Math.max(this.highestCommit, commit);
  }

  #checkLeader(replica: DiskReplica, name: string): void {
    const { role, term, truncated } = replica.raft.status();
    if (role !== 'leader') return;
    const known = this.#leaders.get(term);
    assert.equal(known ?? name, name, `Two leaders in term ${term}`);
    if (known !== undefined) return;
    this.#leaders.set(term, name);
    for (const [index, committedTerm] of this.#committed) {
      if (index <= truncated.index) continue;
      assert.equal(
        replica.raft.termAt(index),
        committedTerm,
        `Leader ${name} of term ${term} lacks committed entry ${committedTerm}/${index}`,
      );
    }
  }
}

function fingerprint(entry: Entry): string {
  return `${entry.term} ${entry.kind} ${Buffer.from(entry.data).toString('latin1')}`;
}

function holdsDurably(replica: DiskReplica, { index, term }: EntryId): boolean {
  const { truncated, entries } = replica.disk;
  if (index <= truncated.index) return true;
  return entries[index - truncated.index - 1]?.term === term;
}

function isMajority(holders: readonly ReplicaId[], voters: readonly ReplicaId[]): boolean {
  return voters.filter((id) => holders.includes(id)).length >= majority(voters.length);
}
