import { describe, expect, test } from "bun:test";
import { DemoHomeserver } from "#src/demo/homeserver/demo-homeserver.ts";
import type { Session } from "#src/demo/homeserver/accounts.ts";
import { Residents } from "#src/demo/residents.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";
import { ManualTime } from "./manual-time.ts";

interface Village {
  homeserver: DemoHomeserver;
  newcomer: Session;
  time: ManualTime;
  residents: Residents;
}

function village(seed: number, roomCount = 40, speed = 1): Village {
  const time = new ManualTime();
  const rng = seededRng(seed);
  const homeserver = new DemoHomeserver({ clock: time, timers: time, rng });
  const newcomer = homeserver.user("newcomer");
  const residents = new Residents({ homeserver, clock: time, timers: time, rng }, { newcomer, roomCount, speed });
  residents.settle();
  return { homeserver, newcomer, time, residents };
}

function log({ homeserver }: Village): string[] {
  const lines: string[] = [];
  for (const { room } of homeserver.parts.rooms.all()) {
    for (let index = 0; index < room.length; index += 1) lines.push(JSON.stringify(room.at(index)?.event));
  }
  return lines;
}

describe("residents", () => {
  test("[DEMO-90] the newcomer is in all rooms, with a past that lies in the past", () => {
    const { homeserver, newcomer, time } = village(1);
    const joined = [...homeserver.parts.rooms.joinedRooms(newcomer.account)];
    expect(joined).toHaveLength(40);
    for (const { room } of joined) {
      const last = room.at(room.length - 1);
      expect(last?.event.type).toBe("m.room.message");
      expect(last?.event.origin_server_ts).toBeLessThan(time.now());
      expect([...room.joinedUsers()].length).toBeGreaterThan(1);
    }
    const directs = newcomer.account.accountData.get("m.direct")?.content ?? {};
    expect(Object.keys(directs).length).toBeGreaterThan(0);
  });

  test("[DEMO-91] the same seed gives the same story, another seed another", () => {
    const stories = [7, 7, 8].map((seed) => {
      const place = village(seed);
      place.residents.start();
      place.time.advance(300_000);
      return log(place);
    });
    expect(stories[0]?.length).toBeGreaterThan(400);
    expect(stories[1]).toEqual(stories[0] ?? []);
    expect(stories[2]).not.toEqual(stories[0] ?? []);
  });

  test("[DEMO-92] in an hour everything happens: talk, reactions, renames, comings, goings, receipts, invites", () => {
    const place = village(3);
    const before = new Set(log(place));
    place.residents.start();
    place.time.advance(3_600_000);
    const events = log(place)
      .filter((line) => !before.has(line))
      .map((line) => JSON.parse(line) as { type: string; content: { membership?: string; body?: string } });
    const types = new Set(events.map((event) => event.type));
    for (const type of ["m.room.message", "m.reaction", "m.room.name", "m.room.member"]) expect(types).toContain(type);
    const memberships = new Set(events.map((event) => event.content.membership));
    for (const membership of ["join", "leave", "invite"]) expect(memberships).toContain(membership);
    expect(events.some((event) => event.content.body?.startsWith("newcomer:"))).toBe(true);
    expect(place.homeserver.stats().rooms).toBeLessThanOrEqual(52);
  });

  test("[DEMO-93] twice the speed, twice as much; after stop nothing more, and no timer is left but typing", () => {
    const slow = village(5);
    const fast = village(5, 40, 4);
    for (const place of [slow, fast]) place.residents.start();
    const before = log(slow).length;
    slow.time.advance(400_000);
    fast.time.advance(100_000);
    const grownSlow = log(slow).length - before;
    const grownFast = log(fast).length - before;
    expect(grownFast).toBeGreaterThan(grownSlow * 0.7);
    fast.residents.stop();
    const stoppedAt = log(fast).length;
    fast.time.advance(100_000);
    expect(log(fast)).toHaveLength(stoppedAt);
    expect(fast.time.pendingCount).toBe(0);
  });
});
