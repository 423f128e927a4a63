import type { Wish } from "#test/support/simplified-connection.ts";
import type { View } from "./view.ts";

/** One fact that two answers do not agree about; null where one says nothing. */
export interface Difference {
  path: string;
  synapse: string | null;
  glissade: string | null;
}

/** What is known about the answers that differ. */
export interface Scene {
  wish: Wish;
  /** Whose answers they are. */
  userId: string;
  /** All that Synapse answered. */
  reference: View;
  /** All that Glissade answered. */
  subject: View;
  /** What Glissade had said of a fact before; null = nothing. */
  toldBefore: (path: string) => string | null;
}

/** A way in which Glissade is unlike Synapse on purpose, or because a classic sync does not tell more. */
export interface Deviation {
  name: string;
  synapse: string;
  glissade: string;
  why: string;
  explains(difference: Difference, scene: Scene): boolean;
}

const isInvite = (view: View, roomId: string): boolean =>
  [...view.keys()].some((path) => path.startsWith(`rooms ${roomId} invite_state`));

const timelineOf = (view: View, roomId: string): string[] =>
  JSON.parse(view.get(`rooms ${roomId} timeline`) ?? "[]") as string[];

/** The events that Synapse has before the first one of Glissade, where that is where a room began to share its history. */
function beforeSharing(roomId: string, { reference, subject, userId }: Scene): string[] {
  const [expected, found] = [timelineOf(reference, roomId), timelineOf(subject, roomId)];
  const missing = expected.slice(0, expected.length - found.length);
  const first = JSON.parse(subject.get(`rooms ${roomId} timeline ${found[0]}`) ?? "{}") as Record<string, unknown>;
  const isStart =
    first["type"] === "m.room.history_visibility" ||
    (first["type"] === "m.room.member" && first["state_key"] === userId);
  return isStart && expected.slice(missing.length).join() === found.join() ? missing : [];
}

/** Whether Glissade's timeline begins with one's own join, before which one saw nothing. */
const isOwnStart = (roomId: string, { subject, userId }: Scene): boolean => {
  const [first] = timelineOf(subject, roomId);
  const event = subject.get(`rooms ${roomId} timeline ${first}`) ?? "";
  return event.includes('"m.room.member"') && event.includes(`"state_key":"${userId}"`);
};

/** The members who sent these events. */
const sendersOf = (view: View, roomId: string, eventIds: readonly string[]): string[] =>
  eventIds.map((id) => {
    const event = JSON.parse(view.get(`rooms ${roomId} timeline ${id}`) ?? "{}") as Record<string, unknown>;
    return String(event["sender"]);
  });

/** All of them. What none of them explains fails the differential test. */
export const DEVIATIONS: readonly Deviation[] = [
  {
    name: "an invite is sent once",
    synapse: "sends an invite again whenever anything happens in its room",
    glissade: "sends it when it is new or has changed",
    why: "what happens in a room is not an invited user's to know",
    explains: ({ synapse, glissade }) => synapse === "an invite that was sent before" && glissade === null,
  },
  {
    name: "an invite tells what it carries",
    synapse: "shows the present name and avatar of a room to those invited, where it is in the room itself",
    glissade: "shows those that came with the invite",
    why: "the same",
    explains: ({ path }, { reference }) =>
      /^rooms \S+ (?:name|avatar)$/.test(path) && isInvite(reference, path.split(" ")[1] ?? ""),
  },
  {
    name: "the beginning of a room",
    synapse: "shows the events before the room's first word about who may see its history, creation included",
    glissade: "shows what came after that word, and after one's own join where that came first",
    why: "what one member's poll brought is shown to others only where the room has said so",
    explains: ({ path, synapse, glissade }, scene) => {
      const [kind, roomId = "", field, what = ""] = path.split(" ");
      if (kind !== "rooms") return false;
      const missing = beforeSharing(roomId, scene);
      if (field === "limited") return missing.length > 0 || isOwnStart(roomId, scene);
      if (missing.length === 0) return false;
      if (field === "timeline") return what === "" || (glissade === null && missing.includes(what));
      if (field !== "required_state" || glissade !== null || synapse === null) return false;
      const senders = sendersOf(scene.reference, roomId, missing);
      return senders.some((userId) => what === `m.room.member|${userId}`);
    },
  },
  {
    name: "nothing is not said",
    synapse: "names each room that comes into view under `account_data`, with an empty list where it has none",
    glissade: "names those that have some",
    why: "it is the same to a client",
    explains: ({ path, synapse, glissade }, { reference }) =>
      /^extensions account_data !\S+$/.test(path) &&
      synapse === "there" &&
      glissade === null &&
      ![...reference.keys()].some((other) => other.startsWith(`${path} `)),
  },
  {
    name: "an extension that is switched on again",
    synapse: "forgets what happened while it was off",
    glissade: "sends global account data whole when it is switched on again",
    why: "nothing may be lost",
    explains: ({ path, synapse }, { reference }) =>
      path.startsWith("extensions account_data global ") &&
      synapse === null &&
      ![...reference.keys()].some((other) => other.startsWith("extensions account_data global ")),
  },
  {
    name: "heroes of a room with a name",
    synapse: "sends heroes when a membership changes, also where the room has a name",
    glissade: "sends heroes of rooms without a name",
    why: "heroes are there to name a room",
    explains: ({ path, glissade }, { reference }) => {
      const [kind, roomId, field] = path.split(" ");
      return kind === "rooms" && field === "heroes" && glissade === null && !reference.has(`rooms ${roomId} initial`);
    },
  },
  {
    name: "no token where there is nothing more",
    synapse: "sends `prev_batch` with every timeline",
    glissade: "sends it where there may be more to page back to",
    why: "a token comes from the homeserver, which gives one for the beginning of what it sent",
    explains: ({ path, glissade }, { subject }) => {
      const [kind, roomId, field] = path.split(" ");
      return (
        kind === "rooms" &&
        field === "prev_batch" &&
        glissade === null &&
        subject.get(`rooms ${roomId} limited`) !== "true"
      );
    },
  },
  {
    name: "a change of profile where one is alone",
    synapse: "takes it for a join, and sends the room anew",
    glissade: "sends the new profile",
    why: "nobody joined",
    explains: ({ path, glissade }, { reference, userId }) => {
      const [kind, roomId = ""] = path.split(" ");
      const own = reference.get(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
      const isProfile = own.includes('"prev_content":{') && (own.match(/"membership":"join"/g) ?? []).length === 2;
      return kind === "rooms" && glissade === null && isProfile && reference.has(`rooms ${roomId} initial`);
    },
  },
  {
    name: "heroes of a room that loses its name",
    synapse: "sends them with the next change of a membership",
    glissade: "sends them at once",
    why: "until then the room would have neither name nor heroes",
    explains: ({ path, synapse }, { reference }) => {
      const [kind, roomId, field] = path.split(" ");
      return (
        kind === "rooms" &&
        field === "heroes" &&
        synapse === null &&
        reference.has(`rooms ${roomId} required_state m.room.name|`)
      );
    },
  },
  {
    name: "unread counts",
    synapse: "has none: they are 0",
    glissade: "sends those of the homeserver, and an entry when they change",
    why: "clients without push rules of their own have no other source",
    explains: ({ path, synapse, glissade }, { reference, subject }) => {
      const [kind, roomId = ""] = path.split(" ");
      const isBare = (room: string): boolean =>
        !reference.has(`rooms ${room}`) &&
        [...subject.keys()].every(
          (other) =>
            !other.startsWith(`rooms ${room} `) || /^rooms \S+ (?:bump_stamp|limited|num_live|is_dm)$/.test(other),
        );
      if (path !== "came") return kind === "rooms" && synapse === null && isBare(roomId);
      const rooms = [...subject.keys()].filter((other) => /^rooms \S+$/.test(other));
      return glissade === "at once" && rooms.length > 0 && rooms.every((room) => isBare(room.split(" ")[1] ?? ""));
    },
  },
  {
    name: "what the client has",
    synapse: "sends state, name, avatar or timeline again when they are asked for in other words",
    glissade: "sends what was not sent, or has changed since",
    why: "the client has the rest",
    explains: ({ path, synapse, glissade }, { reference, subject, toldBefore }) => {
      const [kind, roomId = ""] = path.split(" ");
      const isNew = reference.has(`rooms ${roomId} initial`) || reference.get(`rooms ${roomId} num_live`) !== "0";
      if (kind !== "rooms" || synapse === null || glissade !== null || reference.has(`rooms ${roomId} initial`))
        return false;
      if (/^rooms \S+ (?:name|avatar|required_state)/.test(path)) return toldBefore(path) === synapse;
      if (subject.has(`rooms ${roomId}`) || isNew) return false;
      // Of the events, those that Glissade ever had.
      const events = timelineOf(reference, roomId);
      const isTold = events.map((id) => toldBefore(`rooms ${roomId} timeline ${id}`) !== null);
      const isAllTold = isTold.slice(Math.max(0, isTold.indexOf(true))).every((told) => told);
      const facts = [...reference].filter(([other]) => other.startsWith(`rooms ${roomId} `));
      const isKnown = ([other, text]: [string, string]): boolean =>
        /^rooms \S+ (?:limited|num_live|prev_batch|bump_stamp|is_dm|timeline|unstable_expanded_timeline)/.test(other) ||
        toldBefore(other) === text;
      return isAllTold && facts.every(isKnown);
    },
  },
  {
    name: "members that are asked for lazily and by name at once",
    synapse: "does not send those named until they change",
    glissade: "sends them",
    why: "they are asked for",
    explains: ({ path, synapse, glissade }, { reference, userId }) => {
      const [kind, roomId, field, what = ""] = path.split(" ");
      const isOwn = kind === "rooms" && field === "required_state" && what === `m.room.member|${userId}`;
      return isOwn && synapse === null && glissade !== null && reference.has(`rooms ${roomId}`);
    },
  },
  {
    name: "the end of an invite or knock",
    synapse: "sends one's own leave in the timeline as well as in `required_state`",
    glissade: "sends it in `required_state`",
    why: "of a room that one never was in there is no timeline",
    explains: ({ path, glissade }, { reference, userId }) => {
      const [kind, roomId = "", field, what = ""] = path.split(" ");
      const [eventId, ...others] = timelineOf(reference, roomId);
      const event = reference.get(`rooms ${roomId} timeline ${eventId}`) ?? "";
      const isEnd = event.includes(`"state_key":"${userId}"`) && event.includes('"content":{"membership":"leave"');
      if (kind !== "rooms" || others.length > 0 || !isEnd) return false;
      if (field === "num_live") return glissade === "0";
      return (field === "timeline" || what.startsWith("m.room.member|")) && glissade === null;
    },
  },
  {
    name: "a room that one knocks at again",
    synapse: "goes on from what was sent before the first knock was withdrawn",
    glissade: "begins anew",
    why: "a room that was left is not kept in mind",
    explains: ({ path, synapse, glissade }, { subject }) => {
      const [kind, roomId = "", field] = path.split(" ");
      return (
        kind === "rooms" && field === "initial" && synapse === null && glissade === "true" && isInvite(subject, roomId)
      );
    },
  },
  {
    name: "rooms that one is not in",
    synapse: "tells the name and avatar of a room as they were when one left it, and a token for its timeline",
    glissade:
      "tells name and avatar where nothing has happened in the room since, and a token where there is a timeline",
    why: "what a room is called by now is not for who left it, and what it was called then is not kept",
    explains: ({ path, glissade }, { reference, userId }) => {
      const [kind, roomId = "", field = ""] = path.split(" ");
      const own = reference.get(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
      const isOut = /"membership":"(?:ban|leave)"/.test(own.replace(/"prev_content":\{[^}]*\}/, ""));
      const isKept = !["name", "avatar", "prev_batch", "required_state"].includes(field);
      return kind === "rooms" && !isKept && glissade === null && isOut;
    },
  },
  {
    name: "typing",
    synapse: "tells who types as it changes, and to a new connection also that nobody does any more",
    glissade: "tells who types when a room comes into scope, and nothing where nobody does",
    why: "as MSC4508 has it",
    explains: ({ path, synapse, glissade }) =>
      path.startsWith("extensions typing ") &&
      ((synapse === null && glissade?.includes("@") === true) ||
        (glissade === null && synapse?.includes("[]") === true)),
  },
  {
    name: "a scope that grows again",
    synapse: "forgets what happened to account data of rooms while they were out of an extension's scope",
    glissade: "sends it when they are in scope again",
    why: "nothing may be lost",
    explains: ({ path, synapse }) => path.startsWith("extensions account_data !") && synapse === null,
  },
  {
    name: "sticky events and thread subscriptions",
    synapse: "has both, where they are switched on",
    glissade: "has neither, and does not answer their keys",
    why: "a classic sync tells nothing about threads one follows",
    explains: ({ path, glissade }) =>
      /^extensions (?:org\.matrix\.msc4354\.sticky_events|io\.element\.msc4308\.thread_subscriptions)/.test(path) &&
      glissade === null,
  },
  {
    name: "a token for the middle of what came in one piece",
    synapse: "sends `prev_batch` for the first event of any timeline",
    glissade: "sends the nearest one it has behind that event, and none where it has none",
    why: "a classic sync gives tokens for the beginnings of what it sends, and no others",
    explains: ({ path, glissade }, { subject }) => {
      const [kind, roomId, field] = path.split(" ");
      const isLimited = subject.get(`rooms ${roomId} limited`) === "true";
      return kind === "rooms" && field === "prev_batch" && glissade === null && isLimited;
    },
  },
  {
    name: "what is live after coming back",
    synapse: "counts what happened between a leave and the next join as live",
    glissade: "counts from the join on",
    why: "one was not there",
    explains: ({ path, synapse, glissade }, { reference }) => {
      const [kind, roomId, field] = path.split(" ");
      const isInitial = reference.has(`rooms ${roomId} initial`);
      return kind === "rooms" && field === "num_live" && isInitial && Number(glissade) < Number(synapse);
    },
  },
  {
    name: "what came while no timeline was asked for",
    synapse: "forgets it",
    glissade: "sends the newest events when a timeline is asked for again",
    why: "nothing may be lost",
    explains: ({ path, synapse }, { reference, subject }) => {
      const [kind, roomId] = path.split(" ");
      const isExpanded = subject.has(`rooms ${roomId} unstable_expanded_timeline`);
      return kind === "rooms" && synapse === null && isExpanded && !reference.has(`rooms ${roomId}`);
    },
  },
  {
    name: "rooms that one has left",
    synapse: "lists a room that one left in the response that covers the leave, and in no other",
    glissade: "lists it until the leave is told and acknowledged",
    why: "a leave out of view would never be told",
    explains: ({ path, synapse, glissade }, { subject, userId, toldBefore }) => {
      const [kind, key, op] = path.split(" ");
      if (kind !== "lists") return false;
      const isLeft = (roomId: string): boolean => {
        const own = toldBefore(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
        return own.includes('"content":{"membership":"leave"') && own.includes(`"sender":"${userId}"`);
      };
      const windows = [...subject].filter(([other]) => other.startsWith(`lists ${key} SYNC `));
      const left = new Set(windows.flatMap(([, text]) => (JSON.parse(text) as string[]).filter(isLeft)));
      if (op === "count") return left.size > 0 && Number(glissade) - Number(synapse) === left.size;
      const [expected, found] = [synapse, glissade].map((text) => JSON.parse(text ?? "[]") as string[]);
      const others = (found ?? []).filter((roomId) => !left.has(roomId));
      return left.size > 0 && others.join() === (expected ?? []).slice(0, others.length).join();
    },
  },
];

/** The deviation that explains a difference. */
export function explanationOf(difference: Difference, scene: Scene): Deviation | null {
  return DEVIATIONS.find((deviation) => deviation.explains(difference, scene)) ?? null;
}
