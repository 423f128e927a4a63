import { expect, test } from "bun:test";
import { currentPage } from "#test/support/generated-docs.ts";
import { measuredFigures, sizingTable } from "./sizing.ts";

const PAGE = "docs/sizing.md";
const TABLE = /(?<=<!-- figures: .*-->\n\n)[\s\S]*?(?=\n\n<!-- end of figures -->)/;
const read = (path: string): Promise<string> => Bun.file(new URL(`../../../${path}`, import.meta.url)).text();
const figures = { postgres: measuredFigures("postgres"), pglite: measuredFigures("pglite") };

test("[DOC-30] the figures in docs/sizing.md are those of the benchmark's results (UPDATE_DOCS=1 writes them)", async () => {
  const page = await read(PAGE);
  expect(page).toMatch(TABLE);
  const generated = page.replace(TABLE, () => sizingTable(figures));
  expect(await currentPage(PAGE, generated)).toBe(generated);
});

test("[DOC-31] what the README says of speed and size holds", async () => {
  expect((await read("README.md")).replaceAll(/\s+/g, " ")).toContain(
    "An event is with its clients within 10 ms; 2,000 devices on line take half a gigabyte and a tenth of a core.",
  );
  const { live, many } = figures.postgres;
  expect(live?.["p50_ms"]).toBeLessThan(10);
  expect(many?.["resident_mb"]).toBeLessThan(512);
  expect(many?.["idle_cpu_ms_per_s"]).toBeLessThan(100);
});
