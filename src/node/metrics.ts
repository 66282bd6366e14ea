// Every metric of a node in one table. A name that is not here is refused by the observer, so this is
// the page to read for dashboards and alerts. Labels are closed sets of words: never a key, a client
// or a shard id, which would grow without bound.

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** One sentence for the reader of a dashboard. */
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram, ascending. */
  readonly buckets?: readonly number[];
}

/** 1 ms, doubled up to 33 s: the same for all times, so that they can be laid over each other. */
const SECONDS = doubling(0.001, 16);
/** 1 to 8192 things in one batch. */
const COUNTS = doubling(1, 14);

function doubling(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, step) => first * 2 ** step);
}

export const METRICS: Readonly<Record<string, MetricDefinition>> = {
  matrixkv_raft_leader_changes_total: {
    type: 'counter',
    help: 'How often a replica on this node learned of another leader of its shard.',
  },
  matrixkv_raft_has_leader: {
    type: 'gauge',
    help: 'Share of the replicas on this node that know a leader, 1 when all do.',
  },
  matrixkv_store_turn_seconds: {
    type: 'histogram',
    help: 'How long one turn of the store loop took; the event loop stands still meanwhile.',
    buckets: SECONDS,
  },
  matrixkv_store_write_seconds: {
    type: 'histogram',
    help: 'How long one synced write to the disk took.',
    buckets: SECONDS,
  },
  matrixkv_store_write_operations: {
    type: 'histogram',
    help: 'How many operations one synced write carried.',
    buckets: COUNTS,
  },
  matrixkv_store_shards: { type: 'gauge', help: 'How many replicas this node holds.' },
  matrixkv_store_leaders: { type: 'gauge', help: 'How many shards this node leads.' },
  matrixkv_store_messages_refused_total: {
    type: 'counter',
    help: 'Raft messages for a replica that cannot live here, as another shard claims its range.',
  },
  matrixkv_store_quarantined_total: {
    type: 'counter',
    help: 'Replicas found damaged at start; each stays out of service until it is replaced.',
  },
  matrixkv_prophet_brake: {
    type: 'gauge',
    help: '1 while a mass failure of stores holds back re-replication.',
  },
  matrixkv_prophet_operators: {
    type: 'gauge',
    help: 'Changes of placement that the Prophet leader has under way.',
  },
  matrixkv_prophet_reports_dropped_total: {
    type: 'counter',
    help: 'Reports on shards that were older than what Prophet knew already.',
  },
  matrixkv_transport_handshakes_refused_total: {
    type: 'counter',
    help: 'Connections refused for a wrong cluster, store, incarnation or protocol.',
  },
  matrixkv_shard_proposals_total: {
    type: 'counter',
    help: 'Writes proposed to a shard by how they ended.',
    labels: ['result'],
  },
  matrixkv_shard_splits_total: {
    type: 'counter',
    help: 'How often a shard was split on this node.',
  },
  matrixkv_shard_snapshots_total: {
    type: 'counter',
    help: 'Snapshots of shards, sent or received, by how they ended.',
    labels: ['direction', 'result'],
  },
  matrixkv_transport_dropped_total: {
    type: 'counter',
    help: 'Messages to peers that were dropped, by reason; Raft repeats what matters.',
    labels: ['reason'],
  },
  matrixkv_http_requests_total: {
    type: 'counter',
    help: 'HTTP requests by route pattern and status code.',
    labels: ['route', 'status'],
  },
  matrixkv_http_request_seconds: {
    type: 'histogram',
    help: 'How long an HTTP request took, by route pattern.',
    labels: ['route'],
    buckets: SECONDS,
  },
  matrixkv_node_event_loop_delay_seconds: {
    type: 'gauge',
    help: 'How late the event loop was since the last scrape: median, 99th percentile and maximum.',
    labels: ['quantile'],
  },
  matrixkv_storage_files_level0: {
    type: 'gauge',
    help: 'LevelDB files at level 0: 8 slow writes down, 12 stop them.',
  },
  matrixkv_storage_bytes: {
    type: 'gauge',
    help: 'Bytes that the database of this node takes, approximately.',
  },
};
