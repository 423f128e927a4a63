import { expect, test } from "bun:test";
import { sharedText } from "#src/protocol/shared-text.ts";

test("[ORD-14] a text that is read again is the same text, whatever was read between", () => {
  const texts = ["", "@alice:hs", "@alicf:hs", "\u{1F41F}", "\ud800", "x".repeat(255), "x".repeat(256)];
  for (let index = 0; index < 40_000; index += 1) {
    const name = `@user${index}:example.org`;
    expect(sharedText(name)).toBe(name);
    const text = texts[index % texts.length] ?? "";
    if (sharedText(text) !== text) expect.unreachable();
  }
});
