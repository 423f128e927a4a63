import { perform } from "./acts.ts";
import { CALLERS, DEVICES, OF_DEVICE, populate, SECOND_DEVICE, SIMPLIFIED_CALLERS } from "./cast.ts";
import { deviceDifferences, differences } from "./compare.ts";
import type { Fate, History, Step } from "./history.ts";
import { DeviceReader, Mail } from "./mail.ts";
import { ModelClient, type WireResponse } from "./model-client.ts";
import { ModelHomeserver } from "./model-homeserver.ts";
import { ANSWER_ROUNDS, type Caller, HARMLESS, ModelNode, type RequestOutcome } from "./model-node.ts";
import { Oracle } from "./oracle.ts";
import { SimplifiedPlayer } from "./simplified-player.ts";
import { SimplifiedWishes } from "./simplified-wishes.ts";
import { Upstream } from "./upstream.ts";
import { type Telling, Witness } from "./witness.ts";
import { type Change, Wishes } from "./wishes.ts";

const AT_REST = "at rest";
const PARKED_MS = 30_000;
/** A host may come back so often before that is an outage of its own. */
const MAX_CRASHES = 6;
/** Longer than an own event is held back. */
const OWN_EVENT_WAIT_MS = 5000;
/** Connections unused for so long leave memory. */
const IDLE_MS = 60_000;
/** Polls of a device may fail so often before nobody relies on it, each after so long. */
const FAILURES_UNTIL_ALONE = 4;
const RETRY_MS = 4000;
/** Answers until nothing more may come. */
const MAX_ROUNDS = 40;

interface Parked {
  readonly requestId: number;
  outcome: RequestOutcome | null;
}

/** One connection's client, and what is on its way to it. */
interface Player {
  readonly caller: Caller;
  readonly client: ModelClient;
  readonly reader: DeviceReader;
  parked: Parked | null;
  /** The first response to this position that did not arrive. */
  lost: { pos: string | null; text: string } | null;
  /** Responses that may be ahead of the newest: one for each that was lost, given up or overtaken. */
  owed: number;
}

/** Everything that was wrong with a history, in the order in which it was noticed. Empty = the product did well. */
export async function play(history: History): Promise<string[]> {
  const game = await Game.start(history);
  try {
    return await game.run(history.steps);
  } finally {
    await game.stop();
  }
}

class Game {
  readonly #hs: ModelHomeserver;
  readonly #upstream: Upstream;
  readonly #node: ModelNode;
  readonly #stateAfter: boolean;
  readonly #players = new Map<number, Player>();
  readonly #simplified = new Map<number, SimplifiedPlayer>();
  readonly #problems: string[] = [];
  readonly #mail = new Mail();
  /** Devices whose token was refused and that have no other yet. */
  readonly #loggedOut = new Set<string>();
  #crashes = 0;
  /** Who typed before is remembered by nobody. */
  #typingFrom = 0;
  #at = "at the start";
  /** The answer that arrives was lost before. */
  #isRepeated = false;

  constructor(hs: ModelHomeserver, upstream: Upstream, node: ModelNode, stateAfter: boolean) {
    this.#hs = hs;
    this.#upstream = upstream;
    this.#node = node;
    this.#stateAfter = stateAfter;
  }

  static async start({ seed, stateAfter, heals = false, limitsJoins = true }: History): Promise<Game> {
    const hs = new ModelHomeserver();
    hs.heals = heals;
    hs.limitsJoins = limitsJoins;
    populate(hs);
    const upstream = new Upstream(hs, stateAfter);
    const game = new Game(hs, upstream, await ModelNode.start(upstream, DEVICES, { seed, heals }), stateAfter);
    // The fourth device logs in later, when its client asks for the first time.
    for (const device of DEVICES) if (device !== SECOND_DEVICE) await game.#firstSync(device);
    return game;
  }

  stop(): Promise<void> {
    return this.#node.stop();
  }

  async run(steps: readonly Step[]): Promise<string[]> {
    for (const [index, step] of steps.entries()) {
      this.#at = `step ${index} (${step.kind === "act" ? step.act : step.kind})`;
      await this.#step(step);
      if (this.#problems.length > 0) return this.#problems;
    }
    this.#at = AT_REST;
    await this.#rest();
    this.#problems.push(...this.#node.crashes.map((crash) => `crash: ${crash}`));
    return this.#problems;
  }

  get #telling(): Telling {
    return {
      isAtRest: () => this.#at === AT_REST,
      isRepeated: () => this.#isRepeated,
      told: (roomId, eventId) => this.#upstream.told.get(roomId)?.get(eventId),
    };
  }

  #tell(what: string): void {
    this.#problems.push(`${this.#at}: ${what}`);
  }

  async #step(step: Step): Promise<void> {
    switch (step.kind) {
      case "act":
        // Without MSC4222 a homeserver cannot say that state fell back to what was told before (spec 4.3).
        if (step.act !== "fall-back" || this.#stateAfter) perform(this.#hs, step);
        return;
      case "poll":
        this.#upstream.answer(DEVICES[step.device] ?? "", step.limit);
        return this.#node.settled();
      case "poll-early":
        return this.#upstream.prepare(DEVICES[step.device] ?? "", step.limit);
      case "poll-fails":
        this.#upstream.fail(DEVICES[step.device] ?? "");
        return this.#node.settled();
      case "logout": {
        const device = DEVICES[step.device] ?? "";
        if (this.#upstream.isFirstSync(device) || !this.#upstream.waiting.includes(device)) return;
        this.#upstream.revoke(device);
        this.#loggedOut.add(device);
        return this.#node.settled();
      }
      case "pass":
        if (step.ms >= IDLE_MS) this.#forget();
        return this.#node.pass(step.ms);
      case "crash":
        this.#crashes += 1;
        if (this.#crashes > MAX_CRASHES) return;
        if (step.role === "sync") this.#forget();
        if (step.role === "ingest") this.#typingFrom = this.#hs.pos;
        return this.#node.crash(step.role);
      case "ask-simplified": {
        const player = await this.#simplifiedPlayer(step.client);
        for (const change of step.changes) player.change(change);
        await player.ask(step.fate);
        return;
      }
      case "ask": {
        const player = await this.#player(step.client);
        await this.#login(`${player.caller.userId}/${player.caller.deviceId}`);
        for (const change of step.changes) this.#change(player, step.client, change);
        if (step.fate !== "arrives" || step.changes.length > 0) player.owed += 1;
        await this.#ask(player, step.fate);
      }
    }
  }

  async #login(device: string): Promise<void> {
    if (this.#loggedOut.delete(device)) await this.#node.login(device, this.#upstream.tokenOf(device));
  }

  /** The server's memory of connections has gone: what it answered to a position is made anew when asked again. */
  #forget(): void {
    for (const player of this.#players.values()) player.lost = null;
    for (const player of this.#simplified.values()) player.forget();
  }

  async #player(index: number): Promise<Player> {
    const known = this.#players.get(index);
    if (known !== undefined) return known;
    const caller = CALLERS[index] as Caller;
    await this.#firstSync(`${caller.userId}/${caller.deviceId}`);
    const wishes = Wishes.plain(index);
    if (caller.connId !== "") for (const name of ["to_device", "e2ee"]) wishes.extensions.delete(name);
    wishes.beginAnew();
    const player = this.#newPlayer(caller, wishes);
    this.#players.set(index, player);
    return player;
  }

  async #simplifiedPlayer(index: number): Promise<SimplifiedPlayer> {
    const caller = SIMPLIFIED_CALLERS[index] as (typeof SIMPLIFIED_CALLERS)[number];
    const device = `${caller.userId}/${caller.deviceId}`;
    await this.#firstSync(device);
    await this.#login(device);
    const known = this.#simplified.get(index);
    if (known !== undefined) return known;
    const wishes = new SimplifiedWishes();
    if (caller.connId !== OF_DEVICE) wishes.change({ kind: "list", list: 0, wish: index, end: index, filters: 0 });
    for (const name of caller.extensions) wishes.change({ kind: "extension", name, isOn: true, scope: 0 });
    const world = {
      hs: this.#hs,
      upstream: this.#upstream,
      node: this.#node,
      mail: this.#mail,
      telling: this.#telling,
      typingFrom: () => this.#typingFrom,
      tell: (what: string) => this.#tell(what),
    };
    const player = new SimplifiedPlayer(world, caller, wishes);
    this.#simplified.set(index, player);
    return player;
  }

  #newPlayer(caller: Caller, wishes: Wishes): Player {
    const who = `${caller.userId}/${caller.deviceId}/${caller.connId}`;
    const tell = (what: string): void => this.#tell(`${who} ${what}`);
    const witness = new Witness(this.#hs, caller.userId, caller.deviceId, tell, this.#telling);
    const client = new ModelClient(wishes, (roomId, entry, known) => witness.look(roomId, entry, known), tell);
    const reader = new DeviceReader(this.#mail, `${caller.userId}/${caller.deviceId}`, false);
    return { caller, client, reader, parked: null, lost: null, owed: 0 };
  }

  #change(player: Player, index: number, change: Change): void {
    // Of one device, one client reads the mail.
    if (change.kind === "extension" && index === 2 && ["to_device", "e2ee"].includes(change.name)) return;
    player.client.wishes.change(change);
    if (change.kind !== "anew") return;
    player.client.beginAnew();
    player.lost = null;
    player.parked = null;
  }

  async #firstSync(device: string): Promise<void> {
    this.#node.poll(device);
    await this.#node.settled();
    if (!this.#upstream.isFirstSync(device)) return;
    this.#upstream.answer(device, 20);
    await this.#node.settled();
    // Its clients wait until the user's other device, if it is polled, has polled once more.
    for (const other of DEVICES) {
      if (other === device || other.split("/")[0] !== device.split("/")[0]) continue;
      const fails = this.#crashes % 2 === 1 ? FAILURES_UNTIL_ALONE : 0;
      for (let failed = 0; failed < fails; failed += 1) {
        this.#upstream.fail(other);
        await this.#node.pass(RETRY_MS);
      }
      // Behind an answer that was made before. Where the other one has failed, the rooms are read.
      for (const waiting of fails === 0 ? [other, other] : [device]) {
        this.#upstream.answer(waiting, 50);
        await this.#node.settled();
      }
    }
  }

  async #ask(player: Player, fate: Fate): Promise<boolean> {
    if (player.parked !== null && this.#collect(player)) return true;
    const { client, caller, reader } = player;
    reader.asks(client.wishes.extensions.get("to_device")?.enabled === true, client.device);
    const timeoutMs = fate === "parked" || fate === "cancelled" ? PARKED_MS : 0;
    const { pos } = client;
    const { requestId, answer } = this.#node.request(caller, pos, client.body(), timeoutMs);
    const parked: Parked = { requestId, outcome: null };
    void answer.then((outcome) => (parked.outcome = outcome));
    await this.#node.settled();
    if (fate === "parked") {
      player.parked = parked;
      return false;
    }
    if (fate === "cancelled") this.#node.cancel(caller, requestId);
    for (const [waited, ms] of ANSWER_ROUNDS.entries()) {
      if (parked.outcome !== null) break;
      // After a crash, pollers may have to come back first.
      if (waited > 2) this.#upstream.answerHurried();
      await this.#node.pass(ms);
    }
    return this.#ended(player, pos, parked, fate);
  }

  /** What a parked request was answered with arrives; one that still waits is given up. */
  #collect(player: Player): boolean {
    const { parked, client, caller } = player;
    player.parked = null;
    if (parked === null) return false;
    if (parked.outcome !== null) return this.#ended(player, client.pos, parked, "arrives");
    this.#node.cancel(caller, parked.requestId);
    return false;
  }

  #ended(player: Player, pos: string | null, { outcome }: Parked, fate: Fate): boolean {
    if (outcome === null) {
      this.#tell(`${player.caller.deviceId} is not answered`);
      return false;
    }
    if (!outcome.ok) {
      // The client asks again.
      if (!HARMLESS.has(outcome.code)) this.#tell(`a request fails: ${outcome.code}`);
      return false;
    }
    if (player.lost !== null && pos !== null && player.lost.pos === pos && player.lost.text !== outcome.text) {
      this.#tell(`a repeated request is answered differently\n${player.lost.text}\n${outcome.text}`);
    }
    if (fate !== "arrives") {
      // What a cancelled request is answered with is of no use to anybody.
      if (fate === "lost") player.lost ??= { pos, text: outcome.text };
      return false;
    }
    this.#isRepeated = player.lost?.text === outcome.text;
    player.lost = null;
    const { caller, client, reader } = player;
    const device = `${caller.userId}/${caller.deviceId}`;
    const hasNews = client.apply(JSON.parse(outcome.text) as WireResponse);
    this.#isRepeated = false;
    const isOn = (name: string): boolean => client.wishes.extensions.get(name)?.enabled === true;
    reader.hears(isOn("to_device"), isOn("e2ee"), this.#upstream.reached(device));
    return hasNews;
  }

  /** The homeserver has told everything, and every client has asked until nothing more came. */
  async #rest(): Promise<void> {
    for (const device of this.#loggedOut) await this.#login(device);
    await this.#pollersRest();
    if (this.#hs.heals) await this.#heal();
    // Own events have waited long enough for their transaction ids.
    await this.#node.pass(OWN_EVENT_WAIT_MS);
    for (const player of this.#players.values()) {
      await this.#clientRests(player);
      if (this.#problems.length > 0) return;
    }
    for (const player of this.#simplified.values()) await player.rest();
    for (const [index, player] of this.#players) {
      const { caller, client } = player;
      const oracle = new Oracle(this.#hs, this.#upstream, caller.userId);
      const viewed = {
        ...caller,
        wishes: client.wishes,
        view: client.view,
        isFresh: false,
        typingFrom: this.#typingFrom,
      };
      for (const found of differences(this.#hs, oracle, viewed))
        this.#tell(`${caller.deviceId}/${caller.connId} ${found}`);
      const isOn = (name: string): boolean => client.wishes.extensions.get(name)?.enabled === true;
      const { device } = client;
      for (const found of deviceDifferences(
        this.#hs,
        this.#upstream,
        { ...caller, isOn },
        device,
        player.reader,
        player.owed > 0,
      ))
        this.#tell(`${caller.deviceId} ${found}`);
      const fresh = this.#newPlayer({ ...caller, connId: `fresh${index}` }, client.wishes.like());
      await this.#clientRests(fresh);
      const anew = {
        ...fresh.caller,
        wishes: fresh.client.wishes,
        view: fresh.client.view,
        isFresh: true,
        typingFrom: this.#typingFrom,
      };
      for (const found of differences(this.#hs, oracle, anew))
        this.#tell(`a new client of ${caller.deviceId}: ${found}`);
    }
  }

  /** What went wrong without a word is compared, as an operator would have it. */
  async #heal(): Promise<void> {
    const isDone = await this.#node.compareAll();
    for (let round = 0; round < MAX_ROUNDS && !isDone(); round += 1) {
      await this.#node.pass(RETRY_MS);
      await this.#pollersRest();
    }
    if (!isDone()) this.#tell("comparing does not come to an end");
  }

  async #pollersRest(): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const answered = DEVICES.filter((device) => this.#upstream.answer(device, 50));
      await this.#node.settled();
      const { waiting } = this.#upstream;
      const isPolled = (device: string): boolean =>
        device !== SECOND_DEVICE || this.#players.has(3) || this.#simplified.has(2) || this.#simplified.has(6);
      if (answered.length > 0) continue;
      if (DEVICES.every((device) => !isPolled(device) || waiting.includes(device))) return;
      await this.#node.pass(60_000);
    }
    this.#tell("the pollers do not come to rest");
  }

  async #clientRests(player: Player): Promise<void> {
    for (let round = 0, quiet = 0; round < MAX_ROUNDS && quiet < 2 + player.owed; round += 1) {
      const hasNews = await this.#ask(player, "arrives");
      if (this.#problems.length > 0) return;
      quiet = hasNews || !player.client.wishes.isConfirmed ? 0 : quiet + 1;
      if (quiet === 2 + player.owed) return;
    }
    this.#tell("a client does not come to rest");
  }
}
