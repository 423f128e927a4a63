import { dlopen, ptr } from "bun:ffi";

/** From Linux' headers, the same on x64 and arm64. */
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;

/** By this name musl finds itself too. */
const load = () =>
  dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "usize", "i32", "ptr", "u32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
    dup2: { args: ["i32", "i32"], returns: "i32" },
  });

let loaded: ReturnType<typeof load> | null = null;
/** Only who has something to tell pays for it, and once. */
const libc = (): ReturnType<typeof load>["symbols"] => (loaded ??= load()).symbols;

/**
 * Sends a datagram to a unix socket, at once or not at all: the runtime has datagrams for UDP alone. `path` may name an
 * abstract socket (`@name`). False when it was not taken.
 */
export function sendDatagram(path: string, text: string): boolean {
  const { socket, sendto, close } = libc();
  const descriptor = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const [bytes, address] = [Buffer.from(text), socketAddress(path)];
  const sent = sendto(descriptor, ptr(bytes), bytes.length, MSG_DONTWAIT_NOSIGNAL, ptr(address), address.length);
  close(descriptor);
  return Number(sent) === bytes.length;
}

/** `struct sockaddr_un`: an abstract name begins with a zero, a path ends with one. */
function socketAddress(path: string): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  const name = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
  return Buffer.concat([family, Buffer.from(name)]);
}

/** Makes descriptor `to` the same as `from`; false when it could not. */
export const duplicateDescriptor = (from: number, to: number): boolean => libc().dup2(from, to) === to;
