import type { ActorContext } from "#actors/runtime/actor.ts";
import { LOOSE } from "#src/protocol/loose-pos.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import type { Awake } from "./awake.ts";
import type { ConnectionStorage } from "./connection-storage.ts";
import type { CurrentRequest } from "./current-request.ts";
import type { ConnectionMessage } from "./messages.ts";
import { type BuiltResponse, ResponseWork, type ResponseWorkDeps } from "./response-work.ts";

/** A response that is written once what it rests on is stored. */
interface Saving {
  built: BuiltResponse;
  seq: number;
}

/** The response that is being made, one at a time: what it lacks is read first, then what it rests on is stored. */
export class ResponseMaking {
  readonly #context: ActorContext<ConnectionMessage>;
  readonly #storage: ConnectionStorage;
  readonly #deps: ResponseWorkDeps;
  /** Names what is waited for; results of anything else are of the past. */
  #lastId = 0;
  #reading: { id: number; work: ResponseWork; release: () => void } | null = null;
  #saving: (Saving & { id: number }) | null = null;

  constructor(context: ActorContext<ConnectionMessage>, storage: ConnectionStorage, deps: ResponseWorkDeps) {
    this.#context = context;
    this.#storage = storage;
    this.#deps = deps;
  }

  isReading(id: number): boolean {
    return this.#reading?.id === id;
  }

  isSaving(id: number): boolean {
    return this.#saving?.id === id;
  }

  /** Decides what the response says. `ahead`: a read of what it may need is under way. */
  begin(
    { dialect, engine, reader }: Awake,
    link: UserLink,
    request: CurrentRequest,
    ahead: Promise<void> | null,
  ): void {
    const draft = engine.collect(link.user, link.position);
    // Given back when all is read: until then nothing of it leaves memory.
    const release = this.#deps.directory.hold();
    const work = new ResponseWork(dialect, engine, draft, link.user, reader, this.#deps, {
      ahead,
      isNews: request.hasWaited,
      isShared: request.claims?.incarnation === LOOSE,
    });
    this.#lastId += 1;
    this.#reading = { id: this.#lastId, work, release };
  }

  /** Reads on as far as it goes without waiting; null while something is missing. */
  advance(): BuiltResponse | null {
    if (this.#reading === null) return null;
    const { id, work } = this.#reading;
    const wait = work.advance();
    if (wait === null) {
      const built = work.build();
      this.#dropReading();
      return built;
    }
    if (wait === "next-turn") {
      // Behind what others have to do, and the network.
      const message: ConnectionMessage = { type: "work-ready", workId: id };
      this.#context.tell(this.#context.self, message);
    } else this.#storage.wait(id, wait);
    return null;
  }

  /** Takes over a response; `saved` null = what it rests on is stored already. */
  save(saving: Saving, saved: Promise<void> | null): void {
    this.#lastId += 1;
    this.#saving = { id: this.#lastId, ...saving };
    if (saved !== null) this.#storage.wait(this.#lastId, saved);
  }

  /** What was waited for is stored. */
  takeSaved(): Saving | null {
    const saving = this.#saving;
    this.#saving = null;
    return saving;
  }

  drop(): void {
    this.#dropReading();
    this.#saving = null;
  }

  #dropReading(): void {
    this.#reading?.release();
    this.#reading = null;
  }
}
