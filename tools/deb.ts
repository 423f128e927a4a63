import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { manPage } from "./man-page.ts";
import { ROOT, run } from "./executable.ts";

/** What a package is made of. */
export interface DebOptions {
  executable: string;
  architecture: "amd64" | "arm64";
  version: string;
  /** Seconds since 1970: every file of the package is of then. */
  epoch: number;
  /** The licences of what is inside the executable. */
  licences: string;
  /** `none` for a package that goes no further than this machine. */
  compression: "xz" | "none";
  /** A folder to lay it out in, which is emptied. */
  workshop: string;
  outfile: string;
}

const MAINTAINER = "Glissade contributors <glissade@localhost>";
const MODES = { program: 0o755, data: 0o644, secret: 0o640 } as const;

/** Builds a package with `dpkg-deb`. The same input makes the same bytes. */
export function buildDeb(options: DebOptions): void {
  const { workshop, version, epoch, outfile } = options;
  rmSync(workshop, { recursive: true, force: true });
  const place = (path: string, content: string | Uint8Array, mode: keyof typeof MODES = "data"): void => {
    const target = join(workshop, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
    chmodSync(target, MODES[mode]);
  };
  const copy = (from: string, path: string, mode: keyof typeof MODES = "data"): void =>
    place(path, readFileSync(join(ROOT, from)), mode);
  const date = new Date(epoch * 1000);

  place("usr/bin/glissade", "", "program");
  copyFileSync(options.executable, join(workshop, "usr/bin/glissade"));
  copy("deploy/systemd/glissade.service", "usr/lib/systemd/system/glissade.service");
  copy("deploy/systemd/glissade.socket", "usr/lib/systemd/system/glissade.socket");
  copy("deploy/systemd/glissade.sysusers", "usr/lib/sysusers.d/glissade.conf");
  copy("deploy/systemd/glissade.env", "etc/glissade/glissade.env", "secret");
  for (const example of ["credentials.conf", "low-port.conf"])
    copy(`deploy/systemd/${example}`, `usr/share/doc/glissade/examples/${example}`);
  const manual = manPage(version, date.toISOString().slice(0, 10));
  place("usr/share/man/man1/glissade.1.gz", Bun.gzipSync(Buffer.from(manual), { level: 9 }));
  place("usr/share/doc/glissade/copyright", copyright(options.licences));
  place("usr/share/doc/glissade/changelog.gz", Bun.gzipSync(Buffer.from(changelog(version, date)), { level: 9 }));
  place("DEBIAN/control", control(options));
  place("DEBIAN/conffiles", "/etc/glissade/glissade.env\n");
  for (const script of ["postinst", "prerm", "postrm"]) copy(`deploy/debian/${script}`, `DEBIAN/${script}`, "program");
  mkdirSync(dirname(outfile), { recursive: true });
  const environment = { SOURCE_DATE_EPOCH: String(epoch) };
  run(["find", workshop, "-exec", "touch", "--no-dereference", `--date=@${epoch}`, "{}", "+"]);
  run(["find", workshop, "-type", "d", "-exec", "chmod", "0755", "{}", "+"]);
  run(["dpkg-deb", "--root-owner-group", `-Z${options.compression}`, "-z1", "--build", workshop, outfile], environment);
}

function control({ version, architecture }: DebOptions): string {
  return `Package: glissade
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Section: net
Priority: optional
Depends: libc6 (>= 2.17), init-system-helpers, systemd | systemd-standalone-sysusers
Recommends: ca-certificates
Suggests: postgresql, matrix-synapse
Description: sliding sync for any Matrix homeserver
 Glissade reads the classic /sync of the homeserver you have and serves the
 room list that newer clients ask for: sorted, windowed, there at once however
 many rooms an account has. It keeps its data itself until it is given
 PostgreSQL.
`;
}

/** The licences in full, as Apache-2.0 and the others ask for. */
const copyright = (licences: string): string =>
  `${licences}\n\n${"=".repeat(78)}\nGlissade\n${"=".repeat(78)}\n\n${readFileSync(join(ROOT, "LICENSE"), "utf8")}`;

const changelog = (version: string, date: Date): string =>
  `glissade (${version}) stable; urgency=medium\n\n  * Release ${version}.\n\n -- ${MAINTAINER}  ${date.toUTCString().replace("GMT", "+0000")}\n`;
