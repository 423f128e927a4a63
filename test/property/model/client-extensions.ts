/** An item of account data as it is on the wire. */
export interface Typed {
  type: string;
  content: Record<string, unknown>;
}

type Receipts = Record<string, Record<string, Record<string, { ts: number; thread_id?: string }>>>;

/** `extensions` of a response as they are on the wire. */
export interface WireExtensions {
  account_data?: { global?: Typed[]; rooms?: Record<string, Typed[]> };
  receipts?: { rooms?: Record<string, { content: Receipts }> };
  typing?: { rooms?: Record<string, { content: { user_ids: string[] } }> };
  to_device?: { next_batch: string; events?: { content: { n: number } }[] };
  e2ee?: {
    device_one_time_keys_count?: Record<string, number>;
    device_unused_fallback_key_types?: string[];
    device_lists?: { changed: string[]; left: string[] };
  };
}

/** What a client knows beside its rooms' timelines and state. */
export interface KnownData {
  globalData: Map<string, Typed>;
  roomData: Map<string, Map<string, Typed>>;
  /** By room; value = event id by user, thread and privacy. */
  receipts: Map<string, Map<string, string>>;
  typing: Map<string, string[]>;
}

/** What a client knows of its device. */
export interface KnownDevice {
  toDevice: number[];
  toDeviceSince: string;
  otkCount: number | null;
  fallback: string[] | null;
  lists: Map<string, "changed" | "left">;
}

/** A client that was told nothing yet. */
export const emptyData = (): KnownData => ({
  globalData: new Map(),
  roomData: new Map(),
  receipts: new Map(),
  typing: new Map(),
});

/** A device that was told nothing yet. */
export const emptyDevice = (): KnownDevice => ({
  toDevice: [],
  toDeviceSince: "",
  otkCount: null,
  fallback: null,
  lists: new Map(),
});

/** Key of a receipt in `KnownData.receipts`. */
export const receiptKey = (userId: string, threadId: string, isPrivate: boolean): string =>
  JSON.stringify([userId, threadId, isPrivate]);

/** Adds what extensions say to what is known of rooms and the user. */
export function takeData(known: KnownData, { account_data: data, receipts, typing }: WireExtensions): void {
  for (const event of data?.global ?? []) known.globalData.set(event.type, event);
  for (const [roomId, events] of Object.entries(data?.rooms ?? {})) {
    const types = known.roomData.get(roomId) ?? new Map<string, Typed>();
    known.roomData.set(roomId, types);
    for (const event of events) types.set(event.type, event);
  }
  for (const [roomId, { content }] of Object.entries(receipts?.rooms ?? {})) takeReceipts(known, roomId, content);
  for (const [roomId, { content }] of Object.entries(typing?.rooms ?? {})) known.typing.set(roomId, content.user_ids);
}

/** Adds what extensions say to what is known of the device. */
export function takeDevice(device: KnownDevice, { to_device: toDevice, e2ee }: WireExtensions): void {
  if (toDevice !== undefined) {
    device.toDeviceSince = toDevice.next_batch;
    for (const { content } of toDevice.events ?? []) device.toDevice.push(content.n);
  }
  device.otkCount = e2ee?.device_one_time_keys_count?.["signed_curve25519"] ?? device.otkCount;
  device.fallback = e2ee?.device_unused_fallback_key_types ?? device.fallback;
  for (const target of e2ee?.device_lists?.changed ?? []) device.lists.set(target, "changed");
  for (const target of e2ee?.device_lists?.left ?? []) device.lists.set(target, "left");
}

function takeReceipts(data: KnownData, roomId: string, content: Receipts): void {
  const known = data.receipts.get(roomId) ?? new Map<string, string>();
  data.receipts.set(roomId, known);
  for (const [eventId, types] of Object.entries(content)) {
    for (const [type, users] of Object.entries(types)) {
      for (const [userId, { thread_id: threadId = "" }] of Object.entries(users)) {
        known.set(receiptKey(userId, threadId, type === "m.read.private"), eventId);
      }
    }
  }
}
