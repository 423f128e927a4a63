/**
 * The body of an MSC3575 request after reading: every `null`, `0` and `""` that means "not given" is gone,
 * short tuples are completed. Names are those of the wire (N3).
 */
export interface SyncRequest {
  txn_id?: string;
  conn_id?: string;
  lists?: Record<string, ListRequest>;
  room_subscriptions?: Record<string, RoomConfigRequest>;
  unsubscribe_rooms?: string[];
  extensions?: ExtensionsRequest;
  /** Extensions that were asked for under another name than their own. */
  extension_names?: Record<string, string>;
}

export interface RoomConfigRequest {
  required_state?: [type: string, stateKey: string][];
  timeline_limit?: number;
  include_old_rooms?: {
    required_state?: [type: string, stateKey: string][];
    timeline_limit?: number;
    include_heroes?: boolean;
  };
  include_heroes?: boolean;
}

export interface ListRequest extends RoomConfigRequest {
  ranges?: [start: number, end: number][];
  /** `ranges` as they were asked for, where they may overlap. */
  windows?: [start: number, end: number][];
  sort?: string[];
  filters?: FiltersRequest;
  slow_get_all_rooms?: boolean;
  bump_event_types?: string[];
  deleted?: boolean;
}

export interface FiltersRequest {
  is_dm?: boolean;
  is_encrypted?: boolean;
  is_invite?: boolean;
  is_tombstoned?: boolean;
  room_name_like?: string;
  room_types?: (string | null)[];
  not_room_types?: (string | null)[];
  tags?: string[];
  not_tags?: string[];
  spaces?: string[];
}

export interface ExtensionRequest {
  enabled?: boolean;
  lists?: string[];
  rooms?: string[];
}

export interface ExtensionsRequest {
  to_device?: ExtensionRequest & { limit?: number; since?: string };
  e2ee?: ExtensionRequest;
  account_data?: ExtensionRequest;
  receipts?: ExtensionRequest;
  typing?: ExtensionRequest;
  sticky_events?: { enabled?: boolean; limit?: number; since?: string };
}
