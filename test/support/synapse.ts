import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";

/** Installed once into the checkout's tool folder; pinned, so that a run says something about the next one. */
const SYNAPSE_VERSION = "1.163.2";
const VENV = join(import.meta.dir, "../../.tools/synapse");

const SETTINGS = `
enable_registration: true
enable_registration_without_verification: true
trusted_key_servers: []
suppress_key_server_warning: true
bcrypt_rounds: 4
rc_message: {per_second: 10000, burst_count: 10000}
rc_registration: {per_second: 10000, burst_count: 10000}
rc_login: {address: {per_second: 10000, burst_count: 10000}, account: {per_second: 10000, burst_count: 10000}, failed_attempts: {per_second: 10000, burst_count: 10000}}
rc_joins: {local: {per_second: 10000, burst_count: 10000}, remote: {per_second: 10000, burst_count: 10000}}
rc_joins_per_room: {per_second: 10000, burst_count: 10000}
rc_invites: {per_room: {per_second: 10000, burst_count: 10000}, per_user: {per_second: 10000, burst_count: 10000}, per_issuer: {per_second: 10000, burst_count: 10000}}
rc_room_creation: {per_second: 10000, burst_count: 10000}
`;

export interface Synapse {
  url: string;
  pid: number;
  register(localpart: string): Promise<SynapseUser>;
  stop(): Promise<void>;
}

/** How often a package index is asked: what is fetched may not come. */
const INSTALL_TRIES = 3;
const START_LIMIT_MS = 180_000;

async function run(command: string[], cwd?: string): Promise<void> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", ...(cwd === undefined ? {} : { cwd }) });
  if ((await child.exited) !== 0)
    throw new Error(`${command.join(" ")} failed: ${await new Response(child.stderr).text()}`);
}

/** Why there can be no Synapse here; null when there can. */
export function synapseProblem(): string | null {
  return Bun.which("python3") === null ? "python3 is not installed" : null;
}

/** Brings Synapse from the Python package index, and resolves to the Python that knows it. */
export async function installSynapse(): Promise<string> {
  const python = join(VENV, "bin/python");
  const marker = `synapse-${SYNAPSE_VERSION}`;
  if (existsSync(join(VENV, marker))) return python;
  // Made beside and renamed: an interrupted run, or several at once, leave no half of it.
  const draft = `${VENV}.${process.pid}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  await run(["python3", "-m", "venv", draft]);
  const install = [join(draft, "bin/python"), "-m", "pip", "install", "--quiet", `matrix-synapse==${SYNAPSE_VERSION}`];
  for (let tries = 1; ; tries += 1) {
    try {
      await run(install);
      break;
    } catch (error) {
      if (tries === INSTALL_TRIES) throw error;
    }
  }
  await writeFile(join(draft, marker), "");
  if (!existsSync(join(VENV, marker))) {
    // Moved out of the way in one step: somebody else may have put theirs there, and use it already.
    const old = `${draft}.old`;
    await rename(VENV, old).catch(() => undefined);
    const isTheirs = existsSync(join(old, marker));
    await rename(isTheirs ? old : draft, VENV).catch((error: unknown) => {
      if (!existsSync(join(VENV, marker))) throw error;
    });
    await rm(old, { recursive: true, force: true });
  }
  await rm(draft, { recursive: true, force: true });
  return python;
}

/** Resolves when a homeserver answers clients; rejects when its process ends before. */
export async function whenAnswering(url: string, child: { readonly exitCode: number | null }): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  for (;;) {
    try {
      if ((await fetch(`${url}/_matrix/client/versions`, { signal: AbortSignal.timeout(10_000) })).ok) return;
    } catch {
      if (child.exitCode !== null) throw new Error(`the homeserver exited with ${child.exitCode}`);
    }
    if (performance.now() > deadline) throw new Error("the homeserver did not answer in time");
    await Bun.sleep(200);
  }
}

/** Starts a Synapse of its own with SQLite on a free port of the loopback interface. */
export async function startSynapse(options: {
  stateAfter: boolean;
  /** More of what it has behind a switch. */
  features?: Record<string, boolean>;
  /** More of its configuration, which may name its own address. */
  settings?: (url: string) => Record<string, unknown>;
}): Promise<Synapse> {
  const python = await installSynapse();
  const dir = await mkdtemp(join(tmpdir(), "glissade-synapse-"));
  const port = await freePort();
  const base = [python, "-m", "synapse.app.homeserver", "--config-path", "homeserver.yaml"];
  await run([...base, "--server-name", "localhost", "--generate-config", "--report-stats=no"], dir);
  const path = join(dir, "homeserver.yaml");
  const generated = await readFile(path, "utf8");
  await writeFile(
    path,
    generated.replace(/port: 8008/, `port: ${port}`).replace(/bind_addresses: .*/, "bind_addresses: ['127.0.0.1']"),
  );
  const features = { msc4222_enabled: options.stateAfter, ...options.features };
  await appendFile(path, `\n${SETTINGS}experimental_features: ${JSON.stringify(features)}\n`);
  const url = `http://127.0.0.1:${port}`;
  const more = Object.entries(options.settings?.(url) ?? {});
  await appendFile(path, more.map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`).join(""));
  await run(["sed", "-i", "s/level: INFO/level: WARNING/", "localhost.log.config"], dir);
  const child = Bun.spawn(base, { cwd: dir, stdout: "ignore", stderr: "ignore" });
  await whenAnswering(url, child);
  return {
    url,
    pid: child.pid,
    register: (localpart) => SynapseUser.register(url, localpart),
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The password that an account registers with. */
export const passwordOf = (localpart: string): string => `${localpart}-secret`;

/** One account, driven over plain HTTP. */
export class SynapseUser {
  readonly url: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  #txn = 0;

  constructor(url: string, userId: string, deviceId: string, accessToken: string) {
    this.url = url;
    this.userId = userId;
    this.deviceId = deviceId;
    this.accessToken = accessToken;
  }

  static async register(url: string, localpart: string): Promise<SynapseUser> {
    const answer = await fetch(`${url}/_matrix/client/v3/register`, {
      method: "POST",
      body: JSON.stringify({ username: localpart, password: passwordOf(localpart), auth: { type: "m.login.dummy" } }),
    });
    const body = (await answer.json()) as { user_id: string; device_id: string; access_token: string };
    if (!answer.ok) throw new Error(`register ${localpart}: ${answer.status}`);
    return new SynapseUser(url, body.user_id, body.device_id, body.access_token);
  }

  /** Another device of the same account. */
  async logIn(): Promise<SynapseUser> {
    const localpart = this.userId.slice(1, this.userId.indexOf(":"));
    const body = await this.call<{ device_id: string; access_token: string }>("POST", "/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: localpart },
      password: passwordOf(localpart),
    });
    return new SynapseUser(this.url, this.userId, body.device_id, body.access_token);
  }

  /** A call below the stable prefix, or below that of something newer. */
  async call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, prefix = "v3"): Promise<T> {
    const answer = await fetch(`${this.url}/_matrix/client/${prefix}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.accessToken}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const result = (await answer.json()) as T;
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(result)}`);
    return result;
  }

  async createRoom(options: Record<string, unknown>): Promise<string> {
    return (await this.call<{ room_id: string }>("POST", "/createRoom", options)).room_id;
  }

  join(roomId: string): Promise<unknown> {
    return this.call("POST", `/join/${encodeURIComponent(roomId)}`, {});
  }

  leave(roomId: string): Promise<unknown> {
    return this.call("POST", `/rooms/${encodeURIComponent(roomId)}/leave`, {});
  }

  invite(roomId: string, userId: string): Promise<unknown> {
    return this.call("POST", `/rooms/${encodeURIComponent(roomId)}/invite`, { user_id: userId });
  }

  async say(roomId: string, body: string): Promise<string> {
    this.#txn += 1;
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/t${this.#txn}`;
    return (await this.call<{ event_id: string }>("PUT", path, { msgtype: "m.text", body })).event_id;
  }
}
