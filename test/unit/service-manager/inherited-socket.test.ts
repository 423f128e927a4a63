import { describe, expect, test } from "bun:test";
import { inheritedSocket, keepInheritedSocket, usableSocket } from "#src/service-manager/inherited-socket.ts";

const PASSED = { LISTEN_PID: "7", LISTEN_FDS: "1" };

describe("a socket of the service manager", () => {
  test("[SYSD-10] is the third descriptor, when it is meant for this process", () => {
    expect(inheritedSocket({}, 7)).toBeNull();
    expect(inheritedSocket({ ...PASSED, LISTEN_PID: "8" }, 7)).toBeNull();
    expect(inheritedSocket({ ...PASSED, LISTEN_FDS: "0" }, 7)).toBeNull();
    expect(inheritedSocket(PASSED, 7)).toEqual({ descriptor: 3 });
  });

  test("[SYSD-11] more than one, or one with TLS, is refused with what to do", () => {
    const two = inheritedSocket({ ...PASSED, LISTEN_FDS: "2" }, 7);
    expect(() => usableSocket(two, false)).toThrow("passed 2 sockets");
    expect(() => usableSocket({ descriptor: 3 }, true)).toThrow("TLS is not spoken");
    expect(usableSocket({ descriptor: 3 }, false)).toBe(3);
    expect(usableSocket(null, true)).toBeNull();
  });

  test("[SYSD-12] outlives the replacement of the process, as its standard input", () => {
    const calls: [number, number][] = [];
    const duplicate = (from: number, to: number): boolean => calls.push([from, to]) > 0;
    const kept = keepInheritedSocket(PASSED, 7, duplicate);
    expect(calls).toEqual([[3, 0]]);
    expect(inheritedSocket({ ...PASSED, ...kept }, 7)).toEqual({ descriptor: 0 });
    expect(keepInheritedSocket({}, 7, duplicate)).toEqual({});
    expect(keepInheritedSocket(PASSED, 7, () => false)).toEqual({});
    expect(calls).toHaveLength(1);
  });
});
