import { describe, expect, test } from "bun:test";
import { billOfMaterials, containedPackages, licencesText, placesOf } from "../../../tools/sbom.ts";
import type { LockEntry, Manifest } from "../../../tools/sbom.ts";

const INTEGRITY = `sha512-${Buffer.alloc(64, 7).toString("base64")}`;
const LOCK: Record<string, LockEntry> = {
  "@a/one": ["@a/one@1.0.0", "", { dependencies: { two: "2", three: "3" } }, INTEGRITY],
  two: ["two@2.0.0", "", {}, INTEGRITY],
  "@a/one/two": ["two@2.5.0", "", {}, INTEGRITY],
  three: ["three@3.0.0", "", {}, INTEGRITY],
};
const MANIFESTS: Record<string, Manifest> = {
  "@a/one": { name: "@a/one", version: "1.0.0", licence: "MIT" },
  two: { name: "two", version: "2.0.0", licence: "(MIT OR Apache-2.0)" },
  "@a/one/two": { name: "two", version: "2.5.0", licence: "ISC" },
};
const manifestOf = (place: string): Manifest => MANIFESTS[place] ?? { name: place, version: "0", licence: "" };
const contained = containedPackages(["@a/one", "@a/one/two"], LOCK, manifestOf);

describe("the bill of materials", () => {
  test("[PKG-5] packages are found by the files that were bundled, nested ones and scopes included", () => {
    const inputs = [
      "src/main.ts",
      "node_modules/@a/one/index.js",
      "node_modules/@a/one/lib/b.js",
      "node_modules/@a/one/node_modules/two/two.js",
      "node_modules/two/two.js",
    ];
    expect(placesOf(inputs)).toEqual(["@a/one", "@a/one/two", "two"]);
  });

  test("[PKG-5] each has its version, licence, hash and what it needs of what is inside", () => {
    const bill = billOfMaterials(contained, { version: "1.2.3", bunVersion: "9.9.9", epoch: 0 });
    expect(bill).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: expect.stringMatching(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/),
      metadata: { timestamp: "1970-01-01T00:00:00.000Z", component: { name: "glissade", version: "1.2.3" } },
    });
    const components = bill["components"] as Record<string, unknown>[];
    expect(components.slice(0, 2)).toEqual([
      {
        type: "library",
        "bom-ref": "pkg:npm/%40a/one@1.0.0",
        group: "@a",
        name: "one",
        version: "1.0.0",
        licenses: [{ license: { id: "MIT" } }],
        hashes: [{ alg: "SHA-512", content: "07".repeat(64) }],
        purl: "pkg:npm/%40a/one@1.0.0",
      },
      expect.objectContaining({ name: "two", version: "2.5.0", purl: "pkg:npm/two@2.5.0" }),
    ]);
    expect(components.map(({ name }) => name)).toContain("bun");
    const dependencies = bill["dependencies"] as { ref: string; dependsOn: string[] }[];
    // Its own two, not that of everybody; three was not bundled.
    expect(dependencies.find(({ ref }) => ref === "pkg:npm/%40a/one@1.0.0")?.dependsOn).toEqual(["pkg:npm/two@2.5.0"]);
    const references = new Set([...components.map((component) => component["bom-ref"]), "pkg:generic/glissade@1.2.3"]);
    const named = [...dependencies.map(({ ref }) => ref), ...dependencies.flatMap(({ dependsOn }) => dependsOn)];
    expect(named.filter((ref) => !references.has(ref))).toEqual([]);
  });

  test("[PKG-5] a choice of licences is an expression, and the same input makes the same text", () => {
    const bill = (): string =>
      JSON.stringify(
        billOfMaterials(containedPackages(["two"], LOCK, manifestOf), { version: "1", bunVersion: "9", epoch: 5 }),
      );
    expect(bill()).toContain('"licenses":[{"expression":"(MIT OR Apache-2.0)"}]');
    expect(bill()).toBe(bill());
  });

  test("[PKG-6] what is not locked, or locked otherwise than installed, is an error", () => {
    expect(() => containedPackages(["four"], LOCK, manifestOf)).toThrow(
      "four is in the executable, but not in bun.lock",
    );
    expect(() => containedPackages(["three"], LOCK, manifestOf)).toThrow(
      "bun.lock has three@3.0.0, installed is three@0",
    );
  });

  test("[PKG-7] licences are those that packages bring, one without is named all the same", () => {
    const text = licencesText(contained, (place) => (place === "@a/one" ? ["Permission is\r\nhereby granted"] : []));
    expect(text).toContain("@a/one 1.0.0 (MIT)\n");
    expect(text).toContain("Permission is\nhereby granted");
    expect(text).toMatch(/two 2\.5\.0 \(ISC\)\n=+\n\nThe package brings no text of its licence\./);
    expect(text).toContain("JavaScriptCore (LGPL-2.0-only)");
  });
});
