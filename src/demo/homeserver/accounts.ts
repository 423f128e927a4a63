import type { IdMaker } from "./ids.ts";
import type { StoredEvent } from "./room.ts";
import { asStrings, type Json, MatrixError } from "./wire.ts";

/** A value with the stream position of its last change. */
export interface Dated {
  pos: number;
  content: Json;
}

/** A one-time or fallback key as uploaded. */
export interface UploadedKey {
  algorithm: string;
  /** `algorithm:id`, the name it is handed out under. */
  name: string;
  key: unknown;
}

/** One login of a user, with everything the homeserver keeps for that login alone. */
export interface Device {
  readonly userId: string;
  readonly deviceId: string;
  displayName: string | null;
  /** Undelivered to-device messages, oldest first. */
  toDevice: { pos: number; event: Json }[];
  deviceKeys: Json | null;
  /** Oldest first: claimed from the front. */
  oneTimeKeys: UploadedKey[];
  fallbackKeys: Map<string, UploadedKey & { used: boolean }>;
  /** Answers to idempotent requests, by their path. */
  readonly answers: Map<string, Json>;
}

/** A user's own relation to a room they have ever had one with. */
export interface Standing {
  member: StoredEvent;
  isForgotten: boolean;
}

/** A user of the demonstration homeserver. */
export interface Account {
  readonly userId: string;
  readonly localpart: string;
  readonly password: string | null;
  displayName: string | null;
  avatarUrl: string | null;
  readonly devices: Map<string, Device>;
  readonly accountData: Map<string, Dated>;
  readonly roomAccountData: Map<string, Map<string, Dated>>;
  readonly filters: Json[];
  readonly standings: Map<string, Standing>;
  /** `master`, `self_signing`, `user_signing`. */
  readonly crossSigning: Map<string, Json>;
}

/** Who makes a request. */
export interface Session {
  account: Account;
  device: Device;
  accessToken: string;
}

/** How many answers to idempotent requests one device keeps. */
const KEPT_ANSWERS_COUNT = 1000;

/** Remembers the answer to an idempotent request of a device. */
export function rememberAnswer(device: Device, key: string, answer: Json): void {
  device.answers.set(key, answer);
  if (device.answers.size <= KEPT_ANSWERS_COUNT) return;
  const [oldest] = device.answers.keys();
  if (oldest !== undefined) device.answers.delete(oldest);
}

/** Users, their devices and their access tokens. */
export class Accounts {
  readonly #ids: IdMaker;
  readonly #accounts = new Map<string, Account>();
  readonly #sessions = new Map<string, Session>();
  /** Tokens that were valid once, with whether their death was a soft logout. */
  readonly #deadTokens = new Map<string, boolean>();

  constructor(ids: IdMaker) {
    this.#ids = ids;
  }

  /** A new account; null when the user ID is taken. */
  create(userId: string, password: string | null, displayName: string | null): Account | null {
    if (this.#accounts.has(userId)) return null;
    const account: Account = {
      userId,
      localpart: userId.slice(1).split(":")[0] ?? userId,
      password,
      displayName,
      avatarUrl: null,
      devices: new Map(),
      accountData: new Map(),
      roomAccountData: new Map(),
      filters: [],
      standings: new Map(),
      crossSigning: new Map(),
    };
    this.#accounts.set(userId, account);
    return account;
  }

  find(userId: string): Account | null {
    return this.#accounts.get(userId) ?? null;
  }

  all(): IterableIterator<Account> {
    return this.#accounts.values();
  }

  /** A new token; for a new device, or for `deviceId` where it exists already. */
  logIn(account: Account, options: { deviceId?: string; displayName?: string; accessToken?: string } = {}): Session {
    const deviceId = options.deviceId ?? this.#ids.deviceId();
    const device: Device = account.devices.get(deviceId) ?? {
      userId: account.userId,
      deviceId,
      displayName: options.displayName ?? null,
      toDevice: [],
      deviceKeys: null,
      oneTimeKeys: [],
      fallbackKeys: new Map(),
      answers: new Map(),
    };
    account.devices.set(deviceId, device);
    const accessToken = options.accessToken ?? this.#ids.accessToken(account.localpart);
    const session: Session = { account, device, accessToken };
    this.#deadTokens.delete(accessToken);
    this.#sessions.set(accessToken, session);
    return session;
  }

  /** Whose token this is; throws the 401 a homeserver answers otherwise. */
  authenticate(accessToken: string | null): Session {
    if (accessToken === null) throw new MatrixError(401, "M_MISSING_TOKEN", "Missing access token");
    const session = this.#sessions.get(accessToken);
    if (session !== undefined) return session;
    const softLogout = this.#deadTokens.get(accessToken) ?? false;
    throw new MatrixError(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.", { soft_logout: softLogout });
  }

  session(accessToken: string): Session | null {
    return this.#sessions.get(accessToken) ?? null;
  }

  /** Makes a token unknown from now on; the device stays. */
  killToken(accessToken: string, softLogout: boolean): void {
    if (this.#sessions.delete(accessToken)) this.#deadTokens.set(accessToken, softLogout);
  }

  /** Ends a login: its tokens and its device. */
  removeDevice(account: Account, deviceId: string): void {
    account.devices.delete(deviceId);
    for (const session of this.#sessions.values()) {
      if (session.account === account && session.device.deviceId === deviceId)
        this.killToken(session.accessToken, false);
    }
  }

  get counts(): { users: number; devices: number } {
    let devices = 0;
    for (const account of this.#accounts.values()) devices += account.devices.size;
    return { users: this.#accounts.size, devices };
  }
}

/** User IDs of `m.ignored_user_list`. */
export function ignoredUsers(account: Account): Set<string> {
  const users = account.accountData.get("m.ignored_user_list")?.content["ignored_users"];
  return new Set(typeof users === "object" && users !== null ? asStrings(Object.keys(users)) : []);
}
