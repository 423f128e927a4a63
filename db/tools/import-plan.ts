import type { GoDevice } from "./go-proxy.ts";

/** What we know of a device that is to be imported. */
export interface KnownDevice {
  since: string | null;
  /** As in `devices.rooms_due`. */
  roomsDue: number;
  importedPos: number | null;
  importedSince: string | null;
  /** Hashes of its access tokens. */
  tokens: ReadonlySet<string>;
}

/** What is taken of a device. */
export interface ImportPlan {
  /** It was not known, was known and not polled yet, or is polled from here. */
  kind: "new" | "renewed" | "polled";
  takesSince: boolean;
  takesTokens: boolean;
  takesLists: boolean;
  /** Messages behind this position are taken. */
  messagesAfter: number;
  /** They keep their positions, by which their client acknowledges them; otherwise they get new ones. */
  keepsPositions: boolean;
}

/** Code of `devices.rooms_due`: imported, and not polled since. */
export const ROOMS_DUE = 1;

/**
 * What is newer here is never overwritten: once a device is polled from here, its `since` is ours, and of the other database only what
 * came there after the last import is taken, behind everything that its client may have acknowledged.
 */
export function planImport(known: KnownDevice | null, device: Pick<GoDevice, "since">): ImportPlan {
  if (known === null || known.since === null) {
    return {
      kind: "new",
      takesSince: device.since !== null,
      takesTokens: known === null || known.tokens.size === 0,
      takesLists: true,
      messagesAfter: known?.importedPos ?? 0,
      keepsPositions: true,
    };
  }
  const isUntouched = known.roomsDue === ROOMS_DUE;
  const hasMoved = known.importedSince !== device.since;
  return {
    kind: isUntouched ? "renewed" : "polled",
    takesSince: isUntouched && hasMoved && device.since !== null,
    // A token that came there later is newer than those that were taken before.
    takesTokens: known.tokens.size === 0 || (isUntouched && hasMoved),
    takesLists: hasMoved,
    messagesAfter: known.importedPos ?? 0,
    keepsPositions: isUntouched,
  };
}
