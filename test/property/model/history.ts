import fc from "fast-check";
import { ACTS, type ActStep } from "./acts.ts";
import type { SimplifiedFate } from "./simplified-player.ts";
import type { SimplifiedChange } from "./simplified-wishes.ts";
import { type Change, FILTERS, RANGES, SCOPES, SHAPES, SORTS } from "./wishes.ts";

/** What becomes of a request: its answer arrives, is lost, the client hangs up, or it stays parked. */
export type Fate = "arrives" | "lost" | "cancelled" | "parked";

/** One step of a history. */
export type Step =
  | ({ readonly kind: "act" } & ActStep)
  /** A device's poll is answered. */
  | { readonly kind: "poll"; readonly device: number; readonly limit: number }
  /** Its answer is made, and arrives with the next one. */
  | { readonly kind: "poll-early"; readonly device: number; readonly limit: number }
  | { readonly kind: "poll-fails"; readonly device: number }
  /** Its token is refused from now on; it logs in again when one of its clients asks for something. */
  | { readonly kind: "logout"; readonly device: number }
  | { readonly kind: "ask"; readonly client: number; readonly fate: Fate; readonly changes: readonly Change[] }
  /** Beside them, a client of simplified sliding sync asks. */
  | {
      readonly kind: "ask-simplified";
      readonly client: number;
      readonly fate: SimplifiedFate;
      readonly changes: readonly SimplifiedChange[];
    }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "crash"; readonly role: "sync" | "ingest" | "poller" };

/** A whole history. */
export interface History {
  readonly seed: number;
  /** Whether the homeserver knows MSC4222. */
  readonly stateAfter: boolean;
  /** Whether rooms go wrong that are then compared with the homeserver. */
  readonly heals?: boolean;
  /** Whether the timeline of a new member is limited where they may see no further back. */
  readonly limitsJoins?: boolean;
  readonly steps: readonly Step[];
}

const act = fc.record({
  kind: fc.constant("act" as const),
  act: fc.constantFrom(...ACTS, "message" as const, "message" as const, "join" as const, "join" as const),
  room: fc.nat(11),
  who: fc.nat(5),
  n: fc.nat(11),
});

const extension = fc.constantFrom("account_data", "receipts", "typing", "to_device", "e2ee");

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("ranges" as const), list: fc.nat(2), n: fc.nat(RANGES.length - 1) }),
  fc.record({ kind: fc.constant("filters" as const), list: fc.nat(2), n: fc.nat(FILTERS.length - 1) }),
  fc.record({ kind: fc.constant("sort" as const), list: fc.nat(2), n: fc.nat(SORTS.length - 1) }),
  fc.record({ kind: fc.constant("bump" as const), list: fc.nat(2), n: fc.nat(2) }),
  fc.record({ kind: fc.constant("shape" as const), list: fc.nat(2), n: fc.nat(SHAPES.length - 1) }),
  fc.record({ kind: fc.constant("limit" as const), list: fc.nat(2), n: fc.nat(SHAPES.length - 1) }),
  fc.record({ kind: fc.constant("state" as const), list: fc.nat(2), n: fc.nat(SHAPES.length - 1) }),
  fc.record({ kind: fc.constant("old-rooms" as const), list: fc.nat(2), n: fc.nat(1) }),
  fc.record({ kind: fc.constant("slow" as const), list: fc.nat(2), n: fc.nat(1) }),
  fc.record({ kind: fc.constant("delete" as const), list: fc.nat(2) }),
  fc.record({ kind: fc.constant("subscribe" as const), room: fc.nat(9), n: fc.nat(SHAPES.length - 1) }),
  fc.record({ kind: fc.constant("unsubscribe" as const), room: fc.nat(9) }),
  fc.record({
    kind: fc.constant("extension" as const),
    name: extension,
    isOn: fc.boolean(),
    scope: fc.nat(SCOPES.length - 1),
  }),
  fc.constant({ kind: "anew" as const }),
);

const simplifiedChange: fc.Arbitrary<SimplifiedChange> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("list" as const),
      list: fc.nat(2),
      wish: fc.nat(5),
      end: fc.nat(5),
      filters: fc.nat(11),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), list: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("subscribe" as const), room: fc.nat(9), wish: fc.nat(5) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unsubscribe" as const), room: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("extension" as const),
      name: extension,
      isOn: fc.boolean(),
      scope: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "anew" as const }) },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: act },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant("poll" as const),
      device: fc.nat(3),
      limit: fc.constantFrom(50, 50, 5, 2, 0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("poll-early" as const),
      device: fc.nat(3),
      limit: fc.constantFrom(50, 50, 5, 2, 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("poll-fails" as const), device: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("logout" as const), device: fc.nat(3) }) },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      client: fc.nat(3),
      fate: fc.constantFrom<Fate[]>("arrives", "arrives", "arrives", "parked", "lost", "cancelled"),
      changes: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.array(change, { minLength: 1, maxLength: 2 }) },
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("ask-simplified" as const),
      client: fc.nat(6),
      fate: fc.constantFrom<SimplifiedFate[]>("arrives", "arrives", "arrives", "parked", "lost", "cancelled"),
      changes: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.array(simplifiedChange, { minLength: 1, maxLength: 2 }) },
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(200, 3000, 40_000, 1_200_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("crash" as const),
      role: fc.constantFrom("sync" as const, "sync" as const, "ingest" as const, "poller" as const),
    }),
  },
);

/** Histories of at most so many steps. */
export const histories = (maxLength: number): fc.Arbitrary<History> =>
  fc.record({
    seed: fc.nat(1000),
    stateAfter: fc.boolean(),
    heals: fc.nat(3).map((n) => n === 3),
    limitsJoins: fc.boolean(),
    steps: fc.array(step, { minLength: 1, maxLength, size: "max" }),
  });
