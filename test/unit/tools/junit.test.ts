import { describe, expect, test } from "bun:test";
import { readJunit } from "../../../tools/junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="5" assertions="4" failures="2" skipped="2" time="0.008">
  <testsuite name="a.test.ts" file="a.test.ts" tests="5">
    <testsuite name="x &amp; &lt;y&gt;" file="a.test.ts" line="2">
      <testcase name="ok" classname="x &amp; &lt;y&gt;" time="0.00002" file="a.test.ts" line="2" assertions="1" />
      <testcase name="bad &quot;q&quot;" classname="x &amp; &lt;y&gt;" time="0.0001" file="a.test.ts" assertions="1">
        <failure type="AssertionError" message="expected &lt;testcase /&gt;">at a.test.ts:2:107&#10;</failure>
      </testcase>
      <testcase name="no database" classname="x &amp; &lt;y&gt;" time="0" file="a.test.ts" line="2" assertions="0">
        <skipped />
      </testcase>
      <testcase name="later" classname="x &amp; &lt;y&gt;" time="0" file="a.test.ts" line="2" assertions="0">
        <skipped message="no root" />
      </testcase>
      <testcase name="each 1" classname="x &amp; &lt;y&gt;" time="0.00002" file="a.test.ts" line="2" assertions="1" />
    </testsuite>
  </testsuite>
</testsuites>`;

describe("readJunit", () => {
  test("[CI-1] counts passed, failed and skipped test cases and names them", () => {
    expect(readJunit(REPORT, ["a.test.ts"])).toEqual({
      passed: 2,
      failed: 1,
      skipped: ["a.test.ts > x & <y> > no database", "a.test.ts > x & <y> > later (no root)"],
      failures: ['a.test.ts > x & <y> > bad "q"'],
    });
  });

  test("[CI-2] counts a file that is missing from the report as failed: it broke while loading", () => {
    const counts = readJunit(REPORT, ["a.test.ts", "broken.test.ts"]);
    expect(counts.failed).toBe(2);
    expect(counts.failures.at(-1)).toBe("broken.test.ts (no test of this file ran)");
  });

  test("[CI-3] an empty report passes nothing", () => {
    expect(readJunit("", ["a.test.ts"])).toMatchObject({ passed: 0, failed: 1 });
  });
});
