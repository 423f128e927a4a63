import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import type { FrontAnswer, FrontRig } from "./front-rig.ts";
import type { Session } from "./homeserver.ts";
import type { WireEvent } from "./naive-client.ts";

/** One entry of `rooms`, in either form. */
export interface SimplifiedRoom {
  initial?: boolean;
  name?: string | null;
  avatar?: string | null;
  heroes?: { user_id: string }[];
  is_dm?: boolean;
  required_state?: WireEvent[];
  timeline?: WireEvent[];
  limited?: boolean;
  prev_batch?: string;
  num_live?: number;
  bump_stamp?: number;
  joined_count?: number;
  invited_count?: number;
  notification_count?: number;
  highlight_count?: number;
  invite_state?: WireEvent[];
  stripped_state?: WireEvent[];
  unstable_expanded_timeline?: boolean;
  expanded_timeline?: boolean;
  membership?: string;
  lists?: string[];
}

/** One answer of simplified sliding sync. */
export interface SimplifiedAnswer {
  pos: string;
  lists?: Record<string, { count: number; ops?: { op: string; range: [number, number]; room_ids: string[] }[] }>;
  rooms: Record<string, SimplifiedRoom>;
  extensions: Record<string, Record<string, unknown>>;
}

type Body = Record<string, unknown>;

/** One connection that asks by hand, and goes on from its latest answer. */
export class SimplifiedClient {
  readonly #rig: FrontRig;
  readonly #session: Session;
  readonly #dialect: DialectName;
  pos: string | undefined;

  constructor(rig: FrontRig, session: Session, dialect: DialectName = "simplified") {
    this.#rig = rig;
    this.#session = session;
    this.#dialect = dialect;
  }

  /** As it is on the wire, whatever its status; `pos` null = without. */
  request(
    body: Body,
    options: { pos?: string | null; timeout?: number | string; signal?: AbortSignal } = {},
  ): Promise<FrontAnswer> {
    const { timeout = 0, signal } = options;
    const pos = options.pos === undefined ? this.pos : (options.pos ?? undefined);
    const path = DIALECTS[this.#dialect].paths[0] ?? "";
    const isInBody = this.#dialect === "v4";
    return this.#rig.request(this.#session, {
      path,
      body: isInBody ? { ...body, timeout, ...(pos === undefined ? {} : { pos }) } : body,
      ...(isInBody ? {} : { timeout, ...(pos === undefined ? {} : { pos }) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** The same, for those who count on success; the next request goes on from here. */
  async sync(body: Body, options: { pos?: string | null; timeout?: number } = {}): Promise<SimplifiedAnswer> {
    const { status, json } = await this.request(body, options);
    if (status !== 200) throw new Error(`sync was answered ${status}: ${JSON.stringify(json)}`);
    const answer = json as unknown as SimplifiedAnswer;
    this.pos = answer.pos;
    return answer;
  }
}

/** Ids of a room's timeline. */
export const timelineOf = (room: SimplifiedRoom | undefined): string[] =>
  (room?.timeline ?? []).map(({ content }) => bodyOf(content));

/** Types and state keys of a room's state, sorted. */
export const stateOf = (room: SimplifiedRoom | undefined): string[] =>
  (room?.required_state ?? []).map(({ type, state_key: key }) => `${type}|${key ?? ""}`).sort();

const bodyOf = (content: unknown): string => {
  const { body, membership } = content as { body?: string; membership?: string };
  return body ?? membership ?? "";
};
