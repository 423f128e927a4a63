import { describe, expect, test } from "bun:test";
import { VirtualTime } from "#test/support/virtual-time.ts";
import { databaseDeps } from "#test/support/database.ts";
import { BatchReader, type SessionClient, SharedSession } from "#db/embedded-session.ts";

/** A message as bytes: type, length, body. */
function message(type: string, body = ""): Uint8Array {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(body));
  bytes.write(type, 0, "latin1");
  bytes.writeInt32BE(bytes.length - 1, 1);
  bytes.write(body, 5);
  return bytes;
}
const READY = { idle: message("Z", "I"), transaction: message("Z", "T") };

/** Type letters and texts of the messages in a batch. */
function described(bytes: Uint8Array): string {
  const view = Buffer.from(bytes);
  const words: string[] = [];
  for (let at = 0; at < view.length; at += 1 + view.readInt32BE(at + 1)) {
    const text = view.toString("utf8", at + 5, at + 1 + view.readInt32BE(at + 1)).replaceAll("\0", "");
    words.push(String.fromCharCode(view[at] ?? 0) + (text === "" ? "" : `(${text})`));
  }
  return words.join(" ");
}

/** Knows `begin` and `commit`/`rollback`; a batch without a sync or query is answered without "ready". */
class FakeBackend {
  readonly executed: string[] = [];
  fail = false;
  note: Uint8Array = new Uint8Array();
  #inTransaction = false;

  async execute(messages: Uint8Array): Promise<Uint8Array> {
    const text = described(messages);
    this.executed.push(text);
    await Promise.resolve();
    if (this.fail) throw new Error("out of memory");
    if (text.includes("begin")) this.#inTransaction = true;
    if (/commit|rollback/.test(text)) this.#inTransaction = false;
    if (!/[SQ](\(|$| )/.test(text)) return message("1");
    return Buffer.concat([this.note, this.#inTransaction ? READY.transaction : READY.idle]);
  }
}

function rig() {
  const time = new VirtualTime();
  const backend = new FakeBackend();
  const session = new SharedSession(backend, { timers: time, logger: databaseDeps.logger });
  const client = (id: number) => {
    const log: string[] = [];
    const made: SessionClient & { log: string[] } = {
      id,
      log,
      send: (bytes) => void log.push(described(bytes)),
      destroy: () => void log.push("destroyed"),
    };
    return made;
  };
  const settle = () => time.advance(0);
  return { time, backend, session, client, settle };
}

describe("SharedSession", () => {
  test("[EMB-1] nobody gets into another client's transaction", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("Q", "begin")]);
    session.submit(b, [message("Q", "other")]);
    session.submit(a, [message("Q", "insert")]);
    await settle();
    expect(backend.executed).toEqual(["Q(begin)", "Q(insert)"]);
    session.submit(a, [message("Q", "commit")]);
    await settle();
    expect(backend.executed).toEqual(["Q(begin)", "Q(insert)", "Q(commit)", "Q(other)"]);
    expect(b.log).toEqual(["Z(I)"]);
  });

  test("[EMB-2] nobody gets between a flush and its sync", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("P", "s1"), message("D"), message("H")]);
    session.submit(b, [message("B"), message("E"), message("S")]);
    await settle();
    expect(backend.executed).toEqual(["P(s1) D H"]);
    session.submit(a, [message("B"), message("E"), message("S")]);
    await settle();
    expect(backend.executed).toEqual(["P(s1) D H", "B E S", "B E S"]);
  });

  test("[EMB-3] a client that goes away leaves neither transaction nor prepared statements behind", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("P", "mine\0select 1\0"), message("S")]);
    session.submit(a, [message("Q", "begin")]);
    session.submit(b, [message("Q", "other")]);
    await settle();
    session.leave(a);
    await settle();
    expect(backend.executed.slice(2)).toEqual(["S Q(rollback) C(Smine) S", "Q(other)"]);
    session.leave(b);
    await settle();
    expect(backend.executed).toHaveLength(4);
  });

  test("[EMB-4] a client that leaves while its statement runs does not keep the session", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("Q", "begin")]);
    await settle();
    session.submit(a, [message("Q", "insert")]);
    session.leave(a);
    session.submit(b, [message("Q", "other")]);
    await settle();
    expect(backend.executed).toEqual(["Q(begin)", "Q(insert)", "S Q(rollback) S", "Q(other)"]);
    expect(b.log).toEqual(["Z(I)"]);
  });

  test("[EMB-24] what one client is notified of reaches those who listen, until the last of them goes", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b, c] = [client(1), client(2), client(3)];
    session.submit(a, [message("Q", "LISTEN x")]);
    session.submit(c, [message("P", "\0listen x\0"), message("S")]);
    await settle();
    backend.note = message("A", "note");
    session.submit(b, [message("Q", "notify")]);
    await settle();
    expect([a.log.at(-1), b.log.at(-1), c.log.at(-1)]).toEqual(["A(note)", "A(note) Z(I)", "A(note)"]);
    session.leave(a);
    await settle();
    expect(backend.executed.at(-1)).toBe("Q(notify)");
    session.leave(c);
    await settle();
    expect(backend.executed.at(-1)).toBe("Q(unlisten *) S");
    session.submit(b, [message("Q", "notify")]);
    await settle();
    expect(a.log).toHaveLength(2);
  });

  test("[EMB-5] whoever holds a transaction without using it loses it", async () => {
    const { session, backend, client, time, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("Q", "begin")]);
    session.submit(b, [message("Q", "other")]);
    await settle();
    await time.advance(9_000);
    expect(b.log).toEqual([]);
    await time.advance(2_000);
    expect(a.log).toEqual(["Z(T)", "destroyed"]);
    expect(b.log).toEqual(["Z(I)"]);
    expect(backend.executed).toContain("S Q(rollback) S");
  });

  test("[EMB-6] a statement name that another client has is refused", async () => {
    const { session, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    session.submit(a, [message("P", "same\0select 1\0"), message("S")]);
    session.submit(b, [message("P", "same\0select 2\0"), message("S")]);
    await settle();
    expect(b.log).toEqual(["destroyed"]);
    session.leave(a);
    await settle();
    const c = client(3);
    session.submit(c, [message("P", "same\0select 2\0"), message("S")]);
    await settle();
    expect(c.log).toEqual(["Z(I)"]);
  });

  test("[EMB-7] when the engine fails, the client learns of it and the others go on", async () => {
    const { session, backend, client, settle } = rig();
    const [a, b] = [client(1), client(2)];
    backend.fail = true;
    session.submit(a, [message("Q", "begin")]);
    await settle();
    expect(a.log).toEqual(["destroyed"]);
    backend.fail = false;
    session.submit(b, [message("Q", "other")]);
    await settle();
    expect(b.log).toEqual(["Z(I)"]);
  });
});

describe("BatchReader", () => {
  test("[EMB-10] batches are the same, however the bytes are cut", () => {
    const stream = Buffer.concat([
      message("P", "s1"),
      message("D"),
      message("H"),
      message("B", "x".repeat(50)),
      message("E"),
      message("S"),
      message("Q", "select"),
    ]);
    for (let size = 1; size <= stream.length; size++) {
      const reader = new BatchReader(1000);
      const batches: string[] = [];
      for (let at = 0; at < stream.length; at += size) {
        for (const batch of reader.read(stream.subarray(at, at + size))) batches.push(described(Buffer.concat(batch)));
      }
      expect(batches).toEqual(["P(s1) D H", `B(${"x".repeat(50)}) E S`, "Q(select)"]);
    }
  });

  test("[EMB-11] what is too large or malformed is refused", () => {
    expect(() => [...new BatchReader(100).read(message("Q", "x".repeat(200)))]).toThrow("too large");
    expect(() => [...new BatchReader(100).read(Buffer.from([0x51, 0, 0, 0, 1]))]).toThrow("malformed");
    const reader = new BatchReader(100);
    expect([...reader.read(message("P", "x".repeat(60)))]).toEqual([]);
    expect(() => [...reader.read(message("P", "x".repeat(60)))]).toThrow("too large");
  });
});
