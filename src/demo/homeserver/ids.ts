import type { Rng } from "#src/ports/basics.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Makes identifiers in the shapes of a current homeserver; the same seed gives the same ones. */
export class IdMaker {
  readonly #rng: Rng;
  readonly serverName: string;
  #serial = 0;

  constructor(rng: Rng, serverName: string) {
    this.#rng = rng;
    this.serverName = serverName;
  }

  /** The serial makes ids unique whatever the generator says. */
  #opaque(length: number): string {
    const tail = (this.#serial++).toString(36);
    let text = "";
    while (text.length < length - tail.length) {
      text += ALPHABET[Math.floor(this.#rng.next() * ALPHABET.length)] ?? "A";
    }
    return text + tail;
  }

  eventId(): string {
    return `$${this.#opaque(43)}`;
  }

  roomId(): string {
    return `!${this.#opaque(18)}:${this.serverName}`;
  }

  deviceId(): string {
    return this.#opaque(10).toUpperCase();
  }

  accessToken(localpart: string): string {
    return `syt_${localpart}_${this.#opaque(26)}`;
  }

  userId(localpart: string): string {
    return localpart.startsWith("@") ? localpart : `@${localpart}:${this.serverName}`;
  }
}
