import type { UserId } from "../ids.ts";
import type { StateSelection } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";

type State = RoomConfig["requiredState"];

/** Lists and subscriptions of one connection that ask for different state; of more, those of long ago are read again. */
const MAX_COMPILED = 32;
const NO_STATE: State = [];

/** What is asked for of rooms' state, as read for one user: rooms of one list share the very array. */
export class Selections {
  /** The latest ones; no map, of which an empty one takes 200 bytes for each connection. */
  readonly #compiled: { state: State; userId: UserId; selection: StateSelection }[] = [];
  readonly #compile: (state: State, userId: UserId) => StateSelection;

  constructor(compile: (state: State, userId: UserId) => StateSelection) {
    this.#compile = compile;
  }

  /** The same selection for the same array, as long as that is remembered. */
  of(asked: State, userId: UserId): StateSelection {
    // Whoever asks for nothing has an array of their own for it.
    const state = asked.length === 0 ? NO_STATE : asked;
    const known = this.#compiled.find((one) => one.state === state && one.userId === userId);
    if (known !== undefined) return known.selection;
    const selection = this.#compile(state, userId);
    if (this.#compiled.length >= MAX_COMPILED) this.#compiled.shift();
    this.#compiled.push({ state, userId, selection });
    return selection;
  }
}
