import type { KeptResponse, Resolution } from "./response-log.ts";

/** What a request means, where nothing may be sent again as well. */
export type PositionResolution =
  | Resolution
  /** Process; the response the client names is acknowledged, and none is kept. */
  | { kind: "advance" }
  /** Process, as if what was answered to this position before had not been. */
  | { kind: "fork" };

/** Which positions of a connection can be gone on from, and what a request with one of them means. */
export interface PositionLog {
  readonly nextSeq: number;
  readonly ackedSeq: number;
  /** False for a position that a request cannot go on from: it changes nothing. */
  knows(posSeq: number): boolean;
  resolve(posSeq: number, body: string): PositionResolution;
  /** The request that was to be processed is refused: it leaves no trace. */
  refuse(): void;
  add(response: KeptResponse): void;
}
