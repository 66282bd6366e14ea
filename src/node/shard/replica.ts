// One replica of one shard: a Raft core, a state machine, and everybody who waits for them. It does
// no I/O: the store loop feeds it messages, ticks, proposals and reads, collects what they led to
// into the batch of a turn, and calls `finish` once that batch is durable.
//
// Invariants:
// - What is applied, the applied index and the shard's meta are in one batch (lesson 1).
// - A writer is answered only after its entry was committed; a reader only reads what is durable here.
// - While a snapshot is being installed the replica takes part in nothing.

import { assert, must } from '../../kernel/assert.ts';
import { EMPTY } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError, type RouteHint } from '../../kernel/errors.ts';
import {
  type EntryId,
  type LogIndex,
  NO_ID,
  type ReplicaId,
  type ShardId,
} from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type { Message, Ready } from '../raft/messages.ts';
import { type ProposeResult, Raft, type RaftStatus } from '../raft/raft.ts';
import { Applier, type ReplicaMachine } from './applier.ts';
import { encodeCommand, type SplitCommand } from './commands.ts';
import { type ConfChange, encodeConfChange } from './conf-change.ts';
import { compactionPoint, type LogLimits } from './log-compaction.ts';
import { deleteEntries, putEntries, type StoredLog } from './log-store.ts';
import { ProposalQueue } from './proposal-queue.ts';
import { confStateOf, replicaById, type ShardMeta } from './shard-meta.ts';
import { type MetaRecord, putApplyState, putHardState, putMeta } from './shard-records.ts';
import type { Effect, Turn } from './turn.ts';
import { Proposals, ReadWaits, type Waiter } from './waiters.ts';

export interface ReplicaTiming {
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
}

export interface ReplicaOptions {
  /** Absent for a replica that knows its id only, because a message for it came first (d.6, 6). */
  readonly record?: MetaRecord;
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly log: StoredLog;
  /** Builds the state machine over the range and epoch as of the entry being applied. */
  readonly machine: (meta: () => ShardMeta) => ReplicaMachine;
  readonly timing: ReplicaTiming;
  readonly limits: LogLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
}

/** How long after its start a replica is eager to elect. */
const HURRY_MS = 5000;

export class Replica {
  readonly shardId: ShardId;
  readonly replicaId: ReplicaId;
  readonly machine: ReplicaMachine;
  readonly #raft: Raft;
  readonly #applier: Applier;
  readonly #clock: Clock;
  readonly #limits: LogLimits;
  readonly #observer: Observer;
  readonly #queue: ProposalQueue;
  readonly #proposals = new Proposals();
  readonly #reads = new ReadWaits();
  #ready: Ready | undefined;
  #lastOnDisk: LogIndex;
  #truncated: EntryId;
  /** What is on disk of the applied state: what reads and snapshots may rely on. */
  #durable: EntryId;
  #incoming: ShardMeta | undefined;
  /** True while the core does not take reads yet: asking again waits for its next Ready. */
  #readsWait = false;
  #isInstalling = false;
  #isClosed = false;
  #leaderSeen: { readonly leader: ReplicaId; readonly term: number } = { leader: NO_ID, term: 0 };
  #leaderlessSince: number | undefined;
  #hasSeenLeader = false;
  #leaderSince: number;
  readonly #snapshotsSending = new Map<ReplicaId, LogIndex>();

  constructor(options: ReplicaOptions) {
    const { record, log } = options;
    this.shardId = options.shardId;
    this.replicaId = options.replicaId;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#queue = new ProposalQueue(options.limits.uncommittedBytesMax);
    this.#observer = options.observer;
    this.#lastOnDisk = log.entries.at(-1)?.index ?? log.truncated.index;
    this.#truncated = log.truncated;
    this.#durable = log.applied;
    this.#leaderlessSince = options.clock.now();
    this.#leaderSince = options.clock.now();
    const meta = record?.meta ?? emptyMeta(options.shardId);
    this.#raft = new Raft(
      { id: options.replicaId, random: options.random, ...options.timing, limits: options.limits },
      { ...log, conf: confStateOf(meta.replicas), applied: log.applied.index },
    );
    this.#applier = new Applier({
      replicaId: options.replicaId,
      meta,
      raft: this.#raft,
      proposals: this.#proposals,
      applied: log.applied,
      machine: options.machine,
    });
    this.machine = this.#applier.machine;
  }

  get meta(): ShardMeta {
    return this.#applier.meta;
  }

  /** False until the replica knows its range and members. */
  get isInitialised(): boolean {
    return this.meta.replicas.length > 0;
  }

  get isInstalling(): boolean {
    return this.#isInstalling;
  }

  get isLeader(): boolean {
    return this.#raft.role === 'leader';
  }

  /** A leader that has applied an entry of its own term: its state is the newest (Raft 8). */
  get isReadReady(): boolean {
    return this.isLeader && this.#durable.term === this.#raft.term;
  }

  /** The leader as far as this replica knows it, NO_ID when it knows none. */
  get leader(): ReplicaId {
    return this.#raft.leader;
  }

  get term(): number {
    return this.#raft.term;
  }

  /** Everything up to here is applied and on disk. */
  get durable(): EntryId {
    return this.#durable;
  }

  /** When this replica last became leader, or was made: silence of a follower counts from here. */
  get leaderSince(): number {
    return this.#leaderSince;
  }

  get leaderlessMs(): number {
    return this.#leaderlessSince === undefined ? 0 : this.#clock.now() - this.#leaderlessSince;
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  // ---- what happens to the replica -------------------------------------------------------------

  receive(message: Message): void {
    if (!this.#isReplacing) this.#raft.step(message);
  }

  /** The content of this snapshot lies staged; the core decides whether it is wanted. */
  receiveSnapshot(message: Message & { readonly type: 'snapshot' }, meta: ShardMeta): void {
    if (this.#isReplacing) return;
    this.#incoming = meta;
    this.#raft.step(message);
  }

  tick(): void {
    const now = this.#clock.now();
    this.#queue.expire(now);
    this.#proposals.expire(now);
    this.#reads.expire(now);
    if (this.#isInstalling) return;
    this.#raft.tick();
    if (this.#raft.leader === NO_ID) this.#leaderlessSince ??= now;
  }

  /** Queues a command for the next turn. The waiter gets the encoded result of `apply`. */
  propose(bytes: Uint8Array, waiter: Waiter<Uint8Array>): void {
    if (this.#isClosed) {
      waiter.reject(this.notLeader());
      return;
    }
    const waiting = this.#queue.size + this.#proposals.size;
    if (waiting >= this.#limits.proposalsMax || !this.#queue.hasRoomFor(bytes)) {
      waiter.reject(
        new MatrixError('OVERLOADED', `Shard ${this.shardId} has too many writes waiting`),
      );
      return;
    }
    this.#queue.add({ bytes, waiter });
  }

  /** Queues a reader: it is let through once everything committed by now is applied here. */
  read(waiter: Waiter<void>): void {
    if (this.#isClosed) {
      waiter.reject(this.notLeader());
      return;
    }
    if (this.#reads.size >= this.#limits.readsMax) {
      waiter.reject(
        new MatrixError('OVERLOADED', `Shard ${this.shardId} has too many reads waiting`),
      );
      return;
    }
    this.#reads.ask(waiter);
  }

  proposeSplit(command: SplitCommand, waiter: Waiter<Uint8Array>): void {
    this.propose(encodeCommand(command), waiter);
  }

  proposeConf(change: ConfChange): ProposeResult {
    return this.#raft.proposeConf(encodeConfChange(change));
  }

  transferLeader(to: ReplicaId): boolean {
    return this.#raft.transferLeader(to);
  }

  campaign(): void {
    this.#raft.campaign();
  }

  /**
   * Just started and without a leader: whoever is there elects at once instead of after a whole
   * time-out. Pre-vote keeps this from disturbing a leader that is alive.
   */
  hurryFirstElection(): void {
    if (this.#hasSeenLeader || this.leaderlessMs > HURRY_MS) return;
    this.#raft.leaderLost();
  }

  /** The leader's process is gone: no need to wait for the whole time-out. */
  leaderLost(): void {
    this.#raft.leaderLost();
  }

  peerUnreachable(replicaId: ReplicaId): void {
    this.#raft.reportUnreachable(replicaId);
  }

  snapshotStarted(to: ReplicaId): void {
    this.#snapshotsSending.set(to, this.#durable.index);
  }

  snapshotEnded(to: ReplicaId, isDelivered: boolean): void {
    const index = this.#snapshotsSending.get(to) ?? 0;
    this.#snapshotsSending.delete(to);
    this.#raft.reportSnapshot(to, isDelivered ? { ok: true, index } : { ok: false });
  }

  /** Rejects everybody who waits: the replica goes away, or the node stops. It works no more. */
  close(reason: string): void {
    this.#isClosed = true;
    const error = new MatrixError('UNAVAILABLE', reason, { retry: 'elsewhere' });
    for (const { waiter } of this.#queue.take()) waiter.reject(error);
    this.#proposals.abandon({});
    this.#reads.abandon(error);
  }

  // ---- the turn --------------------------------------------------------------------------------

  hasWork(): boolean {
    if (this.#isInstalling || this.#isClosed || this.#applier.isRemoved) return false;
    const canAsk = this.#reads.hasAsked && !this.#readsWait;
    return this.#queue.size > 0 || canAsk || this.#raft.hasReady();
  }

  /** Puts everything that is to become durable into the turn. True when `finish` must follow. */
  collect(turn: Turn): boolean {
    this.#submit();
    this.#noticeLeader(turn);
    if (!this.#raft.hasReady()) return false;
    const ready = this.#raft.ready();
    this.#ready = ready;
    if (ready.hardState !== undefined) putHardState(turn.batch, this.shardId, ready.hardState);
    this.#persistEntries(ready, turn);
    for (const message of ready.messages) turn.send(this.shardId, message);
    for (const to of ready.snapshotsWanted) {
      turn.effect({ type: 'snapshot-wanted', shardId: this.shardId, to });
    }
    if (ready.snapshot !== undefined) {
      this.#beginInstall(ready.snapshot.last, turn);
      return true;
    }
    for (const read of ready.reads) this.#reads.confirm(read.sequence, read.index);
    if (ready.droppedReads.length > 0) this.#reads.abandon(this.notLeader());
    this.#apply(ready, turn);
    return true;
  }

  /** The batch of the turn is on disk. Messages that promise something may leave now. */
  finish(send: (shardId: ShardId, message: Message) => void): void {
    // Whoever was closed while the turn was on its way promises nothing any more.
    if (this.#isInstalling || this.#isClosed) return;
    const ready = must(this.#ready, 'Replica finishes a turn that it took part in');
    this.#ready = undefined;
    this.#durable = this.#applier.applied;
    this.#raft.persisted();
    this.#raft.applied(this.#durable.index);
    for (const message of ready.messagesAfterPersist) send(this.shardId, message);
    this.#reads.serve(this.#durable.index);
  }

  /**
   * The staged snapshot has replaced log and state on disk, and the machine was loaded from it. Ends
   * the turn that began the installation.
   */
  installed(last: EntryId, send: (shardId: ShardId, message: Message) => void): void {
    assert(this.#isInstalling, `Shard ${this.shardId} has no snapshot to finish`);
    this.#isInstalling = false;
    const meta = must(this.#incoming, 'An installed snapshot came with its meta');
    this.#incoming = undefined;
    this.#applier.restart(meta, last);
    this.#truncated = last;
    this.#lastOnDisk = last.index;
    this.finish(send);
  }

  /**
   * From the moment when a snapshot is accepted nothing more is taken in: what a leader appends behind
   * it would be confirmed, and then be cleared with the rest of the old log.
   */
  get #isReplacing(): boolean {
    return this.#isInstalling || this.#raft.hasSnapshot;
  }

  #submit(): void {
    const queue = this.#queue.take();
    if (queue.length > 0) {
      const result = this.#raft.propose(queue.map((proposal) => proposal.bytes));
      if (result.type === 'accepted') {
        const { term, index } = result.first;
        queue.forEach(({ waiter }, offset) => {
          this.#proposals.add({ term, index: index + offset }, waiter);
        });
      } else {
        const error = this.#refusal(result);
        for (const { waiter } of queue) waiter.reject(error);
      }
    }
    if (this.#reads.hasAsked) this.#askReads();
  }

  #askReads(): void {
    const round = this.#raft.readIndex();
    if (round.type === 'accepted') this.#reads.startRound(round.sequence);
    else if (round.type === 'not-leader') this.#reads.abandon(this.notLeader());
    // A new leader is ready as soon as something of its term is committed: that brings another turn.
    this.#readsWait = round.type === 'not-ready';
  }

  #refusal(result: Exclude<ProposeResult, { type: 'accepted' }>): MatrixError {
    if (result.type === 'not-leader') return this.notLeader();
    return new MatrixError('OVERLOADED', `Shard ${this.shardId} takes no writes at the moment`);
  }

  /** The refusal that names the leader, if one is known. */
  notLeader(): MatrixError {
    return new MatrixError(
      'NOT_LEADER',
      `Replica ${this.replicaId} does not lead shard ${this.shardId}`,
      {
        hint: this.#leaderHint(),
      },
    );
  }

  #leaderHint(): RouteHint {
    const leader = replicaById(this.meta, this.#raft.leader);
    if (leader === undefined || leader.replicaId === this.replicaId) return {};
    return {
      leader: { replicaId: leader.replicaId, storeId: leader.storeId, term: this.#raft.term },
    };
  }

  #persistEntries(ready: Ready, turn: Turn): void {
    if (ready.entries.length === 0) return;
    const { entries } = ready;
    putEntries(turn.batch, this.shardId, { entries, lastOnDisk: this.#lastOnDisk });
    this.#lastOnDisk = entries.at(-1)?.index ?? this.#lastOnDisk;
  }

  #apply(ready: Ready, turn: Turn): void {
    const before = this.#truncated;
    if (ready.committed.length > 0) {
      this.#applier.apply(ready.committed, turn);
      if (this.#applier.isRemoved) return;
    }
    this.#compactLog(turn);
    if (ready.committed.length > 0 || before !== this.#truncated) {
      const state = { applied: this.#applier.applied, truncated: this.#truncated };
      putApplyState(turn.batch, this.shardId, state);
    }
  }

  /** Cuts the log below the durable applied index, when it has grown past its window (ADR 0004). */
  #compactLog(turn: Turn): void {
    if (!this.#raft.isLogOver(this.#limits)) return;
    const held = [...this.#snapshotsSending.values()];
    const before = this.#raft.status();
    const to = compactionPoint(before, {
      durable: this.#durable.index,
      held,
      limits: this.#limits,
    });
    if (to === undefined) return;
    const term = must(this.#raft.termAt(to), `Entry ${to} is in the log that is being cut`);
    deleteEntries(turn.batch, this.shardId, { from: this.#truncated.index + 1, to });
    this.#raft.compact(to);
    this.#truncated = { term, index: to };
    const bytes = before.logBytes - this.#raft.status().logBytes;
    turn.effect({ type: 'log-cut', shardId: this.shardId, bytes });
  }

  #beginInstall(last: EntryId, turn: Turn): void {
    const meta = must(this.#incoming, 'An accepted snapshot came with its meta');
    this.#isInstalling = true;
    putMeta(turn.batch, {
      state: 'applying',
      meta,
      replicaId: this.replicaId,
      minReplicaId: this.replicaId,
      ...(this.isInitialised && { replaced: this.meta }),
    });
    const snapshot = { last, conf: confStateOf(meta.replicas) };
    turn.effect({ type: 'install', shardId: this.shardId, snapshot });
  }

  #noticeLeader(turn: Turn): void {
    const { leader, term } = this.#raft;
    const seen = this.#leaderSeen;
    if (seen.leader === leader && seen.term === term) return;
    this.#leaderSeen = { leader, term };
    if (leader === NO_ID) this.#leaderlessSince ??= this.#clock.now();
    else this.#leaderlessSince = undefined;
    if (seen.leader === this.replicaId) {
      this.#proposals.abandon(this.#leaderHint());
      this.#reads.abandon(this.notLeader());
    }
    if (leader === NO_ID) return;
    this.#hasSeenLeader = true;
    if (leader === this.replicaId) this.#leaderSince = this.#clock.now();
    if (leader === this.replicaId || seen.leader === this.replicaId) {
      turn.effect({ type: 'changed', shardId: this.shardId } satisfies Effect);
    }
    this.#observer.log.info({ shard: this.shardId, leader, term }, 'Shard has a leader');
    this.#observer.metrics.count('matrixkv_raft_leader_changes_total');
  }
}

function emptyMeta(id: ShardId): ShardMeta {
  return { id, start: EMPTY, end: EMPTY, epoch: { generation: 0, confVersion: 0 }, replicas: [] };
}
