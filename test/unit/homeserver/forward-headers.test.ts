import { describe, expect, test } from "bun:test";
import { forwardedRequestHeaders, forwardedResponseHeaders, headerOf } from "#src/homeserver/forward-headers.ts";

const SENDER = { address: "192.0.2.7", scheme: "https" } as const;

describe("forwardedRequestHeaders", () => {
  test("[FWD-10] names, values, order and repetitions stay as they came", () => {
    const raw = ["Host", "hs.example.org:8448", "X-CasE", " a", "x-many", "1", "X-Many", "2", "Cookie", "k=v"];
    const [own, rest] = [raw.slice(), forwardedRequestHeaders("GET", raw, { ...SENDER, address: null })];
    expect(rest).toEqual([...own, "X-Forwarded-Proto", "https"]);
  });

  test("[FWD-11] what ends at each hop, and what a Connection header names, is taken away", () => {
    const raw = [
      "Connection",
      "close, X-Private, Content-Length, host",
      "Keep-Alive",
      "timeout=5",
      "TE",
      "trailers",
      "Upgrade",
      "h2c",
      "HTTP2-Settings",
      "AAMAAABkAAQ",
      "Proxy-Authorization",
      "Basic x",
      "Trailer",
      "x",
      "X-Private",
      "1",
      "Expect",
      "100-continue",
      "Host",
      "hs",
      "Content-Length",
      "3",
      "Accept",
      "*/*",
    ];
    const kept = ["Host", "hs", "Content-Length", "3", "Accept", "*/*"];
    expect(forwardedRequestHeaders("GET", raw, SENDER)).toEqual([
      ...kept,
      "X-Forwarded-For",
      "192.0.2.7",
      "X-Forwarded-Proto",
      "https",
    ]);
  });

  test("[FWD-12] who asked is appended to those named before; the first to name the scheme is believed", () => {
    const raw = [
      "x-forwarded-for",
      "198.51.100.1",
      "Host",
      "hs",
      "X-Forwarded-For",
      "203.0.113.9",
      "X-Forwarded-Proto",
      "http",
    ];
    expect(forwardedRequestHeaders("GET", raw, SENDER)).toEqual([
      "Host",
      "hs",
      "X-Forwarded-Proto",
      "http",
      "X-Forwarded-For",
      "198.51.100.1, 203.0.113.9, 192.0.2.7",
    ]);
    expect(
      headerOf(forwardedRequestHeaders("GET", ["Host", "hs"], { address: null, scheme: "http" }), "x-forwarded-for"),
    ).toBeNull();
  });

  test("[FWD-13] a chunked body stays chunked, and none is none", () => {
    const headers = forwardedRequestHeaders("GET", ["Host", "hs", "Transfer-Encoding", "chunked"], SENDER);
    expect(headerOf(headers, "transfer-encoding")).toBe("chunked");
    expect(headerOf(forwardedRequestHeaders("POST", ["Host", "hs"], SENDER), "content-length")).toBe("0");
    expect(headerOf(forwardedRequestHeaders("DELETE", ["Host", "hs"], SENDER), "content-length")).toBeNull();
  });
});

describe("forwardedResponseHeaders", () => {
  test("[FWD-11] and so with answers", () => {
    const raw = [
      "Set-Cookie",
      "a=1",
      "Connection",
      "x-hop",
      "set-cookie",
      "b=2",
      "X-Hop",
      "1",
      "Transfer-Encoding",
      "chunked",
    ];
    expect(forwardedResponseHeaders([...raw, "Content-Encoding", "gzip", "Date", "then"])).toEqual([
      "Set-Cookie",
      "a=1",
      "set-cookie",
      "b=2",
      "Content-Encoding",
      "gzip",
      "Date",
      "then",
    ]);
  });
});
