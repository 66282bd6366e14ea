// What can be set about Prophet, and the limits that nobody needs to set.

export interface ProphetConfig {
  /** Voters wanted for every shard. */
  readonly maxReplicas: number;
  /** Stores to wait for before the first shards are made, at most `maxReplicas` of them. */
  readonly bootstrapExpect: number;
  /** Where the first range is cut into several shards. Ascending; empty for one shard. */
  readonly initialSplitKeys: readonly Uint8Array[];
  /** A store that is silent for so long gets nothing new. */
  readonly storeDisconnectedMs: number;
  /** A store that is silent for so long has its replicas made up elsewhere. */
  readonly storeDownMs: number;
  /** A new leader moves nothing before 80 % of the shards reported, or so much time passed. */
  readonly prepareMs: number;
  /** Between two rounds of looking at everything. */
  readonly patrolMs: number;
  /** How long a mass failure holds back re-replication (lesson 13). */
  readonly brakeMs: number;
}

export const DEFAULT_PROPHET_CONFIG: ProphetConfig = {
  maxReplicas: 3,
  bootstrapExpect: 3,
  initialSplitKeys: [],
  storeDisconnectedMs: 10_000,
  storeDownMs: 300_000,
  prepareMs: 300_000,
  patrolMs: 500,
  brakeMs: 1_800_000,
};

const MIB = 2 ** 20;

export const LIMITS = {
  /** Share of the known shards that must have reported, in percent. */
  preparedPercent: 80,
  /** More stores down than this share, and at least `brakeStoresMin`, is a mass failure. */
  brakePercent: 30,
  brakeStoresMin: 2,
  /**
   * What copying a shard counts at least. Copies are limited by their bytes, as these are what burdens
   * disks and links: by number alone, a store with hundreds of small shards would be made up for in
   * tens of minutes, and its data stand on two legs for so long.
   */
  copyBytesMin: 4 * MIB,
  /** Given to one store within a minute: 15 shards of 64 MiB (d.12). */
  addBytesPerMinute: 15 * 64 * MIB,
  /** Received by one store, and sent by one store, at a time: 2 shards of 64 MiB (lesson 20). */
  copyBytesPerStore: 2 * 64 * MIB,
  /** Operators in flight; further plans wait for the next round. */
  operatorsMax: 128,
  /** Of these for the sake of balance only. */
  balanceOperatorsMax: 8,
  /** Steps that take one round of Raft. */
  fastStepMs: 10_000,
  /** Steps that may move a whole snapshot. */
  slowStepMs: 600_000,
  /** A store fuller than this gets no further replicas (lesson 16). */
  usedPercentMax: 80,
  /** Known shards and shards of one proposal. */
  shardsMax: 100_000,
  shardsPerProposal: 256,
  /** Stores that ever registered, removed ones included. */
  storesMax: 10_000,
  /** Ids that one call may ask for. */
  idsPerCallMax: 100_000,
  /** Replica ids kept ready for operators: refilled when fewer than the low mark are left. */
  idPoolLow: 8,
  idPoolRefill: 64,
  /** How often changed shards are written. */
  shardFlushMs: 1_000,
  /** How long a proposal of Prophet's own may take. */
  proposalMs: 5_000,
} as const;
