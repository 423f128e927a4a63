/** All our tables but that of migrations, in an order in which they can be filled; a test compares them with the schema. */
export const TABLES = [
  "meta",
  "devices",
  "tokens",
  "filters",
  "to_device",
  "device_lists",
  "device_keys",
  "rooms",
  "user_rooms",
  "account_data",
  "receipts",
  "sticky_events",
  "room_state",
  "events",
  "txns",
  "connections",
  "repairs",
  "quarantine",
  "audit",
] as const;

/** Name of one of our tables. */
export type TableName = (typeof TABLES)[number];
