import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { RawFront } from "#test/support/raw-front.ts";
import { isWhole, rawExchange, RawServer } from "#test/support/raw-http.ts";

let homeserver: RawServer;
let front: RawFront;
beforeAll(async () => {
  homeserver = await RawServer.start();
  front = await RawFront.start(homeserver);
});
afterAll(async () => {
  await front.stop();
  await homeserver.stop();
});

const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCodePoint(code));
const pieces = fc.oneof(
  visible,
  fc.constantFrom(
    "..",
    ".",
    "/",
    "//",
    "\\",
    "%2e",
    "%2F",
    "%25",
    "?",
    "#",
    "+",
    "%",
    "%zz",
    ";",
    "&",
    "=",
    "%E2%98%83",
  ),
);
const target = fc.array(pieces, { maxLength: 40 }).map((parts) => `/_matrix/${parts.join("")}`);
const bytes = fc.uint8Array({ maxLength: 300 }).map((body) => Buffer.from(body).toString("latin1"));

test("[FWD-4] any target of visible characters, and any bytes of a body, reach the homeserver as they are, and come back", async () => {
  await fc.assert(
    fc.asyncProperty(target, bytes, bytes, async (path, body, answer) => {
      homeserver.answer = (socket, request) => {
        const head = `HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n`;
        if (isWhole(request)) socket.write(Buffer.from(head + answer, "latin1"));
      };
      const head = `POST ${path} HTTP/1.1\r\nHost: hs\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
      const received = await rawExchange(front.url, head + body);
      expect(homeserver.last.line).toBe(`POST ${path} HTTP/1.1`);
      expect(homeserver.last.body).toBe(body);
      expect(received.slice(received.indexOf("\r\n\r\n") + 4)).toBe(answer);
    }),
    { numRuns: 300 },
  );
});
