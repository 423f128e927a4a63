import { expect, test } from "bun:test";
import { configurationPage, currentPage } from "#test/support/generated-docs.ts";

test("[CFG-30] docs/configuration.md is what the table of variables says", async () => {
  expect(await currentPage("docs/configuration.md", configurationPage())).toBe(configurationPage());
});
