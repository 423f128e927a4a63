/** One kind of machine that releases are made for. */
export interface Target {
  name: string;
  /** Bun's name for it. */
  bun: string;
  machine: "x86_64" | "aarch64";
  libc: "glibc" | "musl";
  /** Debian's architecture, where there is a package for it. */
  deb: "amd64" | "arm64" | null;
}

/** All there are; each is run before it is shipped (`tools/foreign-root.ts`). */
export const TARGETS: readonly Target[] = [
  { name: "linux-x64", bun: "bun-linux-x64", machine: "x86_64", libc: "glibc", deb: "amd64" },
  { name: "linux-x64-musl", bun: "bun-linux-x64-musl", machine: "x86_64", libc: "musl", deb: null },
  { name: "linux-arm64", bun: "bun-linux-arm64", machine: "aarch64", libc: "glibc", deb: "arm64" },
  { name: "linux-arm64-musl", bun: "bun-linux-arm64-musl", machine: "aarch64", libc: "musl", deb: null },
];
