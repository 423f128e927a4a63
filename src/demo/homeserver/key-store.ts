import type { Account, Accounts, Device, UploadedKey } from "./accounts.ts";
import type { Rooms } from "./rooms.ts";
import type { Stream } from "./stream.ts";
import { asJson, asString, asStrings, isJson, type Json, MatrixError } from "./wire.ts";

const CROSS_SIGNING_KEYS = ["master", "self_signing", "user_signing"] as const;

function uploadedKeys(value: unknown): UploadedKey[] {
  return Object.entries(asJson(value)).map(([name, key]) => ({ name, key, algorithm: name.split(":")[0] ?? name }));
}

/** Adds the signatures of `signed` to those of `target`. */
function withSignatures(target: Json, signed: Json): Json {
  const signatures: Json = { ...asJson(target["signatures"]) };
  for (const [userId, added] of Object.entries(asJson(signed["signatures"]))) {
    signatures[userId] = { ...asJson(signatures[userId]), ...asJson(added) };
  }
  return { ...target, signatures };
}

/** Device keys, one-time and fallback keys, cross-signing keys, and who changed when. */
export class KeyStore {
  readonly #accounts: Accounts;
  readonly #rooms: Rooms;
  readonly #stream: Stream;
  /** Newest key change of each user. */
  readonly #changed = new Map<string, number>();

  constructor(accounts: Accounts, rooms: Rooms, stream: Stream) {
    this.#accounts = accounts;
    this.#rooms = rooms;
    this.#stream = stream;
  }

  /** Tells everybody who shares a room with this user to ask for the keys anew. */
  noteChange(account: Account): void {
    this.#changed.set(account.userId, this.#stream.next());
    this.#stream.wake(this.#rooms.sharers(account));
  }

  /** Users whose keys changed after `since`. */
  changedAfter(since: number): string[] {
    return [...this.#changed].filter(([, pos]) => pos > since).map(([userId]) => userId);
  }

  upload(account: Account, device: Device, body: Json): Json {
    const deviceKeys = body["device_keys"];
    if (isJson(deviceKeys) && !Bun.deepEquals(device.deviceKeys, deviceKeys)) {
      device.deviceKeys = deviceKeys;
      this.noteChange(account);
    }
    for (const uploaded of uploadedKeys(body["one_time_keys"])) {
      const present = device.oneTimeKeys.find((key) => key.name === uploaded.name);
      if (present === undefined) device.oneTimeKeys.push(uploaded);
      else if (!Bun.deepEquals(present.key, uploaded.key)) {
        throw new MatrixError(400, "M_UNKNOWN", `One time key ${uploaded.name} already exists`);
      }
    }
    for (const uploaded of uploadedKeys(body["fallback_keys"] ?? body["org.matrix.msc2732.fallback_keys"])) {
      device.fallbackKeys.set(uploaded.algorithm, { ...uploaded, used: false });
    }
    return { one_time_key_counts: this.oneTimeKeyCounts(device) };
  }

  /** Unclaimed one-time keys by algorithm; the one algorithm in use is always named. */
  oneTimeKeyCounts(device: Device): Record<string, number> {
    const counts: Record<string, number> = { signed_curve25519: 0 };
    for (const { algorithm } of device.oneTimeKeys) counts[algorithm] = (counts[algorithm] ?? 0) + 1;
    return counts;
  }

  unusedFallbackKeyTypes(device: Device): string[] {
    return [...device.fallbackKeys.values()].filter((key) => !key.used).map((key) => key.algorithm);
  }

  query(viewer: Account, body: Json): Json {
    const deviceKeys: Record<string, Json> = {};
    const crossSigning: Record<(typeof CROSS_SIGNING_KEYS)[number], Json> = {
      master: {},
      self_signing: {},
      user_signing: {},
    };
    for (const [userId, wanted] of Object.entries(asJson(body["device_keys"]))) {
      const account = this.#accounts.find(userId);
      if (account === null) continue;
      const only = asStrings(wanted);
      const devices: Json = {};
      for (const device of account.devices.values()) {
        if (device.deviceKeys === null || (only.length > 0 && !only.includes(device.deviceId))) continue;
        const unsigned = device.displayName === null ? {} : { device_display_name: device.displayName };
        devices[device.deviceId] = { ...device.deviceKeys, unsigned };
      }
      deviceKeys[userId] = devices;
      for (const kind of CROSS_SIGNING_KEYS) {
        const key = account.crossSigning.get(kind);
        if (key !== undefined && (kind !== "user_signing" || account === viewer)) crossSigning[kind][userId] = key;
      }
    }
    return {
      device_keys: deviceKeys,
      master_keys: crossSigning.master,
      self_signing_keys: crossSigning.self_signing,
      user_signing_keys: crossSigning.user_signing,
      failures: {},
    };
  }

  claim(body: Json): Json {
    const claimed: Record<string, Json> = {};
    for (const [userId, devices] of Object.entries(asJson(body["one_time_keys"]))) {
      for (const [deviceId, algorithm] of Object.entries(asJson(devices))) {
        const device = this.#accounts.find(userId)?.devices.get(deviceId);
        const key = device === undefined ? null : this.#claimOne(device, asString(algorithm) ?? "");
        if (key !== null) claimed[userId] = { ...claimed[userId], [deviceId]: { [key.name]: key.key } };
      }
    }
    return { one_time_keys: claimed, failures: {} };
  }

  /** The oldest one-time key, which is then gone; else the fallback key, which is then used. */
  #claimOne(device: Device, algorithm: string): UploadedKey | null {
    const index = device.oneTimeKeys.findIndex((key) => key.algorithm === algorithm);
    const [oneTime] = index < 0 ? [] : device.oneTimeKeys.splice(index, 1);
    if (oneTime !== undefined) return oneTime;
    const fallback = device.fallbackKeys.get(algorithm);
    if (fallback === undefined) return null;
    device.fallbackKeys.set(algorithm, { ...fallback, used: true });
    return fallback;
  }

  uploadCrossSigning(account: Account, body: Json): void {
    for (const kind of CROSS_SIGNING_KEYS) {
      const key = body[`${kind}_key`];
      if (isJson(key)) account.crossSigning.set(kind, key);
    }
    this.noteChange(account);
  }

  /** Merges signatures into device and cross-signing keys. */
  uploadSignatures(body: Json): Json {
    const failures: Record<string, Json> = {};
    for (const [userId, signedKeys] of Object.entries(body)) {
      const account = this.#accounts.find(userId);
      for (const [keyId, signed] of Object.entries(asJson(signedKeys))) {
        if (account !== null && this.#sign(account, keyId, asJson(signed))) continue;
        failures[userId] = { ...failures[userId], [keyId]: { errcode: "M_NOT_FOUND", error: "Unknown key" } };
      }
      if (account !== null) this.noteChange(account);
    }
    return { failures };
  }

  #sign(account: Account, keyId: string, signed: Json): boolean {
    const device = account.devices.get(keyId);
    if (device?.deviceKeys != null) {
      device.deviceKeys = withSignatures(device.deviceKeys, signed);
      return true;
    }
    for (const [kind, key] of account.crossSigning) {
      if (!Object.values(asJson(key["keys"])).includes(keyId)) continue;
      account.crossSigning.set(kind, withSignatures(key, signed));
      return true;
    }
    return false;
  }

  /** Queues messages for devices; `*` means all devices of a user. */
  sendToDevice(sender: string, type: string, messages: Json): void {
    for (const [userId, byDevice] of Object.entries(messages)) {
      const account = this.#accounts.find(userId);
      if (account === null) continue;
      for (const [deviceId, content] of Object.entries(asJson(byDevice))) {
        const one = account.devices.get(deviceId);
        const targets = deviceId === "*" ? [...account.devices.values()] : one === undefined ? [] : [one];
        for (const device of targets) {
          device.toDevice.push({ pos: this.#stream.next(), event: { type, sender, content } });
        }
      }
      this.#stream.wake([userId]);
    }
  }
}
