import { PRESENCES, type Presence } from "#src/protocol/presence.ts";

/** A device has few connections; of more, those that asked first are forgotten. */
const MAX_CONNECTIONS = 32;

/** How the connections of a device want its user to be seen, each for a while: whoever says the most is believed. */
export class SeenAs {
  readonly #wishes = new Map<string, { presence: Presence; untilMs: number }>();

  wish(connection: string, presence: Presence, untilMs: number): void {
    this.#wishes.delete(connection);
    this.#wishes.set(connection, { presence, untilMs });
    const [oldest] = this.#wishes.keys();
    if (this.#wishes.size > MAX_CONNECTIONS && oldest !== undefined) this.#wishes.delete(oldest);
  }

  /** `offline`, which leaves presence alone, unless somebody says otherwise. */
  at(nowMs: number): Presence {
    if (this.#wishes.size === 0) return "offline";
    for (const [connection, { untilMs }] of this.#wishes) if (untilMs <= nowMs) this.#wishes.delete(connection);
    const wanted = new Set(this.#wishes.values().map(({ presence }) => presence));
    return PRESENCES.find((presence) => wanted.has(presence)) ?? "offline";
  }
}
