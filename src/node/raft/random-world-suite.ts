// (test) A group of replicas whose every step is drawn from a seed, with the promises checked on the way.

import assert from 'node:assert/strict';
import { utf8 } from '../../kernel/bytes.ts';
import type { LogIndex, ReplicaId } from '../../kernel/ids.ts';
import { chance, SeededRandom } from '../../kernel/random.ts';
import type { Message } from './messages.ts';
import { Promises } from './promises-suite.ts';
import { confEntry, DiskReplica, freshGroup, LIMITS, NOTHING } from './replica-suite.ts';

const REPLICAS_MAX = 7;
const MESSAGES_MAX = 40;

export class RandomWorld {
  readonly counts = { committed: 0, leaders: 0, reads: 0, snapshots: 0, changes: 0 };
  readonly #random: SeededRandom;
  readonly #promises = new Promises();
  readonly #replicas = new Map<ReplicaId, DiskReplica>();
  readonly #lives = new Map<ReplicaId, number>();
  readonly #cut = new Set<string>();
  /** Per life and read number: the highest commit index anywhere when it was last asked for. */
  readonly #floors = new Map<string, LogIndex>();
  #network: Message[] = [];
  #isKind = false;
  #proposals = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    const size = 1 + this.#random.below(4);
    const voters = Array.from({ length: size }, (_, position) => position + 1);
    for (const id of voters) this.#add(id, freshGroup(voters));
  }

  step(): void {
    const replica = this.#pick();
    const dice = this.#random.below(100);
    if (dice < 10) replica.raft.tick();
    else if (dice < 46) this.#deliver();
    else if (dice < 65) this.#begin(replica);
    else if (dice < 85) this.#finish(replica);
    else if (dice < 91) this.#propose(replica);
    else if (dice < 97) this.#read(replica);
    else this.#misfortune(replica);
    this.#checkAll();
  }

  /** The world turns kind: everything is delivered, and the group has to come to agree. */
  heal(): void {
    this.#isKind = true;
    this.#cut.clear();
    for (let round = 0; round < 600; round += 1) {
      for (const replica of this.#replicas.values()) {
        replica.raft.tick();
        this.#settle(replica);
      }
      for (const message of this.#network.splice(0)) this.#hand(message);
      this.#checkAll();
      if (round === 400) this.#proposeToLeader();
      if (round > 420 && this.#agrees()) break;
    }
    this.counts.committed = this.#promises.highestCommit;
    this.counts.leaders = this.#promises.leaders;
    assert.ok(this.#agrees(), `The group does not agree again: ${this.fingerprint()}`);
  }

  fingerprint(): string {
    return [...this.#replicas.values()]
      .map(({ raft }) => raft.status())
      .map((s) => `${s.id}:${s.role} ${s.term}/${s.lastIndex} ${s.commit} ${s.conf.voters}`)
      .join('; ');
  }

  #misfortune(replica: DiskReplica): void {
    const { raft } = replica;
    const { role, applied } = raft.status();
    const other = this.#pick();
    const dice = this.#random.below(12);
    if (dice === 0) this.#crash(replica);
    else if (dice === 1) this.#toggleLink(replica.id, other.id);
    else if (dice === 2) replica.compact(this.#random.below(applied + 1));
    else if (dice === 3 && role === 'leader') raft.transferLeader(other.id);
    else if (dice === 4) raft.leaderLost();
    else if (dice === 5) raft.reportUnreachable(other.id);
    else if (dice === 6 && chance(this.#random, 1, 10)) raft.campaign();
    else if (dice === 7) this.#cut.clear();
    else if (dice === 8) this.#isolate(replica.id);
    else if (dice === 9) this.#pause(replica);
    else if (dice > 9) this.#changeMembers(replica);
  }

  #isolate(id: ReplicaId): void {
    for (const other of this.#replicas.keys()) {
      this.#cut.add(`${id}-${other}`);
      this.#cut.add(`${other}-${id}`);
    }
  }

  /** Time goes on for all others, as if this process had been stopped. */
  #pause(paused: DiskReplica): void {
    for (const replica of this.#replicas.values()) {
      for (let tick = 0; replica !== paused && tick < 15; tick += 1) replica.raft.tick();
    }
  }

  #add(id: ReplicaId, state: typeof NOTHING): void {
    const options = {
      id,
      random: new SeededRandom(this.#random.below(1_000_000)),
      electionTicks: 10,
      heartbeatTicks: 2,
      limits: { ...LIMITS, messageBytesMax: 100, inflightMessagesMax: 3, applyBytesMax: 150 },
    };
    this.#replicas.set(id, new DiskReplica(options, state));
    this.#lives.set(id, 1);
  }

  #pick(): DiskReplica {
    const all = [...this.#replicas.values()];
    const replica = all[this.#random.below(all.length)];
    assert.ok(replica !== undefined);
    return replica;
  }

  #life(id: ReplicaId): number {
    return this.#lives.get(id) ?? 0;
  }

  #checkAll(): void {
    const all = [...this.#replicas.values()];
    for (const replica of all) this.#promises.check(replica, this.#life(replica.id), all);
  }

  #begin(replica: DiskReplica): void {
    if (replica.isWriting || !replica.raft.hasReady()) return;
    const ready = replica.begin();
    this.#promises.checkReady(replica, ready);
    this.#promises.checkSent(replica, { early: ready.messages, late: [] });
    this.#send(ready.messages);
    this.counts.changes += ready.committed.filter((entry) => entry.kind === 'conf').length;
    if (ready.snapshot !== undefined) this.counts.snapshots += 1;
    for (const { sequence, index } of ready.reads) {
      const floor = this.#floors.get(this.#readKey(replica.id, sequence));
      assert.ok(floor !== undefined, `Read ${sequence} was never asked for`);
      assert.ok(index >= floor, `Read at ${index} misses what was committed up to ${floor}`);
      this.counts.reads += 1;
    }
    for (const id of ready.snapshotsWanted) this.#stream(replica, id);
  }

  #finish(replica: DiskReplica): void {
    if (!replica.isWriting) return;
    const before = replica.disk;
    const messages = replica.finish();
    this.#promises.checkDisk(before, replica.disk);
    this.#promises.checkSent(replica, { early: [], late: messages });
    this.#send(messages);
  }

  #settle(replica: DiskReplica): void {
    this.#finish(replica);
    while (replica.raft.hasReady()) {
      this.#begin(replica);
      this.#finish(replica);
    }
  }

  #crash(replica: DiskReplica): void {
    const before = replica.disk;
    replica.crash(chance(this.#random, 1, 2));
    this.#promises.checkDisk(before, replica.disk);
    this.#lives.set(replica.id, this.#life(replica.id) + 1);
  }

  /** What was applied is the same everywhere, so the applied index stands for the content. */
  #stream(leader: DiskReplica, to: ReplicaId): void {
    if (!this.#isKind && chance(this.#random, 1, 4)) {
      leader.raft.reportSnapshot(to, { ok: false });
      return;
    }
    const { applied, term } = leader.raft.status();
    const last = { term: leader.raft.termAt(applied) ?? 0, index: applied };
    const { conf } = leader.raft.status();
    const snapshot = { last, conf };
    this.#send([{ type: 'snapshot', from: leader.id, to, term, snapshot }]);
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.#network.length >= MESSAGES_MAX && !this.#isKind) this.#lose(this.#network.shift());
      this.#network.push(message);
    }
  }

  #deliver(): void {
    const position = this.#random.below(this.#network.length + 1);
    const message = this.#network[position];
    if (message === undefined) return;
    if (!chance(this.#random, 1, 12)) this.#network.splice(position, 1);
    const isCut = this.#cut.has(`${message.from}-${message.to}`);
    if (isCut || chance(this.#random, 1, 12)) this.#lose(message);
    else this.#hand(message);
  }

  /** Losses go unnoticed, except that the owner of a snapshot stream sees it break. */
  #lose(message: Message | undefined): void {
    if (message?.type !== 'snapshot') return;
    this.#replicas.get(message.from)?.raft.reportSnapshot(message.to, { ok: false });
  }

  #hand(message: Message): void {
    const receiver = this.#replicas.get(message.to);
    if (receiver === undefined) return;
    receiver.raft.step(message);
    if (message.type !== 'snapshot') return;
    const { index } = message.snapshot.last;
    this.#replicas.get(message.from)?.raft.reportSnapshot(message.to, { ok: true, index });
  }

  #toggleLink(from: ReplicaId, to: ReplicaId): void {
    const link = `${from}-${to}`;
    if (!this.#cut.delete(link)) this.#cut.add(link);
  }

  #propose(replica: DiskReplica): void {
    this.#proposals += 1;
    replica.raft.propose([utf8(`value ${this.#proposals}`)]);
  }

  #proposeToLeader(): void {
    for (const replica of this.#replicas.values()) this.#propose(replica);
  }

  #read(replica: DiskReplica): void {
    const result = replica.raft.readIndex();
    if (result.type !== 'accepted') return;
    const key = this.#readKey(replica.id, result.sequence);
    this.#floors.set(key, this.#promises.highestCommit);
  }

  #readKey(id: ReplicaId, sequence: number): string {
    return `${id}#${this.#life(id)} ${sequence}`;
  }

  #changeMembers(replica: DiskReplica): void {
    const { role, conf } = replica.raft.status();
    if (role !== 'leader') return;
    const members = [...conf.voters, ...conf.learners];
    const fresh = this.#replicas.size + 1;
    const isGrowing = members.length < 3 || chance(this.#random, 1, 2);
    if (isGrowing && conf.learners[0] !== undefined) {
      replica.raft.proposeConf(confEntry('promote', conf.learners[0]));
    } else if (isGrowing && fresh <= REPLICAS_MAX) {
      if (replica.raft.proposeConf(confEntry('add', fresh)).type === 'accepted') {
        this.#add(fresh, NOTHING);
      }
    } else {
      const gone = members[this.#random.below(members.length)] ?? 0;
      // See Raft.proposeConf: of two voters none may be removed while nobody repairs the group.
      if (conf.voters.length <= 2 && conf.voters.includes(gone)) return;
      replica.raft.proposeConf(confEntry('remove', gone));
    }
  }

  /** One leader, whose members have all applied all it has. */
  #agrees(): boolean {
    const statuses = [...this.#replicas.values()].map(({ raft }) => raft.status());
    const terms = statuses.filter(({ role }) => role === 'leader').map(({ term }) => term);
    const leader = statuses.find(
      ({ role, term }) => role === 'leader' && term === Math.max(...terms),
    );
    if (leader === undefined || leader.applied !== leader.lastIndex) return false;
    const members = [...leader.conf.voters, ...leader.conf.learners];
    return statuses
      .filter(({ id }) => members.includes(id))
      .every(({ applied }) => applied === leader.applied);
  }
}
