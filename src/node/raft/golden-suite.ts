// (test) The language of the golden scripts: a small group on simulated disks, driven by commands, that
// says what it does. A script is a comment, then blocks of commands, `----`, and the expected output.
// Nothing happens by itself: messages wait until they are delivered, Readys until they are written.

import { assert, must } from '../../kernel/assert.ts';
import { utf8 } from '../../kernel/bytes.ts';
import type { ReplicaId } from '../../kernel/ids.ts';
import { SeededRandom } from '../../kernel/random.ts';
import type { RaftLimits, RaftOptions } from './core.ts';
import { describeConf, describeEntry, describeMessage, describeReady } from './describe.ts';
import type { RaftState } from './durable-state.ts';
import type { Message } from './messages.ts';
import { DiskReplica, LIMITS, NOTHING } from './replica-suite.ts';

const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
const SETTLE_ROUNDS_MAX = 100;

/** One command: its name, its plain words, and its `name=value` words. */
interface Command {
  readonly name: string;
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

type Action = (command: Command) => void;

export class GoldenGroup {
  readonly #replicas = new Map<ReplicaId, DiskReplica>();
  readonly #actions: ReadonlyMap<string, Action>;
  #network: Message[] = [];
  #output: string[] = [];
  #isQuiet = false;
  /** The last said role of each replica, so that changes are told once. */
  readonly #roles = new Map<ReplicaId, string>();

  constructor() {
    this.#actions = new Map([...this.#worldActions(), ...this.#replicaActions()]);
  }

  /** Runs the lines of one block and gives what they said. */
  run(lines: readonly string[]): string[] {
    for (const line of lines) {
      const command = parse(line);
      const action = must(this.#actions.get(command.name), `Unknown command ${line}`);
      action(command);
      this.#sayRoles();
    }
    const output = this.#output.length > 0 ? this.#output : ['ok'];
    this.#output = [];
    return output;
  }

  #worldActions(): [string, Action][] {
    return [
      ['group', (command) => this.#start(command)],
      ['outsider', ({ words }) => this.#add(toId(words[0]), NOTHING, LIMITS)],
      ['quiet', () => this.#setQuiet(true)],
      ['loud', () => this.#setQuiet(false)],
      ['deliver', (command) => this.#deliver(command)],
      ['drop', (command) => this.#drop(command)],
      ['settle', ({ words }) => this.#settle(words.map(toId))],
      ['status', (command) => this.#each(command, (one) => this.#status(one))],
      ['log', (command) => this.#each(command, (one) => this.#log(one))],
    ];
  }

  #replicaActions(): [string, Action][] {
    return [
      ['begin', (command) => this.#begin(this.#first(command))],
      ['finish', (command) => this.#finish(this.#first(command))],
      ['write', (command) => this.#each(command, (one) => this.#write(one))],
      ['crash', (command) => this.#crash(command)],
      ['campaign', (command) => this.#first(command).raft.campaign()],
      ['tick', (command) => this.#tick(command)],
      ['heartbeat', (command) => this.#ticks(this.#first(command), HEARTBEAT_TICKS)],
      ['expire', (command) => this.#expire(this.#first(command))],
      ['propose', (command) => this.#propose(command)],
      ['change', (command) => this.#change(command)],
      ['read', (command) => this.#read(this.#first(command))],
      ['lost', (command) => this.#first(command).raft.leaderLost()],
      ['compact', (command) => this.#first(command).compact(this.#second(command))],
      ['transfer', (command) => this.#transfer(command)],
      [
        'unreachable',
        (command) => this.#first(command).raft.reportUnreachable(this.#second(command)),
      ],
      ['stream', (command) => this.#stream(command)],
      ['streamed', (command) => this.#streamed(command)],
    ];
  }

  /** `group voters=1,2,3 learners=4 at=1/10 inflight=2 bytes=50`: replicas that begin alike. */
  #start({ options }: Command): void {
    const [term, index] = (options.get('at') ?? '1/10').split('/').map(Number);
    const truncated = { term: term ?? 0, index: index ?? 0 };
    const conf = { voters: toIds(options.get('voters')), learners: toIds(options.get('learners')) };
    const hardState = { term: truncated.term, vote: 0, commit: truncated.index };
    const limits: RaftLimits = {
      ...LIMITS,
      inflightMessagesMax: Number(options.get('inflight') ?? LIMITS.inflightMessagesMax),
      messageBytesMax: Number(options.get('message-bytes') ?? LIMITS.messageBytesMax),
      applyBytesMax: Number(options.get('apply-bytes') ?? LIMITS.applyBytesMax),
      uncommittedBytesMax: Number(options.get('uncommitted') ?? LIMITS.uncommittedBytesMax),
    };
    const only = options.get('only');
    const ids = only === undefined ? [...conf.voters, ...conf.learners] : toIds(only);
    const state = { hardState, conf, truncated, entries: [], applied: truncated.index };
    for (const id of ids) this.#add(id, state, limits);
  }

  #add(id: ReplicaId, state: RaftState, limits: RaftLimits): void {
    const options: RaftOptions = {
      id,
      random: new SeededRandom(id),
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      limits,
    };
    this.#replicas.set(id, new DiskReplica(options, state));
    this.#roles.set(id, this.#role(id));
  }

  #setQuiet(isQuiet: boolean): void {
    this.#isQuiet = isQuiet;
  }

  #say(id: ReplicaId, text: string): void {
    if (!this.#isQuiet) this.#output.push(`${id}: ${text}`);
  }

  #sayRoles(): void {
    for (const id of this.#replicas.keys()) {
      const role = this.#role(id);
      if (this.#roles.get(id) !== role) this.#say(id, `is now ${role}`);
      this.#roles.set(id, role);
    }
  }

  #role(id: ReplicaId): string {
    const { role, term, leader } = this.#replica(id).raft.status();
    if (role !== 'follower') return `${role} of term ${term}`;
    return leader === 0
      ? `follower of nobody in term ${term}`
      : `follower of ${leader} in term ${term}`;
  }

  #replica(id: ReplicaId): DiskReplica {
    return must(this.#replicas.get(id), `There is no replica ${id}`);
  }

  #first({ words }: Command): DiskReplica {
    return this.#replica(toId(words[0]));
  }

  #second({ words }: Command): number {
    return toId(words[1]);
  }

  #chosen(words: readonly string[]): DiskReplica[] {
    const ids = words.length > 0 ? words.map(toId) : [...this.#replicas.keys()];
    return ids.map((id) => this.#replica(id));
  }

  #each({ words }: Command, action: (replica: DiskReplica) => void): void {
    for (const replica of this.#chosen(words)) action(replica);
  }

  #begin(replica: DiskReplica): void {
    if (!replica.raft.hasReady()) {
      this.#say(replica.id, 'nothing to do');
      return;
    }
    const ready = replica.begin();
    for (const line of describeReady(ready)) this.#say(replica.id, line);
    this.#network.push(...ready.messages);
  }

  #finish(replica: DiskReplica): void {
    const before = describeConf(replica.raft.status().conf);
    this.#network.push(...replica.finish());
    const after = describeConf(replica.raft.status().conf);
    if (before !== after) this.#say(replica.id, `members ${after}`);
  }

  #write(replica: DiskReplica): void {
    this.#begin(replica);
    if (replica.isWriting) this.#finish(replica);
    this.#sayRoles();
  }

  /** `crash 1` loses the write under way, `crash 1 landed` does not. */
  #crash(command: Command): void {
    const replica = this.#first(command);
    replica.crash(command.words[1] === 'landed');
    this.#network = this.#network.filter((message) => message.to !== replica.id);
  }

  #matches(message: Message, { words, options }: Command): boolean {
    const ids = words.map(toId);
    const from = options.get('from');
    const type = options.get('type');
    return (
      (ids.length === 0 || ids.includes(message.to)) &&
      (from === undefined || toId(from) === message.from) &&
      (type === undefined || type === message.type)
    );
  }

  #take(command: Command): Message[] {
    const taken = this.#network.filter((message) => this.#matches(message, command));
    this.#network = this.#network.filter((message) => !taken.includes(message));
    return taken;
  }

  /** `deliver 2 3 from=1 type=append`: what waits for these replicas, in the order of sending. */
  #deliver(command: Command): void {
    for (const message of this.#take(command)) {
      this.#say(message.to, `receives ${describeMessage(message)}`);
      this.#replicas.get(message.to)?.raft.step(message);
      this.#sayRoles();
    }
  }

  #drop(command: Command): void {
    for (const message of this.#take(command)) {
      this.#say(message.to, `never receives ${describeMessage(message)}`);
    }
  }

  /** Delivers and writes until nothing is left to do for these replicas. */
  #settle(ids: readonly ReplicaId[]): void {
    const replicas = this.#chosen(ids.map(String));
    for (let round = 0; round < SETTLE_ROUNDS_MAX; round += 1) {
      const words = replicas.map(({ id }) => String(id));
      const hasMail = this.#network.some(({ to }) => words.includes(String(to)));
      const writers = replicas.filter(({ raft }) => raft.hasReady());
      if (!hasMail && writers.length === 0) return;
      for (const replica of writers) this.#write(replica);
      for (const word of words)
        this.#deliver({ name: 'deliver', words: [word], options: new Map() });
    }
    throw new Error('The group does not settle');
  }

  #tick(command: Command): void {
    this.#ticks(this.#first(command), Number(command.words[1] ?? 1));
  }

  #ticks(replica: DiskReplica, count: number): void {
    for (let tick = 0; tick < count; tick += 1) replica.raft.tick();
  }

  /** Ticks until the replica loses patience, for at most the longest time-out. */
  #expire(replica: DiskReplica): void {
    const before = replica.raft.status().role;
    for (let tick = 0; tick < 2 * ELECTION_TICKS; tick += 1) {
      replica.raft.tick();
      if (replica.raft.status().role !== before) return;
    }
    this.#say(replica.id, 'stays as it is');
  }

  #propose(command: Command): void {
    const replica = this.#first(command);
    for (const word of command.words.slice(1)) {
      this.#sayResult(replica.id, replica.raft.propose([utf8(word)]));
    }
  }

  #change(command: Command): void {
    const replica = this.#first(command);
    const data = utf8(command.words.slice(1).join(' '));
    this.#sayResult(replica.id, replica.raft.proposeConf(data));
  }

  #sayResult(id: ReplicaId, result: ReturnType<DiskReplica['raft']['propose']>): void {
    if (result.type === 'busy') this.#say(id, 'refuses: busy');
    if (result.type === 'not-leader') this.#say(id, `refuses: the leader is ${result.leader}`);
  }

  #read(replica: DiskReplica): void {
    const result = replica.raft.readIndex();
    if (result.type === 'accepted') this.#say(replica.id, `read ${result.sequence} begins`);
    else this.#say(replica.id, `refuses to read: ${result.type}`);
  }

  #transfer(command: Command): void {
    const isAccepted = this.#first(command).raft.transferLeader(this.#second(command));
    if (!isAccepted) this.#say(this.#first(command).id, 'refuses to hand over');
  }

  /** `stream 1 3`: replica 1 sends a snapshot of what it has applied. */
  #stream(command: Command): void {
    const { id, raft } = this.#first(command);
    const { term, applied, conf } = raft.status();
    const last = { term: raft.termAt(applied) ?? 0, index: applied };
    const to = this.#second(command);
    this.#network.push({ type: 'snapshot', from: id, to, term, snapshot: { last, conf } });
  }

  /** `streamed 1 3 12`: replica 1 learns that 3 has its snapshot of 12; without a number it failed. */
  #streamed(command: Command): void {
    const index = command.words[2];
    const result =
      index === undefined
        ? ({ ok: false } as const)
        : ({ ok: true, index: Number(index) } as const);
    this.#first(command).raft.reportSnapshot(this.#second(command), result);
  }

  #status({ id, raft }: DiskReplica): void {
    const status = raft.status();
    const { commit, applied, firstIndex, lastIndex } = status;
    this.#output.push(
      `${id}: ${this.#role(id)}, log ${firstIndex}..${lastIndex} commit=${commit} applied=${applied} ${describeConf(status.conf)}`,
    );
    for (const [peer, progress] of status.progress ?? []) {
      const { state, match, next, isPaused, isRecentlyActive, inflightMessages } = progress;
      const flags = `${isPaused ? ' paused' : ''}${isRecentlyActive ? '' : ' inactive'}`;
      this.#output.push(
        `   ${peer}: ${state} match=${match} next=${next} inflight=${inflightMessages}${flags}`,
      );
    }
  }

  #log({ id, disk }: DiskReplica): void {
    this.#output.push(
      `${id}: disk holds ${disk.entries.map(describeEntry).join(', ') || 'nothing'}`,
    );
  }
}

function parse(line: string): Command {
  const [name, ...rest] = line.split(/\s+/);
  assert(name !== undefined && name !== '', 'A command has a name');
  const isOption = (word: string): boolean => /^[a-z-]+=/.test(word);
  const options = rest.filter(isOption).map((word) => {
    const at = word.indexOf('=');
    return [word.slice(0, at), word.slice(at + 1)] as const;
  });
  return { name, words: rest.filter((word) => !isOption(word)), options: new Map(options) };
}

function toId(word: string | undefined): ReplicaId {
  const id = Number(word);
  assert(Number.isSafeInteger(id), `${word} is not a number`);
  return id;
}

function toIds(list: string | undefined): ReplicaId[] {
  return list === undefined || list === '' ? [] : list.split(',').map(toId);
}
