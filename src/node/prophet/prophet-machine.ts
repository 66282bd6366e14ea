// Prophet's replicated knowledge: which stores exist, which shards there are, which ids were handed
// out. What changes by the second (heartbeats, sizes, operators) is not in here: a new leader learns
// it anew. See d.10.
//
// Invariants: every record in memory is the record on disk; `nextId` never falls and is above every
// id that is known; the epoch of a shard never falls; a removed store stays removed.

import { unreachable } from '../../kernel/assert.ts';
import { DecodeError } from '../../kernel/byte-codec.ts';
import type { KeyRange } from '../../kernel/bytes.ts';
import { equalBytes, view } from '../../kernel/bytes.ts';
import type { EntryId, ShardId, StoreId } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { isNewerEpoch } from '../shard/shard-meta.ts';
import type { ApplyBatch, StateMachine, StateReader } from '../shard/state-machine.ts';
import type { CommandOf, ProphetState, Refusal } from './command-checks.ts';
import {
  checkBootstrap,
  checkRegistration,
  checkShard,
  checkStateChange,
} from './command-checks.ts';
import type { Answer, Command } from './commands.ts';
import { decodeCommand, encodeAnswer } from './commands.ts';
import { initialShards } from './initial-shards.ts';
import { LIMITS } from './prophet-config.ts';
import type { ClusterRecord, StoreRecord } from './records.ts';
import * as records from './records.ts';

export class ProphetMachine implements StateMachine {
  #cluster: ClusterRecord = records.FIRST_CLUSTER;
  readonly #stores = new Map<StoreId, StoreRecord>();
  readonly #shards = new Map<ShardId, ShardMeta>();
  readonly #members = new Map<string, Uint8Array>();

  /** What is known, for reading. The maps live on: copy what has to stay as it is. */
  get state(): ProphetState {
    return {
      cluster: this.#cluster,
      stores: this.#stores,
      shards: this.#shards,
      members: this.#members,
    };
  }

  load(reader: StateReader) {
    return reader.list(records.PROPHET_RANGE).then((entries) => this.#fill(entries));
  }

  apply(_id: EntryId, command: Uint8Array, batch: ApplyBatch): Uint8Array {
    return encodeAnswer(this.#answer(command, batch));
  }

  flush(_batch: ApplyBatch): void {
    // Every command writes its own records: nothing is left for the end of the turn.
  }

  stateRanges(): readonly KeyRange[] {
    return [records.PROPHET_RANGE];
  }

  #fill(entries: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[]): void {
    this.#cluster = records.FIRST_CLUSTER;
    this.#stores.clear();
    this.#shards.clear();
    this.#members.clear();
    for (const { key, value } of entries) this.#loadRecord(key, value);
  }

  #loadRecord(key: Uint8Array, value: Uint8Array): void {
    const kind = key[1];
    if (kind === records.RECORD_KINDS.cluster) {
      this.#cluster = records.decodeCluster(value);
    } else if (kind === records.RECORD_KINDS.store) {
      const store = records.decodeStore(value);
      this.#stores.set(store.id, store);
    } else if (kind === records.RECORD_KINDS.shard) {
      const shard = records.decodeShard(value);
      this.#shards.set(shard.id, shard);
    } else if (kind === records.RECORD_KINDS.member) {
      this.#members.set(view(key.subarray(2)).toString('utf8'), records.decodeMember(value));
    } else {
      throw new DecodeError(`Record of kind ${kind} is not known`);
    }
  }

  #answer(bytes: Uint8Array, batch: ApplyBatch): Answer {
    try {
      return this.#execute(decodeCommand(bytes), batch);
    } catch (error) {
      // A poisoned entry would end every replica in turn: it is answered like any other refusal.
      if (!(error instanceof DecodeError)) throw error;
      return refused({ code: 'INVALID_ARGUMENT', text: `Cannot read command: ${error.message}` });
    }
  }

  #execute(command: Command, batch: ApplyBatch): Answer {
    switch (command.type) {
      case 'register-store':
        return this.#register(command, batch);
      case 'set-store-state':
        return this.#setStoreState(command, batch);
      case 'bootstrap':
        return this.#bootstrap(command, batch);
      case 'put-shards':
        return this.#putShards(command, batch);
      case 'extend-ids':
        return this.#extendIds(command, batch);
      case 'put-config':
        return this.#putConfig(command, batch);
      case 'claim-member':
        return this.#claimMember(command.name, command.nonce, batch);
      default:
        return unreachable(command);
    }
  }

  /**
   * The disk is the identity (lesson 12): the same nonce is the same store, another nonce is a new
   * store even if name and address are old acquaintances.
   */
  #register(command: CommandOf<'register-store'>, batch: ApplyBatch): Answer {
    const checked = checkRegistration(this.state, command);
    if ('refusal' in checked) return refused(checked.refusal);
    const { known } = checked;
    const id = known === undefined ? this.#allocate(1, batch) : known.id;
    this.#releaseAddresses(id, command.store.address, batch);
    this.#putStore(
      {
        ...command.store,
        id,
        nonce: command.nonce,
        incarnation: command.incarnation,
        state: known === undefined ? 'serving' : known.state,
      },
      batch,
    );
    if (command.store.isProphetMember && !this.#members.has(command.store.name)) {
      this.#claimMember(command.store.name, command.nonce, batch);
    }
    return done(id);
  }

  /** An address belongs to whoever registered it last: messages to the old store must not reach it. */
  #releaseAddresses(owner: StoreId, address: string, batch: ApplyBatch): void {
    for (const store of [...this.#stores.values()]) {
      if (store.id === owner || store.address !== address) continue;
      this.#putStore({ ...store, address: '', httpAddress: '' }, batch);
    }
  }

  #setStoreState(command: CommandOf<'set-store-state'>, batch: ApplyBatch): Answer {
    const checked = checkStateChange(this.state, command);
    if ('refusal' in checked) return refused(checked.refusal);
    this.#putStore({ ...checked.store, state: command.state }, batch);
    return done(command.storeId);
  }

  #bootstrap(command: CommandOf<'bootstrap'>, batch: ApplyBatch): Answer {
    const refusal = checkBootstrap(this.state, command);
    if (refusal !== undefined) return refused(refusal);
    const count = (command.splitKeys.length + 1) * (command.storeIds.length + 1);
    const shards = initialShards(command, this.#allocate(count, batch));
    for (const shard of shards) this.#putShard(shard, batch);
    this.#putCluster({ ...this.#cluster, isBootstrapped: true }, batch);
    return done(shards.length);
  }

  #putShards(command: CommandOf<'put-shards'>, batch: ApplyBatch): Answer {
    if (!this.#cluster.isBootstrapped) {
      return refused({ code: 'PRECONDITION_FAILED', text: 'Cluster is not bootstrapped' });
    }
    let accepted = 0;
    for (const shard of command.shards) {
      const known = this.#shards.get(shard.id);
      if (known !== undefined && !isNewerEpoch(shard.epoch, known.epoch)) continue;
      if (known === undefined && this.#shards.size >= LIMITS.shardsMax) continue;
      if (checkShard(shard) !== undefined) continue;
      this.#putShard(shard, batch);
      accepted += 1;
    }
    return done(accepted);
  }

  #extendIds(command: CommandOf<'extend-ids'>, batch: ApplyBatch): Answer {
    const { count } = command;
    if (count < 1 || count > LIMITS.idsPerCallMax) {
      const text = `Cannot allocate ${count} ids, allowed are 1 to ${LIMITS.idsPerCallMax}`;
      return refused({ code: 'INVALID_ARGUMENT', text });
    }
    return done(this.#allocate(count, batch));
  }

  #putConfig(command: CommandOf<'put-config'>, batch: ApplyBatch): Answer {
    const { clusterId, maxReplicas } = command;
    if (clusterId === '' || maxReplicas < 1) {
      return refused({ code: 'INVALID_ARGUMENT', text: 'Configuration is not complete' });
    }
    if (this.#cluster.clusterId !== '' && this.#cluster.clusterId !== clusterId) {
      const text = `Cluster id is ${this.#cluster.clusterId}, not ${clusterId}`;
      return refused({ code: 'STORE_MISMATCH', text });
    }
    this.#putCluster({ ...this.#cluster, clusterId, maxReplicas }, batch);
    return done(maxReplicas);
  }

  /** Answers 1 when the name has taken part with another disk. */
  #claimMember(name: string, nonce: Uint8Array, batch: ApplyBatch): Answer {
    const known = this.#members.get(name);
    if (known !== undefined) return done(equalBytes(known, nonce) ? 0 : 1);
    if (name === '' || nonce.length === 0 || this.#members.size >= LIMITS.storesMax) {
      return refused({ code: 'INVALID_ARGUMENT', text: 'Member has no name or no nonce' });
    }
    batch.put(records.memberKey(name), records.encodeMember(nonce));
    this.#members.set(name, nonce);
    return done(0);
  }

  /** The first of `count` ids that nobody ever had. */
  #allocate(count: number, batch: ApplyBatch): number {
    const first = this.#cluster.nextId;
    this.#putCluster({ ...this.#cluster, nextId: first + count }, batch);
    return first;
  }

  #putCluster(cluster: ClusterRecord, batch: ApplyBatch): void {
    this.#cluster = cluster;
    batch.put(records.CLUSTER_KEY, records.encodeCluster(cluster));
  }

  #putStore(store: StoreRecord, batch: ApplyBatch): void {
    this.#stores.set(store.id, store);
    batch.put(records.storeKey(store.id), records.encodeStore(store));
  }

  #putShard(shard: ShardMeta, batch: ApplyBatch): void {
    this.#shards.set(shard.id, shard);
    batch.put(records.shardKey(shard.id), records.encodeShard(shard));
    const highest = Math.max(shard.id, ...shard.replicas.map((replica) => replica.replicaId));
    // Knowledge that was lost with a Prophet disk comes back in reports: never hand out such an id.
    if (highest < this.#cluster.nextId) return;
    this.#putCluster({ ...this.#cluster, nextId: highest + 1 }, batch);
  }
}

function done(value: number): Answer {
  return { type: 'done', value };
}

function refused(refusal: Refusal): Answer {
  return { type: 'refused', ...refusal };
}
