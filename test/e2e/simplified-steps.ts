import { test } from "bun:test";
import type { SimplifiedSdkClient } from "#test/support/simplified-sdk-client.ts";
import * as life from "./sdk-life.ts";

/** Lives the life of two users of simplified sliding sync, step by step, on whatever homeserver it was begun. */
export function liveSimplified(now: () => life.Life<SimplifiedSdkClient>, stepMs: number): void {
  test("[SDK-1] a 30-room list comes in recency order, and its window grows", () => life.seesTheList(now()), stepMs);
  test(
    "[SDK-2] a live message moves its room to the top and arrives once",
    () => life.hearsLiveMessages(now()),
    stepMs,
  );
  test("[SDK-3] a subscription brings the timeline and all state of a room", () => life.opensARoom(now()), stepMs);
  test("[SDK-4] tags arrive and put a room on the filtered list", () => life.tagsARoom(now()), stepMs);
  test("[SDK-5] typing, a receipt and account data arrive", () => life.hearsWhatPasses(now()), stepMs);
  test("[SDK-6] an invite comes, and goes when it is rejected", () => life.rejectsAnInvite(now()), stepMs);
  test("[SDK-7] a room that is left leaves the list", () => life.leavesARoom(now()), stepMs);
  test(
    "[SDK-8] encrypted messages are read both ways, in order, across a kill",
    () => life.speaksInSecret(now()),
    stepMs,
  );
}
