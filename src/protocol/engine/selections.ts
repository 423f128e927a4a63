import type { UserId } from "../ids.ts";
import type { StateSelection } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";

type State = RoomConfig["requiredState"];

/** What is asked for of rooms' state, as read for one user: rooms of one list share the very array. */
export class Selections {
  readonly #compiled = new WeakMap<State, StateSelection>();
  readonly #compile: (state: State, userId: UserId) => StateSelection;

  constructor(compile: (state: State, userId: UserId) => StateSelection) {
    this.#compile = compile;
  }

  /** The same selection for the same array. */
  of(state: State, userId: UserId): StateSelection {
    let selection = this.#compiled.get(state);
    if (selection === undefined) {
      selection = this.#compile(state, userId);
      this.#compiled.set(state, selection);
    }
    return selection;
  }
}
