/** What one run of `bun test` says about itself. */
export type Counts = {
  readonly passed: number;
  readonly failed: number;
  /** One line a skipped or failed test, for the summary. */
  readonly skipped: readonly string[];
  readonly failures: readonly string[];
};

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/giu, (whole, decimal, hex, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(String(hex), 16));
    return ENTITIES[String(name)] ?? whole;
  });
}

function attribute(tag: string, name: string): string {
  const found = new RegExp(`\\s${name}="([^"]*)"`, "u").exec(tag)?.[1];
  return found === undefined ? "" : unescapeXml(found);
}

/** Reads the JUnit report that `bun test --reporter=junit` writes; `expectedFiles` missing from it never ran and count as failed. */
export function readJunit(xml: string, expectedFiles: readonly string[]): Counts {
  const skipped: string[] = [];
  const failures: string[] = [];
  const seen = new Set<string>();
  let passed = 0;
  // A test case is `<testcase …/>` or `<testcase …> … </testcase>`; values hold no raw `>` or `<`.
  for (const match of xml.matchAll(/<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/gu)) {
    const tag = ` ${match[1] ?? ""}`;
    const inside = match[2] ?? "";
    const file = attribute(tag, "file");
    seen.add(file);
    const title = [file, attribute(tag, "classname"), attribute(tag, "name")].filter((part) => part !== "").join(" > ");
    const skip = /<skipped\b[^>]*>/u.exec(inside)?.[0];
    if (/<(?:failure|error)\b/u.test(inside)) {
      failures.push(title);
    } else if (skip === undefined) {
      passed += 1;
    } else {
      const reason = attribute(skip, "message");
      skipped.push(reason === "" ? title : `${title} (${reason})`);
    }
  }
  for (const file of expectedFiles) {
    if (!seen.has(file)) failures.push(`${file} (no test of this file ran)`);
  }
  return { passed, failed: failures.length, skipped, failures };
}
