import { isObject, type MatrixEvent } from "../model/wire.ts";
import { type Answer, failureText, type Http } from "./http.ts";

/** Somebody logged in. */
export interface Account {
  /** Where the homeserver's API is; empty = where the console came from. */
  homeserver: string;
  userId: string;
  deviceId: string;
  accessToken: string;
  /** The device was made here, and ends with log-out. A token that was brought along belongs to somebody else's device. */
  isOwnDevice: boolean;
}

/** What a homeserver offers for logging in. */
export interface LoginOffer {
  homeserver: string;
  hasPassword: boolean;
  hasSso: boolean;
}

/** A result, or why there is none. */
export type Outcome<T> = { value: T } | { failure: string };

const CLIENT = "/_matrix/client/v3";
const DEADLINE_MS = 60_000;
const DISCOVERY_DEADLINE_MS = 10_000;
const DEVICE_NAME = "Glissade console";
const HISTORY_PAGE = 50;

/** The first place where a homeserver answers. */
export async function findHomeserver(http: Http, places: readonly string[]): Promise<Outcome<LoginOffer>> {
  let failure = "no homeserver is known here";
  for (const homeserver of places) {
    const path = `${CLIENT}/login`;
    const answer = await http.call({
      method: "GET",
      url: homeserver + path,
      path,
      accessToken: null,
      deadlineMs: DISCOVERY_DEADLINE_MS,
    });
    const flows = answer.json["flows"];
    if (answer.status === 200 && Array.isArray(flows)) {
      const types = new Set(flows.map((flow: unknown) => (isObject(flow) ? flow["type"] : null)));
      const hasSso = types.has("m.login.sso") && types.has("m.login.token");
      return { value: { homeserver, hasPassword: types.has("m.login.password"), hasSso } };
    }
    failure = `${homeserver === "" ? "this address" : homeserver}: ${failureText(answer)}`;
  }
  return { failure };
}

/** Where single sign-on begins; it comes back to the console with a token in the address. */
export const ssoAddress = (homeserver: string, backTo: string): string =>
  `${homeserver}${CLIENT}/login/sso/redirect?redirectUrl=${encodeURIComponent(backTo)}`;

/** Logs in with a password, or with the token that single sign-on brought. */
export async function logIn(
  http: Http,
  homeserver: string,
  proof: { user: string; password: string } | { loginToken: string },
): Promise<Outcome<Account>> {
  const how =
    "loginToken" in proof
      ? { type: "m.login.token", token: proof.loginToken }
      : {
          type: "m.login.password",
          identifier: { type: "m.id.user", user: proof.user },
          password: proof.password,
        };
  const path = `${CLIENT}/login`;
  const answer = await http.call({
    method: "POST",
    url: homeserver + path,
    path,
    accessToken: null,
    body: { ...how, initial_device_display_name: DEVICE_NAME },
    deadlineMs: DEADLINE_MS,
    isSecret: true,
  });
  return accountOf(homeserver, answer, answer.json["access_token"], true);
}

/** Finds out whose token it is. */
export async function recogniseToken(http: Http, homeserver: string, accessToken: string): Promise<Outcome<Account>> {
  const path = `${CLIENT}/account/whoami`;
  const call = { method: "GET", url: homeserver + path, path, accessToken, deadlineMs: DEADLINE_MS } as const;
  return accountOf(homeserver, await http.call(call), accessToken, false);
}

function accountOf(homeserver: string, answer: Answer, token: unknown, isOwnDevice: boolean): Outcome<Account> {
  const { user_id: userId, device_id: deviceId } = answer.json;
  if (answer.status !== 200 || typeof userId !== "string" || typeof token !== "string") {
    return { failure: failureText(answer) };
  }
  const device = typeof deviceId === "string" ? deviceId : "";
  return { value: { homeserver, userId, deviceId: device, accessToken: token, isOwnDevice } };
}

/** What a member does in a room, through the homeserver. */
export class RoomActions {
  readonly #http: Http;
  readonly #account: Account;

  constructor(http: Http, account: Account) {
    this.#http = http;
    this.#account = account;
  }

  /** Resolves to the id of the event. */
  async send(roomId: string, txnId: string, body: string): Promise<Outcome<string>> {
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${encodeURIComponent(txnId)}`;
    const answer = await this.#call("PUT", path, { msgtype: "m.text", body });
    const { event_id: eventId } = answer.json;
    return typeof eventId === "string" ? { value: eventId } : { failure: failureText(answer) };
  }

  /** As the others: resolves to what went wrong, or null. */
  join(roomId: string): Promise<string | null> {
    return this.#do("POST", `/rooms/${encodeURIComponent(roomId)}/join`, {});
  }

  leave(roomId: string): Promise<string | null> {
    return this.#do("POST", `/rooms/${encodeURIComponent(roomId)}/leave`, {});
  }

  markRead(roomId: string, eventId: string): Promise<string | null> {
    const path = `/rooms/${encodeURIComponent(roomId)}/read_markers`;
    return this.#do("POST", path, { "m.fully_read": eventId, "m.read": eventId });
  }

  /** Ends the device. */
  logOut(): Promise<string | null> {
    return this.#do("POST", "/logout", {});
  }

  /** Events before `from`, oldest first. */
  async history(roomId: string, from: string): Promise<Outcome<{ events: MatrixEvent[]; end: string | null }>> {
    const params = new URLSearchParams({ dir: "b", limit: String(HISTORY_PAGE), from });
    const answer = await this.#call("GET", `/rooms/${encodeURIComponent(roomId)}/messages?${params}`);
    if (answer.status !== 200) return { failure: failureText(answer) };
    const chunk: unknown[] = Array.isArray(answer.json["chunk"]) ? answer.json["chunk"] : [];
    const events = chunk.filter(isEvent).reverse();
    const { end } = answer.json;
    return { value: { events, end: typeof end === "string" && events.length > 0 ? end : null } };
  }

  async #do(method: "POST", path: string, body: Record<string, unknown>): Promise<string | null> {
    const answer = await this.#call(method, path, body);
    return answer.status === 200 ? null : failureText(answer);
  }

  #call(method: "GET" | "POST" | "PUT", below: string, body?: Record<string, unknown>): Promise<Answer> {
    const { homeserver, accessToken } = this.#account;
    const path = CLIENT + below;
    const more = body === undefined ? {} : { body };
    return this.#http.call({ method, url: homeserver + path, path, accessToken, deadlineMs: DEADLINE_MS, ...more });
  }
}

const isEvent = (value: unknown): value is MatrixEvent =>
  isObject(value) && typeof value["type"] === "string" && isObject(value["content"]);
