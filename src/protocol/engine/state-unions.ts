import { sameRequiredState, type StateTuple } from "../required-state.ts";
import { uniteAlternatives } from "../simplified-state.ts";
import type { RoomConfig } from "../sticky.ts";

type State = RoomConfig["requiredState"];
type Unite = (a: State, b: State) => State;

/** More remembered keys than this are forgotten: they are sent again when they are asked for again. */
const MAX_REMEMBERED_STATE = 300;

/** What is asked for of rooms, put together once for all that are asked for alike: they share the very arrays. */
export class StateUnions {
  // Made on first use: an empty one takes 200 bytes, and few connections need any.
  #asked: WeakMap<State, WeakMap<State, State>> | null = null;
  #parts: WeakMap<State, Map<string, State>> | null = null;
  #remembered: WeakMap<State, WeakMap<State, State>> | null = null;

  /** What either asks for. */
  both(a: State, b: State): State {
    this.#asked ??= new WeakMap();
    return once(this.#asked, a, b, uniteAlternatives);
  }

  /** What was asked for but for some of it; the same of the same is the very same. */
  without(state: State, entries: ReadonlySet<StateTuple>): State {
    const places = state.flatMap((entry, index) => (entries.has(entry) ? [index] : [])).join();
    this.#parts ??= new WeakMap();
    const made = this.#parts.get(state) ?? new Map<string, State>();
    this.#parts.set(state, made);
    const part = made.get(places) ?? state.filter((entry) => !entries.has(entry));
    made.set(places, part);
    return part;
  }

  /** What was asked for and is still known to the client stays known. */
  remembered(known: State, asked: State): State {
    if (known === asked) return asked;
    this.#remembered ??= new WeakMap();
    return once(this.#remembered, known, asked, remember);
  }
}

function once(made: WeakMap<State, WeakMap<State, State>>, a: State, b: State, unite: Unite): State {
  const others = made.get(a) ?? new WeakMap<State, State>();
  made.set(a, others);
  const union = others.get(b) ?? unite(a, b);
  others.set(b, union);
  return union;
}

const remember: Unite = (known, asked) => {
  if (sameRequiredState(known, asked)) return asked;
  const all = uniteAlternatives(asked, known);
  const hasMore = all.length > uniteAlternatives(asked, []).length;
  return hasMore && all.length <= MAX_REMEMBERED_STATE ? all : asked;
};
