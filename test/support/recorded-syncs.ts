import recorded from "./recorded-syncs.json" with { type: "json" };

/** Responses of one Synapse to the polls of two people and a new device, in the order they were asked for. */
export interface RecordedLife {
  /** With state after the timeline (MSC4222), or before it. */
  isStateAfter: boolean;
  /** A first sync, one with everything in it, one with a gap. */
  alice: readonly object[];
  /** A first sync, a later one, one with a ban. */
  bob: readonly object[];
  /** The first sync of a device that asks for no rooms. */
  noRooms: object;
  /** The room that all of this is about, and its state in the end. */
  roomId: string;
  state: readonly object[];
}

/** Recorded from Synapse 1.163.2. */
export const RECORDED_LIVES: readonly RecordedLife[] = [0, 8].map((from) => {
  const [a1, b1, noRooms, a2, b2, a3, b3, last] = recorded.slice(from, from + 8) as object[];
  const { room_id: roomId, room_state: state } = last as { room_id: string; room_state: object[] };
  if (a1 === undefined || b1 === undefined || noRooms === undefined) throw new Error("a life has eight parts");
  return {
    isStateAfter: from > 0,
    alice: [a1, a2 ?? {}, a3 ?? {}],
    bob: [b1, b2 ?? {}, b3 ?? {}],
    noRooms,
    roomId,
    state,
  };
});
