import type { StreamPos } from "#src/protocol/ids.ts";
import type { DeviceRecord } from "#src/ports/stores.ts";
import type { PollPart } from "./poll-part.ts";

/** What a poller knows of its device: with which token it polls, and from where. */
export class PolledDevice {
  accessToken: string | null = null;
  #tokenHash = "";
  /** Of the token that the poll under way was sent with; a newer one may have come since. */
  #polledTokenHash = "";
  /** A token that the homeserver refused and that storage may still hold. */
  deadTokenHash: string | null = null;
  isSoftLogout = false;
  /** By an operator. */
  isPaused = false;
  #since: string | null = null;
  /** The first sync is stored; `since` may be "" even then, when the homeserver gives none. */
  hasSynced = false;
  /**
   * `since` came without rooms: from another database, or because another device of the user brings them. First the device's own data
   * is read from there on. Then that other device has to be as far; or the rooms are read as in a first sync, beside the `since`:
   * to-device messages and device lists are told from one `since` to the next, rooms as they are.
   */
  roomsAreDue = false;
  #isOwnDataRead = false;
  /** Where the stream stood when the poll before was stored; null = this incarnation has had none stored. */
  polledAt: StreamPos | null = null;

  /** What is here of the user's rooms is brought up to date by polls from `since` on. */
  get hasRooms(): boolean {
    return this.hasSynced && !this.roomsAreDue;
  }

  /** The next poll is for all rooms as they are, unless another device has them. */
  get isWholeNext(): boolean {
    return !this.hasSynced || this.nextPart(false) === "rooms";
  }

  isUsing(tokenHash: string): boolean {
    return this.accessToken !== null && this.#tokenHash === tokenHash;
  }

  /** null = the next poll is made without. */
  get since(): string | null {
    return this.#since === "" ? null : this.#since;
  }

  /** Takes over what storage says, which no longer holds a dead token; false when it holds no token at all. */
  adopt(device: DeviceRecord | null): boolean {
    this.deadTokenHash = null;
    this.accessToken = null;
    this.renewToken(device);
    if (this.accessToken === null) return false;
    this.isSoftLogout = false;
    this.isPaused = device?.pausedMs != null;
    // Storage may lag behind what this incarnation knows, never the other way round.
    if (!this.hasSynced) {
      this.#since = device?.since ?? null;
      this.hasSynced = this.#since !== null;
      this.roomsAreDue = device?.roomsAreDue ?? false;
    }
    return true;
  }

  /** Uses the stored token from now on; the one at hand stays where none is stored. */
  renewToken(device: DeviceRecord | null): void {
    if (device === null || device.accessToken === null || device.tokenHash === null) return;
    this.accessToken = device.accessToken;
    this.#tokenHash = device.tokenHash;
  }

  /** The token for a poll that is sent now. */
  tokenForPoll(): string {
    this.#polledTokenHash = this.#tokenHash;
    return this.accessToken ?? "";
  }

  /** The homeserver refused the token of the poll: not one that has come while it was under way. Its hash. */
  refusePolledToken(isSoftLogout: boolean): string {
    return this.#refuse(this.#polledTokenHash, isSoftLogout);
  }

  /** The token at hand is not to be used any more; its hash. */
  dropToken(): string {
    return this.#refuse(this.#tokenHash, false);
  }

  #refuse(tokenHash: string, isSoftLogout: boolean): string {
    this.deadTokenHash = tokenHash;
    this.accessToken = null;
    this.isSoftLogout = isSoftLogout;
    return tokenHash;
  }

  /** The device's own data is here, and its rooms as far as another device has brought them. */
  get isToBeCovered(): boolean {
    return this.roomsAreDue && this.#isOwnDataRead;
  }

  /** Another device of the user has brought all that is older than `since`. */
  covered(): void {
    this.roomsAreDue = false;
  }

  /** What the next poll is for; `isCovered`: another device of the user brings the rooms. */
  nextPart(isCovered: boolean): PollPart {
    if (!this.hasSynced) return isCovered ? "device" : "all";
    if (!this.roomsAreDue) return "all";
    if (!this.#isOwnDataRead) return "device";
    return isCovered ? "all" : "rooms";
  }

  /** A poll is stored, the last of it when the stream stood at `pos`, if it had to be; false when it led nowhere. */
  advance(nextBatch: string, part: PollPart, pos: StreamPos | null): boolean {
    this.polledAt = pos ?? this.polledAt;
    if (part === "device") this.#isOwnDataRead = true;
    if (part !== "all") this.roomsAreDue = part === "device";
    const hasAdvanced = nextBatch !== this.#since;
    this.#since = nextBatch;
    this.hasSynced = true;
    return hasAdvanced;
  }
}
