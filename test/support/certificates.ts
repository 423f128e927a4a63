import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Files of one certificate: `chain` begins with it, `bundle` ends with its key. */
export interface Certificate {
  chain: string;
  /** Without its intermediate. */
  alone: string;
  key: string;
  bundle: string;
}

async function openssl(cwd: string, ...args: string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...args], { cwd, stdout: "ignore", stderr: "pipe" });
  if ((await child.exited) !== 0) throw new Error(`openssl ${args[0]}: ${await new Response(child.stderr).text()}`);
}

const EXTENSIONS = `
[authority]
basicConstraints = critical,CA:true
[leaf]
basicConstraints = CA:false
subjectAltName = DNS:NAME
`;

/** An authority of one's own with an intermediate, as the real ones have. */
export class Authority {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async create(dir: string): Promise<Authority> {
    await mkdir(dir, { recursive: true });
    const authority = new Authority(dir);
    await authority.#issue("root", "Test Root", null, "authority", 30);
    await authority.#issue("intermediate", "Test Intermediate", "root", "authority", 30);
    return authority;
  }

  /** Whom clients have to believe. */
  get rootPath(): string {
    return join(this.#dir, "root.pem");
  }

  /** A certificate for a name; `days` may be negative: it ended so long ago. */
  async issue(file: string, name: string, days = 30): Promise<Certificate> {
    await this.#issue(file, name, "intermediate", "leaf", days);
    const path = (ending: string): string => join(this.#dir, `${file}${ending}`);
    const read = (name: string): Promise<string> => readFile(join(this.#dir, name), "utf8");
    const [leaf, intermediate, key] = await Promise.all([
      read(`${file}.pem`),
      read("intermediate.pem"),
      read(`${file}.key`),
    ]);
    await writeFile(path("-chain.pem"), leaf + intermediate);
    await writeFile(path("-bundle.pem"), leaf + intermediate + key);
    return { chain: path("-chain.pem"), alone: path(".pem"), key: path(".key"), bundle: path("-bundle.pem") };
  }

  async #issue(
    file: string,
    name: string,
    by: string | null,
    section: "authority" | "leaf",
    days: number,
  ): Promise<void> {
    const dir = this.#dir;
    await writeFile(join(dir, `${file}.cnf`), EXTENSIONS.replace("NAME", name));
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    await openssl(
      dir,
      "req",
      "-new",
      ...curve,
      "-keyout",
      `${file}.key`,
      "-out",
      `${file}.csr`,
      "-subj",
      `/CN=${name}`,
    );
    // `x509` knows no certificates of the past; `ca` does, and wants some files for it.
    const { config, dates } = await this.#register(file, days);
    const signer =
      by === null ? ["-selfsign", "-keyfile", `${file}.key`] : ["-cert", `${by}.pem`, "-keyfile", `${by}.key`];
    const extensions = ["-extfile", `${file}.cnf`, "-extensions", section];
    await openssl(
      dir,
      "ca",
      "-batch",
      "-notext",
      "-config",
      config,
      ...signer,
      ...extensions,
      ...dates,
      "-in",
      `${file}.csr`,
      "-out",
      `${file}.pem`,
    );
  }

  async #register(file: string, days: number): Promise<{ config: string; dates: string[] }> {
    const [config, index, serial] = [`${file}-ca.cnf`, `${file}.index`, `${file}.serial`];
    const policy = "[ca]\ndefault_ca = test\n[policy]\ncommonName = supplied\n";
    const section = `[test]\ndatabase = ${index}\nserial = ${serial}\nnew_certs_dir = .\ndefault_md = sha256\npolicy = policy\nunique_subject = no\n`;
    await Promise.all([
      writeFile(join(this.#dir, config), policy + section),
      writeFile(join(this.#dir, index), ""),
      writeFile(join(this.#dir, serial), `${Bun.hash.crc32(file).toString(16).padStart(8, "0")}\n`),
    ]);
    const dayMs = 86_400_000;
    const stamp = (ms: number): string => new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
    const endMs = Date.now() + days * dayMs;
    return { config, dates: ["-startdate", stamp(endMs - 60 * dayMs), "-enddate", stamp(endMs)] };
  }
}
