import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { accountInRooms, type SimplifiedAccount } from "#test/support/simplified-account.ts";

const WISH = {
  lists: { all: { ranges: [[0, 9]], required_state: [["m.room.member", "$ME"]], timeline_limit: 1 } },
};
const OUT_OF_VIEW = { lists: { all: { ranges: [[50, 59]], required_state: [], timeline_limit: 1 } } };

describe("members as simplified clients see them", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  /** An invite by one of two people, to a room of that name. */
  const invite = ({ me, id }: SimplifiedAccount, by: string, name: string): Promise<void> => {
    const events = [
      { type: "m.room.create", state_key: "", sender: "@bob:test", content: {} },
      { type: "m.room.name", state_key: "", sender: "@bob:test", content: { name } },
      { type: "m.room.member", state_key: id, sender: by, content: { membership: "invite" } },
    ];
    return rig.poll(me, { rooms: { invite: { [`!inv-${id}`]: { invite_state: { events } } } } });
  };

  test("[SSS-102] an invite that somebody else makes again, or that shows other state, is told again", async () => {
    const account = accountInRooms(rig, ["a"]);
    const { client, id, room } = account;
    const told = async (wish: Record<string, unknown> = WISH) => {
      const { rooms, lists } = await client.sync(wish);
      const entry = rooms[`!inv-${id}`];
      const by = entry?.invite_state?.at(-1)?.["sender"];
      return { by, name: entry?.name, initial: entry?.initial, order: lists?.["all"]?.ops?.[0]?.room_ids };
    };
    await told();
    await invite(account, "@bob:test", "one");
    expect(await told()).toMatchObject({ by: "@bob:test", name: "one", initial: true });
    await rig.poll(account.me, {
      rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "in the meantime")] } } } },
    });
    expect((await told()).order).toEqual([room("a"), `!inv-${id}`]);
    await invite(account, "@carol:test", "one");
    expect(await told()).toEqual({
      by: "@carol:test",
      name: "one",
      initial: undefined,
      order: [`!inv-${id}`, room("a")],
    });
    await invite(account, "@carol:test", "one");
    expect((await told()).by).toBeUndefined();
    await invite(account, "@carol:test", "two");
    expect(await told()).toMatchObject({ by: "@carol:test", name: "two", initial: undefined });
    expect((await told()).by).toBeUndefined();
    // Out of view nothing of it is lost.
    await told(OUT_OF_VIEW);
    await invite(account, "@carol:test", "three");
    await told(OUT_OF_VIEW);
    expect(await told()).toMatchObject({ by: "@carol:test", name: "three", initial: undefined });
  });

  test("[SSS-103] heroes are named in the order of joined, invited, left and banned, each by arrival", async () => {
    const { me, client, id } = accountInRooms(rig, []);
    const member = (name: string, membership: string, by = `@${name}:test`) =>
      rig.event("m.room.member", by, { membership }, `@${name}:test`);
    const heroes = async (roomId: string) =>
      (await client.sync(WISH)).rooms[roomId]?.heroes?.map(({ user_id: userId }) => userId.split(":")[0]);
    const roomId = `!heroes-${id}`;
    expect(await heroes(roomId)).toBeUndefined();
    const play = (...events: unknown[]) => rig.poll(me, { rooms: { join: { [roomId]: { timeline: { events } } } } });
    await play(
      rig.event("m.room.create", id, { creator: id }, ""),
      member(id.slice(1, -":test".length), "join"),
      member("invited", "invite", id),
      member("banned", "join"),
      member("left", "join"),
    );
    expect(await heroes(roomId)).toEqual(["@banned", "@left", "@invited"]);
    await play(member("banned", "ban", id));
    expect(await heroes(roomId)).toEqual(["@left", "@invited"]);
    await play(member("invited", "leave"), member("left", "leave"));
    expect(await heroes(roomId)).toEqual(["@invited", "@left", "@banned"]);
  });
});
