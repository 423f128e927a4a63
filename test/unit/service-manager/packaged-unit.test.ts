import { expect, test } from "bun:test";
import { join } from "node:path";
import { EXIT } from "#src/cli/command.ts";

const UNIT = join(import.meta.dir, "../../../deploy/systemd/glissade.service");

test("[SYSD-23] after an end that only an operator can help, and no other, the packaged unit does not start it again", async () => {
  const lines = (await Bun.file(UNIT).text()).split("\n");
  expect(lines).toContain("Restart=always");
  expect(lines.filter((line) => line.startsWith("RestartPreventExitStatus="))).toEqual([
    `RestartPreventExitStatus=${EXIT.unusable}`,
  ]);
});
