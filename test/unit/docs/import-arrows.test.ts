import { describe, expect, test } from "bun:test";
import { currentPage } from "#test/support/generated-docs.ts";
import { findCycle, importsOf, importsTable, measureImports } from "./imports.ts";

const PAGE = new URL("../../../ARCHITECTURE.md", import.meta.url).pathname;
const TABLE = /(?<=<!-- imports: .*-->\n\n)[\s\S]*?(?=\n\n<!-- end of imports -->)/;

/** The standard library, and the interface through which everything is traced. */
const SHARED_PACKAGES = new Set(["node:*", "@opentelemetry/api"]);
/** Where everything is put together. */
const COMPOSITION_ROOTS = new Set(["src/hosts", "src/run-main.ts", "src/main.ts", "src/cli.ts"]);
const measured = await measureImports();

describe("imports between rooms", () => {
  test("[ARC-1] the table in ARCHITECTURE.md is what the sources import (UPDATE_DOCS=1 writes it anew)", async () => {
    const page = await Bun.file(PAGE).text();
    expect(page).toMatch(TABLE);
    const generated = page.replace(TABLE, () => importsTable(measured));
    expect(await currentPage("ARCHITECTURE.md", generated)).toBe(generated);
  });

  test("[ARC-2] the pure rooms import nothing but each other", () => {
    const allowed = new Map([
      ["src/errors.ts", [] as string[]],
      ["src/small-collections.ts", []],
      ["src/protocol", ["src/errors.ts", "src/small-collections.ts"]],
      ["src/state", ["src/errors.ts", "src/protocol"]],
      ["src/ports", ["src/errors.ts", "src/protocol", "src/state"]],
    ]);
    for (const [room, rooms] of allowed) {
      const imports = measured.get(room);
      expect(
        [...(imports?.code ?? ["missing"]), ...(imports?.types ?? [])].filter((name) => !rooms.includes(name)),
      ).toEqual([]);
      expect([...(imports?.packages ?? [])]).toEqual([]);
    }
  });

  test("[ARC-3] code runs one way: no room comes back to itself", () => {
    expect(findCycle(measured)).toBeNull();
  });

  test("[ARC-4] every package has one home, but the tracing interface", () => {
    const homes = new Map<string, string[]>();
    for (const [room, { packages }] of measured)
      for (const name of packages) homes.set(name, [...(homes.get(name) ?? []), room]);
    const shared = [...homes].filter(([name, rooms]) => !SHARED_PACKAGES.has(name) && rooms.length > 1);
    expect(shared).toEqual([]);
    expect(homes.get("comlink")).toEqual(["actors/runtime"]);
    expect(homes.get("postgres")).toEqual(["db"]);
  });

  test("[ARC-5] actors run nothing of one another, and only composition roots run actors", () => {
    const shared = new Set(["actors/addresses.ts", "actors/runtime"]);
    const wrong = [...measured]
      .filter(([room]) => !COMPOSITION_ROOTS.has(room))
      .flatMap(([room, { code }]) => [...code].map((name) => ({ room, name })))
      .filter(({ name }) => name.startsWith("actors/"))
      .filter(({ room, name }) => !room.startsWith("actors/") || !shared.has(name));
    expect(wrong).toEqual([]);
  });
});

describe("importsOf", () => {
  test("[ARC-10] tells types from code", () => {
    const source = [
      'import { a } from "./a.ts";',
      'import type { B } from "./b.ts";',
      'import { type C, type D } from "./c.ts";',
      "import {",
      "  type E,",
      "  e,",
      '} from "./e.ts";',
      'export type { F } from "./f.ts";',
      'import "./g.ts";',
      'import text from "./h.sql" with { type: "text" };',
      'const lazy = () => import("./i.ts");',
      'const said = `from "./nowhere.ts"`;',
    ].join("\n");
    expect(
      importsOf(source).map(({ specifier, isTypeOnly }) => `${specifier} ${isTypeOnly ? "types" : "code"}`),
    ).toEqual([
      "./a.ts code",
      "./b.ts types",
      "./c.ts types",
      "./e.ts code",
      "./f.ts types",
      "./g.ts code",
      "./h.sql code",
      "./i.ts code",
    ]);
  });

  test("[ARC-11] a round trip is found", () => {
    const room = (...code: string[]) => ({ code: new Set(code) });
    expect(
      findCycle(
        new Map([
          ["a", room("b")],
          ["b", room("c")],
          ["c", room("b")],
        ]),
      ),
    ).toEqual(["b", "c", "b"]);
    expect(
      findCycle(
        new Map([
          ["a", room("b", "c")],
          ["b", room("c")],
          ["c", room()],
        ]),
      ),
    ).toBeNull();
  });
});
