// Every number that bounds the transport. Tests pass smaller ones.

export interface TransportLimits {
  /** Waiting for one peer's control lane; beyond, envelopes are dropped and calls refused. */
  readonly controlQueueBytes: number;
  readonly bulkQueueBytes: number;
  /** Appends and calls from this size on take the bulk lane. */
  readonly bulkFromBytes: number;
  /** A frame is closed when it is this large; one item may be larger by itself. */
  readonly frameBytes: number;
  /** Calls without answer on one lane, ours or a peer's; beyond, OVERLOADED. */
  readonly openCalls: number;
  /** Answers that a peer does not take; beyond, its calls are refused with OVERLOADED. */
  readonly answerBytes: number;
  /** Addresses talked to at one time. */
  readonly peers: number;
  /** Longer chunks of a snapshot are sent in pieces. */
  readonly chunkBytes: number;
  /** Snapshot streams taken in at one time, on top of what the snapshot handler admits. */
  readonly snapshotsIn: number;
  readonly handshakeTimeoutMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A snapshot stream that moves nothing for so long is broken off (lesson 20). */
  readonly snapshotStallMs: number;
  /** A connection that carried nothing for so long is closed. */
  readonly idleMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const TRANSPORT_LIMITS: TransportLimits = {
  controlQueueBytes: 8 * MIB,
  bulkQueueBytes: 32 * MIB,
  bulkFromBytes: 32 * KIB,
  frameBytes: MIB,
  openCalls: 8192,
  answerBytes: 32 * MIB,
  peers: 4096,
  chunkBytes: MIB,
  snapshotsIn: 64,
  handshakeTimeoutMs: 2000,
  backoffMinMs: 20,
  backoffMaxMs: 1000,
  snapshotStallMs: 30_000,
  idleMs: 300_000,
};
