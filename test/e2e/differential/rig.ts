import type { GlissadeProcess } from "#test/support/glissade-process.ts";
import { HttpClient } from "#test/support/http-client.ts";
import { type Outcome, SimplifiedConnection, type WireRoom, type Wish } from "#test/support/simplified-connection.ts";
import type { SynapseUser } from "#test/support/synapse.ts";
import { PUSHING } from "./deviations-lists.ts";
import { explanationOf } from "./deviations.ts";
import { type Difference, isExpanded, isInitial, type Scene } from "./scene.ts";
import { MARKER, type View, Viewer } from "./view.ts";
import type { Name, World } from "./world.ts";

/** How long Glissade may take to hear what Synapse knows. */
const SETTLE_MS = 120_000;

/** Every difference between two views. */
export function differencesOf(reference: View, subject: View): Difference[] {
  return [...new Set([...reference.keys(), ...subject.keys()])]
    .map((path) => ({ path, synapse: reference.get(path) ?? null, glissade: subject.get(path) ?? null }))
    .filter(({ synapse, glissade }) => synapse !== glissade);
}

/** How a request is sent. */
export interface Asking {
  /** Once more from where the last request started. */
  isRetry?: boolean;
  /** How long the server may wait for news. */
  waitMs?: number;
  /** What happens while it waits. */
  during?: () => unknown;
}

/** When something happens that is waited for: after every server has begun to wait. */
const DURING_MS = 300;

/** Rooms in view: in windows, and subscribed to. */
function shownRooms(view: View, { room_subscriptions: rooms }: Wish): Set<string> {
  const windows = [...view].filter(([path]) => /^lists \S+ SYNC /.test(path));
  return new Set([...windows.flatMap(([, text]) => JSON.parse(text) as string[]), ...Object.keys(rooms)]);
}

/** One of the servers that are compared, with a connection and what it was told. */
class Side {
  readonly viewer = new Viewer();
  readonly connection: SimplifiedConnection;
  readonly #device: SynapseUser;
  #rooms: Record<string, WireRoom> = {};

  constructor(url: string, device: SynapseUser, connId: string) {
    this.connection = new SimplifiedConnection(url, device.accessToken, connId);
    this.#device = device;
  }

  async ask(wish: Wish, { isRetry = false, waitMs = 0 }: Asking): Promise<View> {
    const from = isRetry ? this.connection.before : this.connection.place;
    const startedMs = performance.now();
    const outcome: Outcome = await this.connection.sync(wish, { from, timeoutMs: waitMs });
    const hasWaited = waitMs > 0 && performance.now() - startedMs >= waitMs;
    this.#rooms = outcome.answer?.rooms ?? {};
    return this.viewer.view(outcome, wish, isRetry).set("came", hasWaited ? "in the end" : "at once");
  }

  /** Rooms of the last answer in which there is more before the timeline. */
  get limited(): string[] {
    return Object.entries(this.#rooms).flatMap(([roomId, { limited, timeline }]) =>
      limited === true && timeline !== undefined ? [roomId] : [],
    );
  }

  /** The events of a room's timeline in the last answer. */
  timeline(roomId: string): string[] {
    return (this.#rooms[roomId]?.timeline ?? []).map((event) => event.event_id ?? "");
  }

  /** What the homeserver has before the timeline of the last answer, by its `prev_batch`, the latest first; null = it is not told. */
  async before(roomId: string): Promise<string[] | null> {
    const query = new URLSearchParams({ dir: "b", limit: "100", from: this.#rooms[roomId]?.prev_batch ?? "" });
    const path = `/rooms/${encodeURIComponent(roomId)}/messages?${query}`;
    try {
      const page = await this.#device.call<{ chunk: { event_id: string }[] }>("GET", path);
      return page.chunk.map((event) => event.event_id);
    } catch (error) {
      // Who was sent away cannot page through what they saw.
      if (String(error).includes("M_FORBIDDEN")) return null;
      throw error;
    }
  }
}

/** The devices of one account: one asks Synapse, one asks it too, one asks Glissade. */
interface Devices {
  reference: SynapseUser;
  control: SynapseUser;
  subject: SynapseUser | null;
}

/** What a step came to: differences between Synapse and itself, between it and Glissade, and what explains the others. */
export interface Findings {
  control: string[];
  subject: string[];
  explained: string[];
}

/** The same requests to several servers on one homeserver, for two of its accounts. */
export class DifferentialRig {
  readonly world: World;
  readonly #glissade: GlissadeProcess | null;
  readonly #devices: Map<Name, Devices>;
  readonly #markers = new Map<Name, HttpClient>();
  readonly #lastMarker = new Map<Name, number>();
  #marker = 0;

  private constructor(world: World, glissade: GlissadeProcess | null, devices: Map<Name, Devices>) {
    this.world = world;
    this.#glissade = glissade;
    this.#devices = devices;
    if (glissade !== null)
      for (const [name, { subject }] of devices)
        if (subject !== null)
          this.#markers.set(
            name,
            new HttpClient(glissade, subject.accessToken, {
              conn_id: "marker",
              extensions: { account_data: { enabled: true } },
            }),
          );
  }

  static async create(world: World, watchers: readonly Name[], glissade: GlissadeProcess | null) {
    const devices = new Map<Name, Devices>();
    for (const name of watchers) {
      const user = world.user(name);
      devices.set(name, {
        reference: await user.logIn(),
        control: await user.logIn(),
        subject: glissade === null ? null : await user.logIn(),
      });
    }
    return new DifferentialRig(world, glissade, devices);
  }

  /** The devices that one account asks with. */
  devicesOf(name: Name): SynapseUser[] {
    const { reference, control, subject } = this.#devices.get(name) ?? {};
    return [reference, control, subject].filter((device) => device != null);
  }

  /** A conversation of one account with all servers. */
  open(name: Name, connId: string, wish: Wish): Conversation {
    const devices = this.#devices.get(name);
    if (devices === undefined) throw new Error(`${name} does not watch`);
    const { url } = this.world.user(name);
    const sides = [devices.reference, devices.control].map((device) => new Side(url, device, connId));
    if (this.#glissade !== null && devices.subject !== null)
      sides.push(new Side(this.#glissade.url, devices.subject, connId));
    return new Conversation(this.world, name, sides, wish);
  }

  /** Waits until Glissade has heard of everything that has happened. */
  async settle(): Promise<void> {
    if (this.#glissade === null) return;
    this.#marker += 1;
    for (const name of this.#markers.keys()) await this.world.accountData(name, MARKER, { number: this.#marker });
    await Promise.all([...this.#markers].map(([name, client]) => this.#awaitMarker(name, client)));
  }

  async #awaitMarker(name: Name, client: HttpClient): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    while ((this.#lastMarker.get(name) ?? 0) < this.#marker) {
      if (performance.now() > deadline) throw new Error(`glissade has not heard of marker ${this.#marker}`);
      const { extensions } = await client.sync({ timeoutMs: 10_000 });
      const global = (extensions["account_data"]?.["global"] ?? []) as { type: string; content: { number: number } }[];
      for (const { type, content } of global) if (type === MARKER) this.#lastMarker.set(name, content.number);
    }
  }
}

/** The same connection to every server, and what is asked of it now. */
export class Conversation {
  wish: Wish;
  readonly #world: World;
  readonly #name: Name;
  readonly #sides: readonly Side[];
  readonly #uneven: Set<string>[] = [];
  /** Of each side, rooms that are shown by it alone, or not by it alone: now, and before the last answer. */
  readonly #apart: { now: ReadonlySet<string>; before: ReadonlySet<string> }[] = [];
  readonly #everApart = new Set<string>();
  /** Of each side, rooms of which it remembers that less was asked for: now, and before the last answer. */
  readonly #lessAsked: { now: ReadonlySet<string>; before: ReadonlySet<string> }[] = [];
  /** What was asked for so far, the latest last. */
  readonly #wishes: Wish[] = [];

  constructor(world: World, name: Name, sides: readonly Side[], wish: Wish) {
    this.#world = world;
    this.#name = name;
    this.#sides = sides;
    this.wish = wish;
  }

  /** What was asked for last; null = nothing yet. */
  get asked(): Wish | null {
    return this.#wishes.at(-1) ?? null;
  }

  /** Asks every server the same. */
  async compare(asking: Asking = {}): Promise<Findings> {
    const asked = Promise.all(this.#sides.map((side) => side.ask(this.wish, asking)));
    if (asking.during !== undefined) {
      await Bun.sleep(DURING_MS);
      await asking.during();
    }
    const views = await asked;
    const findings: Findings = { control: [], subject: [], explained: [] };
    const [reference, ...others] = views;
    if (reference === undefined) return findings;
    for (const [index, view] of others.entries()) {
      const [first, side] = [this.#sides[0], this.#sides[index + 1]];
      if (first === undefined || side === undefined) continue;
      const scene: Scene = {
        wish: this.wish,
        wishes: this.#wishes,
        userId: this.#world.id(this.#name),
        log: this.#world.log,
        reference,
        subject: view,
        apart: new Set(),
        wasApart: this.#everApart,
        lessAsked: this.#lessAskedOf(index + 1, reference, view, asking.isRetry === true),
        told: side.viewer,
        toldByReference: first.viewer,
      };
      scene.apart = this.#roomsApart(index + 1, scene, asking.isRetry === true);
      this.#noteStamps(reference, view, index + 1);
      const differences = [
        ...differencesOf(reference, view),
        ...this.#bumpDifferences(index + 1),
        ...(await this.#holes(index + 1)),
      ];
      for (const difference of differences) {
        const explanation = index === 0 ? null : explanationOf(difference, scene);
        if (explanation !== null) findings.explained.push(explanation.name);
        else findings[index === 0 ? "control" : "subject"].push(this.#told(difference));
      }
    }
    this.#wishes.push(structuredClone(this.wish));
    return findings;
  }

  /** Until both sides show a room, what they say of it is not to be compared. */
  #roomsApart(index: number, scene: Scene, isRetry: boolean): ReadonlySet<string> {
    const { now, before } = this.#apart[index] ?? { now: new Set<string>(), before: new Set<string>() };
    const known = isRetry ? before : now;
    const isPushed = differencesOf(scene.reference, scene.subject).some((difference) => {
      const explanation = difference.path.startsWith("lists ") ? explanationOf(difference, scene) : null;
      return explanation !== null && PUSHING.has(explanation);
    });
    const [shown, other] = [shownRooms(scene.reference, this.wish), shownRooms(scene.subject, this.wish)];
    const apart = new Set([...known, ...(isPushed ? shown.symmetricDifference(other) : [])]);
    for (const roomId of apart) this.#everApart.add(roomId);
    const both = shown.intersection(other);
    this.#apart[index] = { now: new Set([...apart].filter((roomId) => !both.has(roomId))), before: known };
    return apart;
  }

  /** Until both send a room's timeline anew, they remember that different numbers of events were asked for. */
  #lessAskedOf(index: number, reference: View, subject: View, isRetry: boolean): ReadonlySet<string> {
    const { now, before } = this.#lessAsked[index] ?? { now: new Set<string>(), before: new Set<string>() };
    const known = isRetry ? before : now;
    const next = new Set(known);
    for (const roomId of this.#world.log.rooms) {
      const [isSent, isAlsoSent] = [subject, reference].map(
        (view) => isExpanded(view, roomId) || isInitial(view, roomId),
      );
      if (isSent === true && isAlsoSent === true) next.delete(roomId);
      else if (isExpanded(subject, roomId)) next.add(roomId);
    }
    this.#lessAsked[index] = { now: next, before: known };
    return known;
  }

  /** Remembers of which rooms one of two sides has a later bump stamp than the other. */
  #noteStamps(reference: View, subject: View, index: number): void {
    const uneven = this.#uneven[index] ?? new Set();
    this.#uneven[index] = uneven;
    for (const view of [reference, subject])
      for (const path of view.keys()) {
        if (!path.endsWith(" bump_stamp")) continue;
        const roomId = path.split(" ")[1] ?? "";
        if (reference.has(path) && subject.has(path)) uneven.delete(roomId);
        else uneven.add(roomId);
      }
  }

  #bumpDifferences(index: number): Difference[] {
    const [reference, subject] = [this.#sides[0]?.viewer, this.#sides[index]?.viewer];
    if (reference === undefined || subject === undefined) return [];
    const order = reference.bumpOrder.filter(
      (roomId) => subject.stampOf(roomId) > 0 && this.#uneven[index]?.has(roomId) !== true,
    );
    return order.flatMap((roomId, place) => {
      const next = order[place + 1];
      if (next === undefined || subject.stampOf(roomId) >= subject.stampOf(next)) return [];
      return [{ path: "bump order", synapse: `${roomId} before ${next}`, glissade: `${next} before ${roomId}` }];
    });
  }

  /** Rooms whose history goes on from Synapse's `prev_batch` with an event that the other's cannot reach. */
  async #holes(index: number): Promise<Difference[]> {
    const [reference, subject] = [this.#sides[0], this.#sides[index]];
    if (reference === undefined || subject === undefined) return [];
    const limited = reference.limited.filter((roomId) => subject.limited.includes(roomId));
    const found = await Promise.all(
      limited.map(async (roomId) => {
        const [before, found] = [await reference.before(roomId), await subject.before(roomId)];
        const [expected] = before ?? [];
        const reached = [...subject.timeline(roomId), ...(found ?? [])];
        if (expected === undefined || found === null || reached.includes(expected)) return [];
        return [{ path: `rooms ${roomId} prev_batch`, synapse: `reaches ${expected}`, glissade: "does not" }];
      }),
    );
    return found.flat();
  }

  #told({ path, synapse, glissade }: Difference): string {
    return this.#world.named(`${this.#name}: ${path}\n    synapse:  ${synapse}\n    glissade: ${glissade}`);
  }
}
