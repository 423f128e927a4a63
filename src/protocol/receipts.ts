import type { StoredReceipt } from "./update.ts";

type Receipt = Pick<StoredReceipt, "userId" | "eventId" | "threadId" | "isPrivate" | "ts">;

/** Which of two receipts of one user on one event and of one type is shown: the unthreaded one (MSC4102), else the later. */
function preferred(a: Receipt, b: Receipt): Receipt {
  if ((a.threadId === "") !== (b.threadId === "")) return a.threadId === "" ? a : b;
  return b.ts >= a.ts ? b : a;
}

/** The `m.receipt` event that carries these receipts of one room, as JSON text. */
export function packReceipts(receipts: readonly Receipt[]): string {
  // Maps throughout: ids are chosen by strangers, and an object has names of its own.
  const events = new Map<string, Map<string, Map<string, Receipt>>>();
  for (const receipt of receipts) {
    const types = entryOf(events, receipt.eventId);
    const users = entryOf(types, receipt.isPrivate ? "m.read.private" : "m.read");
    const known = users.get(receipt.userId);
    users.set(receipt.userId, known === undefined ? receipt : preferred(known, receipt));
  }
  const content = objectJson(events, (types) => objectJson(types, (users) => objectJson(users, receiptJson)));
  return `{"type":"m.receipt","content":${content}}`;
}

function entryOf<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let entry = map.get(key);
  if (entry === undefined) {
    entry = new Map();
    map.set(key, entry);
  }
  return entry;
}

function objectJson<V>(map: ReadonlyMap<string, V>, valueJson: (value: V) => string): string {
  return `{${[...map].map(([key, value]) => `${JSON.stringify(key)}:${valueJson(value)}`).join(",")}}`;
}

function receiptJson({ ts, threadId }: Receipt): string {
  return threadId === "" ? `{"ts":${ts}}` : `{"ts":${ts},"thread_id":${JSON.stringify(threadId)}}`;
}
