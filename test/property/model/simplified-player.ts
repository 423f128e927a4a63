import { deviceDifferences } from "./compare.ts";
import type { KnownDevice } from "./client-extensions.ts";
import { DeviceReader, type Mail } from "./mail.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";
import { ANSWER_ROUNDS, type Caller, HARMLESS, type ModelNode, type RequestOutcome } from "./model-node.ts";
import { Oracle } from "./oracle.ts";
import { SimplifiedClient, type SimplifiedResponse } from "./simplified-client.ts";
import { simplifiedDifferences } from "./simplified-compare.ts";
import { ALL, type SimplifiedChange, type SimplifiedDialect, type SimplifiedWishes } from "./simplified-wishes.ts";
import type { Upstream } from "./upstream.ts";
import { type Telling, Witness } from "./witness.ts";

/** What becomes of a request of simplified sliding sync. */
export type SimplifiedFate = "arrives" | "lost" | "cancelled" | "parked";

/** Where such a client is, and who speaks for it. */
export interface SimplifiedWorld {
  readonly hs: ModelHomeserver;
  readonly upstream: Upstream;
  readonly node: ModelNode;
  readonly mail: Mail;
  readonly telling: Telling;
  /** Who typed before is remembered by nobody. */
  typingFrom(): number;
  tell(what: string): void;
}

/** Whose client it is. */
export type SimplifiedCaller = Caller & { readonly dialect: SimplifiedDialect };

/** Answers until nothing more may come. */
const MAX_ROUNDS = 20;
const NO_NEWS = 2;
const PARKED_MS = 30_000;

interface Asked {
  readonly requestId: number;
  outcome: RequestOutcome | null;
}

/** A client of simplified sliding sync, in either form: beside the others, on accounts that they use too. */
export class SimplifiedPlayer {
  readonly wishes: SimplifiedWishes;
  readonly #world: SimplifiedWorld;
  readonly #caller: SimplifiedCaller;
  readonly #device: string;
  readonly #tell: (what: string) => void;
  readonly #reader: DeviceReader;
  #client: SimplifiedClient;
  #pos: string | null = null;
  #parked: Asked | null = null;
  /** The server may not know any more all that it has told. */
  #mayBeRepeated = false;

  constructor(world: SimplifiedWorld, caller: SimplifiedCaller, wishes: SimplifiedWishes) {
    this.#world = world;
    this.#caller = caller;
    this.#device = `${caller.userId}/${caller.deviceId}`;
    this.wishes = wishes;
    this.#tell = (what) => world.tell(`${caller.dialect} ${this.#device}/${caller.connId} ${what}`);
    this.#reader = new DeviceReader(world.mail, this.#device, true);
    this.#client = this.#newClient(null);
  }

  /** The server's memory of connections has gone: rooms go on from where they surely were (decision 26). */
  forget(): void {
    this.#mayBeRepeated = true;
  }

  change(change: SimplifiedChange): void {
    this.wishes.change(change);
    if (change.kind !== "anew") return;
    this.#pos = null;
    this.#parked = null;
    this.#mayBeRepeated = false;
    this.#reader.beginAnew();
    this.#client = this.#newClient(this.#client.device);
  }

  /** One request; true when its answer said anything. */
  async ask(fate: SimplifiedFate): Promise<boolean> {
    if (this.#parked !== null && this.#collect(this.#parked)) return true;
    const { node, upstream } = this.#world;
    const { device } = this.#client;
    this.#reader.asks(this.wishes.extensions.has("to_device"), device);
    const body = this.wishes.body(this.#caller.dialect, this.#caller.userId, device.toDeviceSince);
    const timeoutMs = fate === "parked" || fate === "cancelled" ? PARKED_MS : 0;
    const { requestId, answer } = node.request(this.#caller, this.#pos, body, timeoutMs);
    const asked: Asked = { requestId, outcome: null };
    void answer.then((outcome) => (asked.outcome = outcome));
    await node.settled();
    if (fate === "parked") {
      this.#parked = asked;
      return false;
    }
    if (fate === "cancelled") node.cancel(this.#caller, requestId);
    for (const [waited, ms] of ANSWER_ROUNDS.entries()) {
      if (asked.outcome !== null) break;
      // After a crash, pollers may have to come back first.
      if (waited > 2) upstream.answerHurried();
      await node.pass(ms);
    }
    return fate !== "arrives" || this.#ended(asked);
  }

  /** Asks until nothing more comes, and compares what it holds with the truth; then so for all rooms, and with a client that begins now. */
  async rest(): Promise<void> {
    await this.#restWith("");
    const fresh = new SimplifiedPlayer(
      this.#world,
      { ...this.#caller, connId: `fresh${this.#caller.connId}` },
      this.wishes.like(),
    );
    // Of one device, those read the mail that have read it.
    for (const name of ["to_device", "e2ee"]) fresh.wishes.extensions.delete(name);
    await fresh.#restWith("anew: ", true);
    if (this.wishes.lists.size === 0 && this.wishes.rooms.size === 0) return;
    this.wishes.lists.clear();
    this.wishes.lists.set("all", ALL);
    await this.#restWith("all: ");
  }

  async #restWith(when: string, isFresh = false): Promise<void> {
    for (let round = 0, quiet = 0; quiet < NO_NEWS; round += 1) {
      if (round > MAX_ROUNDS) return this.#tell(`${when}does not come to rest`);
      quiet = (await this.ask("arrives")) ? 0 : quiet + 1;
    }
    const { hs, upstream } = this.#world;
    const { userId, deviceId, dialect } = this.#caller;
    const [wishes, client] = [this.wishes, this.#client];
    const oracle = new Oracle(hs, upstream, userId);
    const viewed = { userId, dialect, wishes, client, isFresh, typingFrom: this.#world.typingFrom() };
    const isOn = (name: string): boolean => wishes.extensions.has(name);
    for (const found of [
      ...simplifiedDifferences(hs, oracle, viewed),
      ...deviceDifferences(hs, upstream, { userId, deviceId, isOn }, client.device, this.#reader, false),
    ])
      this.#tell(`${when}${found}`);
  }

  /** What a parked request was answered with arrives; one that still waits is given up. */
  #collect(parked: Asked): boolean {
    this.#parked = null;
    if (parked.outcome !== null) return this.#ended(parked);
    this.#world.node.cancel(this.#caller, parked.requestId);
    return false;
  }

  #ended({ outcome }: Asked): boolean {
    if (outcome === null) {
      this.#tell("is not answered");
      return false;
    }
    if (!outcome.ok) {
      // The client asks again.
      if (!HARMLESS.has(outcome.code)) this.#tell(`a request fails: ${outcome.code}`);
      return true;
    }
    const response = JSON.parse(outcome.text) as SimplifiedResponse;
    this.#pos = response.pos;
    const hasNews = this.#client.take(response, this.#mayBeRepeated);
    this.#mayBeRepeated = false;
    const { extensions } = this.wishes;
    const stored = this.#world.upstream.reached(this.#device);
    this.#reader.hears(extensions.has("to_device"), extensions.has("e2ee"), stored);
    return hasNews;
  }

  #newClient(device: KnownDevice | null): SimplifiedClient {
    const { hs, telling } = this.#world;
    const witness = new Witness(hs, this.#caller.userId, this.#caller.deviceId, this.#tell, telling);
    return new SimplifiedClient(device, (roomId, entry, known) => witness.look(roomId, entry, known), this.#tell);
  }
}
