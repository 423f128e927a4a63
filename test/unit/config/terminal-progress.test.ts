import { expect, test } from "bun:test";
import { counted, grouped, progressTeller } from "#src/hosts/tools/terminal-progress.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

test("[CLI-33] progress is told at once, with each new topic, and then twice a second at most", async () => {
  const time = new VirtualTime();
  let said = "";
  const tell = progressTeller({ out: (text) => void (said += text), err: () => undefined }, time);
  tell(() => "a1", "a");
  tell(() => "a2", "a");
  tell(() => "b1", "b");
  await time.advance(400);
  tell(() => "b2", "b");
  await time.advance(100);
  tell(() => "b3", "b");
  expect(said).toBe("a1\nb1\nb3\n");
  expect([grouped(1_234_567), counted(1, "row"), counted(2000, "row")]).toEqual(["1,234,567", "1 row", "2,000 rows"]);
});
