import { type ReadonlySignal, signal } from "@preact/signals";
import type { Browser } from "../browser.ts";
import { clearTraffic, NO_TRAFFIC, noteExchange, setPaused, type Traffic } from "../model/traffic.ts";
import { DIALECTS, type DialectName, isObject, parseObject } from "../model/wire.ts";
import { Client } from "./client.ts";
import { Http } from "./http.ts";
import { type Account, findHomeserver, logIn, type LoginOffer, type Outcome, recogniseToken } from "./homeserver.ts";

/** What the server says of itself to its console. */
export interface Settings {
  version: string;
  dialects: readonly DialectName[];
  homeservers: readonly string[];
  hasAdmin: boolean;
  needsToken: boolean;
}

const SETTINGS_DEADLINE_MS = 10_000;
/** Gone with the tab. */
const ACCOUNT_KEY = "glissade.account";
const DIALECT_KEY = "glissade.dialect";
const ADMIN_KEY = "glissade.admin";
const THEME_KEY = "glissade.theme";
const SSO_KEY = "glissade.sso";

/** How light the console is; `auto` is what the system says. */
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** Everything that outlives a page of the console. */
export class AppState {
  readonly browser: Browser;
  readonly settings: Settings;
  readonly http: Http;
  readonly #traffic = signal<Traffic>(NO_TRAFFIC);
  readonly #client = signal<Client | null>(null);
  readonly #adminToken = signal<string | null>(null);
  readonly #theme = signal<Theme>("auto");

  constructor(browser: Browser, settings: Settings) {
    this.browser = browser;
    this.settings = settings;
    this.http = new Http(browser, (exchange) => {
      this.#traffic.value = noteExchange(this.#traffic.value, exchange);
    });
    this.#adminToken.value = browser.storage.getItem(ADMIN_KEY);
    this.#theme.value = THEMES.find((theme) => theme === browser.storage.getItem(THEME_KEY)) ?? "auto";
    const account = readAccount(browser.storage.getItem(ACCOUNT_KEY));
    if (account !== null && settings.dialects.length > 0) this.#begin(account, this.dialect);
  }

  get traffic(): ReadonlySignal<Traffic> {
    return this.#traffic;
  }

  /** Null while nobody is logged in. */
  get client(): ReadonlySignal<Client | null> {
    return this.#client;
  }

  get adminToken(): ReadonlySignal<string | null> {
    return this.#adminToken;
  }

  get theme(): ReadonlySignal<Theme> {
    return this.#theme;
  }

  /** The one chosen last, or the one that most clients speak. */
  get dialect(): DialectName {
    const { dialects } = this.settings;
    const stored = this.browser.storage.getItem(DIALECT_KEY);
    return dialects.find((name) => name === stored) ?? dialects.find((name) => name === "simplified") ?? "msc3575";
  }

  findHomeserver(): Promise<Outcome<LoginOffer>> {
    return findHomeserver(this.http, this.settings.homeservers);
  }

  /** Resolves to why it failed; null = somebody is logged in. */
  async logIn(
    homeserver: string,
    proof: Parameters<typeof logIn>[2] | { accessToken: string },
  ): Promise<string | null> {
    const outcome =
      "accessToken" in proof
        ? await recogniseToken(this.http, homeserver, proof.accessToken)
        : await logIn(this.http, homeserver, proof);
    if ("failure" in outcome) return outcome.failure;
    this.browser.storage.setItem(ACCOUNT_KEY, JSON.stringify(outcome.value));
    this.#begin(outcome.value, this.dialect);
    return null;
  }

  /** The homeserver is about to be asked who this is; it answers with a token in the address. */
  beginSso(): void {
    this.browser.storage.setItem(SSO_KEY, "begun");
  }

  /** Whether this tab waits for such a token, once: any link could bring one, and log in as who made the link. */
  endSso(): boolean {
    const hasBegun = this.browser.storage.getItem(SSO_KEY) !== null;
    this.browser.storage.removeItem(SSO_KEY);
    return hasBegun;
  }

  async logOut(): Promise<void> {
    const client = this.#client.value;
    this.#client.value = null;
    this.browser.storage.removeItem(ACCOUNT_KEY);
    this.#traffic.value = NO_TRAFFIC;
    await client?.logOut();
  }

  speak(dialect: DialectName): void {
    const client = this.#client.value;
    this.browser.storage.setItem(DIALECT_KEY, dialect);
    if (client === null || client.dialect === dialect) return;
    client.stop();
    this.#begin(client.account, dialect);
  }

  setAdminToken(token: string | null): void {
    if (token === null) this.browser.storage.removeItem(ADMIN_KEY);
    else this.browser.storage.setItem(ADMIN_KEY, token);
    this.#adminToken.value = token;
  }

  setTheme(theme: Theme): void {
    this.browser.storage.setItem(THEME_KEY, theme);
    this.#theme.value = theme;
  }

  pauseTraffic(isPaused: boolean): void {
    this.#traffic.value = setPaused(this.#traffic.value, isPaused);
  }

  clearTraffic(): void {
    this.#traffic.value = clearTraffic(this.#traffic.value);
  }

  #begin(account: Account, dialect: DialectName): void {
    const { browser, http } = this;
    this.#client.value = new Client({ browser, http, account, dialect });
  }
}

/** Asks the server what the console needs to know; null when it does not answer. */
export async function loadSettings(browser: Browser): Promise<Settings | null> {
  try {
    const init = { signal: AbortSignal.timeout(SETTINGS_DEADLINE_MS) };
    const value: unknown = await (await browser.fetch("./console.json", init)).json();
    if (!isObject(value)) return null;
    return {
      version: String(value["version"]),
      dialects: DIALECTS.filter((name) => textsOf(value["dialects"]).includes(name)),
      homeservers: textsOf(value["homeservers"]),
      hasAdmin: value["hasAdmin"] === true,
      needsToken: value["needsToken"] === true,
    };
  } catch {
    return null;
  }
}

const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];

function readAccount(text: string | null): Account | null {
  const value = text === null ? null : parseObject(text);
  if (value === null) return null;
  const { homeserver, userId, deviceId, accessToken, isOwnDevice } = value;
  const texts = [homeserver, userId, deviceId, accessToken];
  if (!texts.every((item) => typeof item === "string")) return null;
  const [place = "", user = "", device = "", token = ""] = texts;
  return { homeserver: place, userId: user, deviceId: device, accessToken: token, isOwnDevice: isOwnDevice === true };
}
