import "#test/support/several-sdks.ts";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as sdk from "matrix-js-sdk-msc3575";
import { type Logger, logger } from "matrix-js-sdk-msc3575/lib/logger.js";
import { createTestHomeserver, type TestHomeserver } from "#test/support/homeserver.ts";

/** How long a condition may take to come true. */
const WAIT_MS = 40_000;

const silent: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  getChild: () => silent,
};

/** The SDK's own loggers are those of `loglevel`, which its types do not tell. */
function silenceSdk(): void {
  for (const each of [logger, logger.getChild("MatrixRTCSessionManager")]) {
    if ("setLevel" in each && typeof each.setLevel === "function") each.setLevel("silent", false);
  }
}

/** A real matrix-js-sdk with Rust crypto that speaks only with the demonstration homeserver. */
class ClassicClient {
  readonly client: sdk.MatrixClient;

  private constructor(client: sdk.MatrixClient) {
    this.client = client;
  }

  static async logIn(url: string, username: string): Promise<ClassicClient> {
    const anonymous = sdk.createClient({ baseUrl: url, logger: silent });
    const account = await anonymous.registerRequest({
      username,
      password: "s3cret",
      auth: { type: "m.login.dummy" },
    });
    const client = sdk.createClient({
      baseUrl: url,
      logger: silent,
      userId: account.user_id,
      accessToken: account.access_token ?? "",
      deviceId: account.device_id ?? "",
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 20 });
    const classic = new ClassicClient(client);
    await classic.until(`${username} syncs`, () => client.getSyncState() === sdk.SyncState.Syncing);
    return classic;
  }

  /** Checks whenever anything happened in the client. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!holds()) {
      if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
      await Bun.sleep(10);
    }
  }

  /** Decrypted bodies of one sender in a room, in timeline order. */
  messages(roomId: string, sender: string): string[] {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events
      .filter((event) => event.getSender() === sender && event.getType() === "m.room.message")
      .map((event) => String(event.getContent()["body"]));
  }

  async say(roomId: string, text: string): Promise<void> {
    await this.client.sendMessage(roomId, { msgtype: sdk.MsgType.Text, body: text });
  }
}

describe("two real clients on the demonstration homeserver", () => {
  let hs: TestHomeserver;
  let alice: ClassicClient;
  let bob: ClassicClient;

  beforeAll(async () => {
    silenceSdk();
    hs = createTestHomeserver();
    alice = await ClassicClient.logIn(hs.url, "alice");
    bob = await ClassicClient.logIn(hs.url, "bob");
  });

  afterAll(async () => {
    alice.client.stopClient();
    bob.client.stopClient();
    await hs.stop();
  });

  test("[DEMO-80] encrypted messages go both ways, in order, and are readable", async () => {
    const { room_id: roomId } = await alice.client.createRoom({
      name: "Secrets",
      invite: ["@bob:test"],
      preset: sdk.Preset.TrustedPrivateChat,
      initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await bob.until("the invite", () => bob.client.getRoom(roomId)?.getMyMembership() === sdk.KnownMembership.Invite);
    await bob.client.joinRoom(roomId);
    await alice.until("bob joined", () => alice.client.getRoom(roomId)?.getJoinedMemberCount() === 2);
    const fromAlice = ["one", "two", "three", "four", "five"];
    const fromBob = ["six", "seven", "eight", "nine", "ten"];
    for (const text of fromAlice) await alice.say(roomId, text);
    await bob.until("alice's messages", () => bob.messages(roomId, "@alice:test").length === fromAlice.length);
    for (const text of fromBob) await bob.say(roomId, text);
    await alice.until("bob's messages", () => alice.messages(roomId, "@bob:test").length === fromBob.length);
    expect(bob.messages(roomId, "@alice:test")).toEqual(fromAlice);
    expect(alice.messages(roomId, "@bob:test")).toEqual(fromBob);
    const stored = Array.from({ length: hs.room(roomId).room.length }, (_, index) => hs.room(roomId).room.at(index));
    const types = stored.map((event) => event?.event.type);
    expect(types.filter((type) => type === "m.room.encrypted")).toHaveLength(10);
    expect(types).not.toContain("m.room.message");
  });

  test("[DEMO-81] a client pages back, types, reads, tags, rejects and leaves", async () => {
    const { room_id: roomId } = await alice.client.createRoom({ name: "Long", preset: sdk.Preset.PublicChat });
    for (let n = 0; n < 60; n += 1) hs.send("alice", roomId, `old ${n}`);
    await bob.client.joinRoom(roomId);
    await bob.until("the room", () => bob.client.getRoom(roomId)?.getMyMembership() === sdk.KnownMembership.Join);
    const room = bob.client.getRoom(roomId);
    if (room === null) throw new Error("no room");
    await bob.client.scrollback(room, 100);
    const olds = bob.messages(roomId, "@alice:test");
    expect(olds).toEqual(Array.from({ length: 60 }, (_, n) => `old ${n}`));

    await bob.client.sendTyping(roomId, true, 20_000);
    await alice.until("bob types", () => alice.client.getRoom(roomId)?.getMember("@bob:test")?.typing === true);
    const newest = room.getLastLiveEvent();
    if (newest === undefined) throw new Error("no event");
    await bob.client.sendReadReceipt(newest);
    await alice.until("bob's receipt", () => {
      const receipt = alice.client.getRoom(roomId)?.getReadReceiptForUserId("@bob:test", true);
      return receipt?.eventId === newest.getId();
    });
    await bob.client.setRoomTag(roomId, "m.favourite", { order: 0.25 });
    await bob.until("the tag", () => room.tags["m.favourite"]?.["order"] === 0.25);

    const { room_id: unwanted } = await alice.client.createRoom({ name: "Spam", invite: ["@bob:test"] });
    await bob.until("the invite", () => bob.client.getRoom(unwanted)?.getMyMembership() === sdk.KnownMembership.Invite);
    await bob.client.leave(unwanted);
    await bob.until("rejected", () => bob.client.getRoom(unwanted)?.getMyMembership() === sdk.KnownMembership.Leave);
    await bob.client.leave(roomId);
    await bob.until("left", () => bob.client.getRoom(roomId)?.getMyMembership() === sdk.KnownMembership.Leave);
  });
});
