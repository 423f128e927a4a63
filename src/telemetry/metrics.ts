/** One metric as `/metrics` tells it. */
export interface MetricSpec {
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  /** Label names; never a user, device or room. */
  labels?: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  buckets?: readonly number[];
  /** Told for each host apart, in a label `host`; otherwise summed over all. */
  isPerHost?: true;
}

/** Those of the Go proxy, so that its boards fit. */
const PROCESS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;
const TURN_BUCKETS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1] as const;

/** All metrics there are; `docs/metrics.md` is made of this. */
export const METRIC_SPECS: readonly MetricSpec[] = [
  {
    name: "sliding_sync_poller_num_pollers",
    type: "gauge",
    help: "Pollers that are running.",
  },
  {
    name: "sliding_sync_poller_states",
    type: "gauge",
    labels: ["state"],
    help: "Pollers by what they are doing; state: queued for a first sync, polling, storing, waiting before they try again, or paused by an operator.",
  },
  {
    name: "sliding_sync_poller_process_duration_secs",
    type: "histogram",
    labels: ["initial", "first"],
    buckets: PROCESS_BUCKETS,
    help: "Time from a response of the homeserver to its being stored; initial: it had no since, first: first one in this process.",
  },
  {
    name: "sliding_sync_poller_num_outstanding_sync_v2_reqs",
    type: "gauge",
    help: "Sync v2 requests in flight.",
  },
  {
    name: "sliding_sync_poller_total_num_polls",
    type: "counter",
    help: "Sync v2 responses processed.",
  },
  {
    name: "sliding_sync_poller_gappy_state_size",
    type: "histogram",
    buckets: [1, 10, 100, 1000, 10_000],
    help: "State events of a room whose timeline is limited.",
  },
  {
    name: "sliding_sync_poller_timeline_size",
    type: "histogram",
    labels: ["limited"],
    buckets: [0, 1, 2, 5, 10, 20, 50],
    help: "Timeline events of a room in one response; limited: limited or unlimited.",
  },
  {
    name: "sliding_sync_poller_failed_polls_total",
    type: "counter",
    labels: ["cause"],
    help: "Polls that brought nothing, by what went wrong.",
  },
  {
    name: "sliding_sync_poller_rejected_total",
    type: "counter",
    help: "Events, rooms and sections of responses that could not be read.",
  },
  {
    name: "homeserver_request_duration_secs",
    type: "histogram",
    labels: ["endpoint"],
    buckets: [...REQUEST_BUCKETS, 60, 120, 300, 600, 1800],
    help: "Time of calls of the homeserver; endpoint: sync, long-poll (held until there is news), first-sync, whoami, versions, filter, state, messages or joined-rooms.",
  },
  {
    name: "homeserver_failures_total",
    type: "counter",
    labels: ["endpoint", "kind"],
    help: "Calls of the homeserver that failed; kind: 401, 429, 4xx, 5xx, deadline, refused, reset, too-large or no-answer.",
  },
  {
    name: "ingest_commit_duration_secs",
    type: "histogram",
    buckets: PROCESS_BUCKETS,
    help: "Time from the start of a group of batches to its commit.",
  },
  {
    name: "ingest_fan_out_duration_secs",
    type: "histogram",
    buckets: REQUEST_BUCKETS,
    help: "Time until all sync hosts have applied what was committed.",
  },
  {
    name: "ingest_group_batches",
    type: "histogram",
    buckets: [1, 2, 5, 10, 20, 50, 100, 200],
    help: "Batches stored by one commit.",
  },
  {
    name: "ingest_events_total",
    type: "counter",
    labels: ["known"],
    help: "Events in batches; known: true when another poller had brought them before.",
  },
  {
    name: "retention_removed_total",
    type: "counter",
    labels: ["kind"],
    help: "What housekeeping removed; kind: events, receipts, connections, txns, sticky (events whose time is up), tokens, or devices whose waiting data went.",
  },
  {
    name: "ingest_quarantined_total",
    type: "counter",
    help: "Items set aside because they could not be stored.",
  },
  {
    name: "ingest_repaired_rooms_total",
    type: "counter",
    help: "Rooms whose state, or a user's place in them, was put right or sent anew after a comparison with the homeserver.",
  },
  {
    name: "repair_suspicions_total",
    type: "counter",
    labels: ["reason", "taken"],
    help: "Rooms that looked wrong, by what; taken: false when the room was compared a moment ago, or too many wait.",
  },
  {
    name: "repair_rooms_total",
    type: "counter",
    labels: ["outcome"],
    help: "Rooms compared with the homeserver; outcome: compared, gone, nobody, refused, later or failed.",
  },
  {
    name: "repair_waiting_rooms",
    type: "gauge",
    help: "Rooms that wait to be compared with the homeserver.",
  },
  {
    name: "repair_walked_users_total",
    type: "counter",
    help: "Users whose list of rooms was compared with the homeserver's.",
  },
  {
    name: "ingest_failures_total",
    type: "counter",
    labels: ["code"],
    help: "Groups of batches whose commit failed; they are tried again.",
  },
  {
    name: "ingest_waiting_batches",
    type: "gauge",
    help: "Batches that wait for the next commit.",
  },
  {
    name: "ingest_stream_position",
    type: "gauge",
    help: "Position of the newest thing stored.",
  },
  {
    name: "database_table_bytes",
    type: "gauge",
    labels: ["table"],
    help: "Size of a table with its indexes, looked at every five minutes.",
  },
  {
    name: "database_table_rows",
    type: "gauge",
    labels: ["table"],
    help: "Rows of a table, as the database estimates them.",
  },
  {
    name: "sync_rooms_in_memory",
    type: "gauge",
    isPerHost: true,
    help: "Rooms a sync host keeps at hand.",
  },
  {
    name: "history_reads_total",
    type: "counter",
    labels: ["outcome"],
    help: "Parts of rooms' histories that the homeserver is asked for by simplified sliding sync; outcome: read, cached, refused, failed, unavailable while there is no token or polls wait, or skipped because of such an answer before or too many at once.",
  },
  {
    name: "history_read_duration_secs",
    type: "histogram",
    buckets: REQUEST_BUCKETS,
    help: "Time until the homeserver had told a part of a room's history, or refused to.",
  },
  {
    name: "history_late_responses_total",
    type: "counter",
    help: "Responses that left with less history than was wanted because the homeserver took too long.",
  },
  {
    name: "history_cached_bytes",
    type: "gauge",
    help: "Histories kept that are older than what is stored.",
  },
  {
    name: "sliding_sync_api_setup_duration_secs",
    type: "histogram",
    labels: ["initial"],
    buckets: PROCESS_BUCKETS,
    help: "Time from a request's arrival until its connection is ready.",
  },
  {
    name: "sliding_sync_api_process_duration_secs",
    type: "histogram",
    labels: ["initial"],
    buckets: PROCESS_BUCKETS,
    help: "Time of requests that were answered without waiting.",
  },
  {
    name: "sliding_sync_api_num_active_conns",
    type: "gauge",
    help: "Connections in memory.",
  },
  {
    name: "sliding_sync_api_num_devices_pending_ensure_polling",
    type: "gauge",
    help: "Requests that wait for the first sync of their device.",
  },
  {
    name: "sliding_sync_api_unknown_pos_total",
    type: "counter",
    labels: ["reason"],
    help: "Clients that had to start over (M_UNKNOWN_POS); reason: foreign pos, started_over connection, acknowledged pos, lost connection, or expired by an operator or for too many connections.",
  },
  {
    name: "sliding_sync_api_rate_limited_total",
    type: "counter",
    help: "Requests refused because their device makes too many.",
  },
  {
    name: "sliding_sync_api_slow_requests",
    type: "counter",
    help: "Requests that took longer than 50 s.",
  },
  {
    name: "sliding_sync_api_expiry_conn_timed_out",
    type: "counter",
    help: "Stored connections removed because nobody used them.",
  },
  {
    name: "sliding_sync_api_requests_in_flight",
    type: "gauge",
    help: "Sync requests that wait for their answer.",
  },
  {
    name: "sliding_sync_api_retried_requests_total",
    type: "counter",
    help: "Requests asked again because the host that had them crashed.",
  },
  {
    name: "sliding_sync_http_requests_total",
    type: "counter",
    labels: ["route", "status"],
    help: "Sync requests answered.",
  },
  {
    name: "sliding_sync_http_request_duration_secs",
    type: "histogram",
    labels: ["route", "status"],
    buckets: REQUEST_BUCKETS,
    help: "Time of sync requests, without what they only waited for news.",
  },
  {
    name: "sliding_sync_token_lookups_total",
    type: "counter",
    labels: ["source"],
    help: "Access tokens identified; source: memory, refused, storage, homeserver, homeserver_refused or homeserver_failed.",
  },
  {
    name: "front_forwarded_requests_total",
    type: "counter",
    labels: ["route", "status"],
    help: "Requests handed on to the homeserver; route: sync, media, keys, rooms, client, federation, admin, well-known or other; status: the homeserver's, 502 without one, 499 when the client hung up.",
  },
  {
    name: "front_forward_first_byte_secs",
    type: "histogram",
    labels: ["route"],
    buckets: REQUEST_BUCKETS,
    help: "Time until the homeserver began to answer a request that was handed on to it.",
  },
  {
    name: "front_forwarded_bytes_total",
    type: "counter",
    labels: ["direction"],
    help: "Bytes of bodies handed on; direction: in, to the homeserver, or out, to clients.",
  },
  {
    name: "front_forwards_in_flight",
    type: "gauge",
    help: "Requests handed on to the homeserver that are not over.",
  },
  {
    name: "front_early_polls_total",
    type: "counter",
    labels: ["outcome"],
    help: "Forwarded requests after which a device's poller is to poll at once; outcome: told, merged with the one before, or unknown for devices that do not sync here.",
  },
  {
    name: "event_loop_lag_secs",
    type: "histogram",
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    isPerHost: true,
    help: "How late a timer goes off that is due, looked at once a second, and each five seconds at rest: what everything on the host's thread has to wait. Hosts that share a Worker tell the same.",
  },
  {
    name: "host_heap_bytes",
    type: "gauge",
    isPerHost: true,
    help: "Heap of the host's thread that is in use. Hosts that share a Worker tell the same.",
  },
  {
    name: "actor_count",
    type: "gauge",
    labels: ["kind"],
    isPerHost: true,
    help: "Actors of one kind in a host's memory.",
  },
  {
    name: "actor_mailbox_depth",
    type: "gauge",
    labels: ["kind"],
    isPerHost: true,
    help: "Messages waiting in the mailboxes of a host's actors of one kind.",
  },
  {
    name: "actor_turn_duration_secs",
    type: "histogram",
    labels: ["kind"],
    buckets: TURN_BUCKETS,
    isPerHost: true,
    help: "Time of a turn.",
  },
  {
    name: "actor_restarts_total",
    type: "counter",
    labels: ["kind"],
    isPerHost: true,
    help: "Actors started anew after a crash; kind host: whole hosts.",
  },
  {
    name: "actor_dead_letters_total",
    type: "counter",
    labels: ["kind", "reason"],
    isPerHost: true,
    help: "Messages that could not be delivered, and why.",
  },
  {
    name: "probes_total",
    type: "counter",
    labels: ["kind", "result"],
    help: "Requests by which glissade doctor looks from outside; kind: mark, echo, hold or trickle, result: taken, or refused because too many waited.",
  },
  {
    name: "admin_requests_refused_total",
    type: "counter",
    help: "Requests at the admin listener without the admin token, or with another.",
  },
  {
    name: "telemetry_unknown_metrics_total",
    type: "counter",
    help: "Measurements of metrics that are not in this list: a bug.",
  },
];
