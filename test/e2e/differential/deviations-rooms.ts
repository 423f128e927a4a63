import {
  configsOf,
  type Deviation,
  eventOf,
  factsOf,
  isBare,
  isExpanded,
  isInitial,
  ofRooms,
  type RoomFact,
  type Scene,
  timelineOf,
} from "./scene.ts";

const isInvite = ({ reference }: Scene, roomId: string): boolean =>
  factsOf(reference, roomId).some(([fact]) => fact.startsWith("invite_state"));

/** An event before which Glissade shows nothing that others' polls brought. */
const isStart = (event: Record<string, unknown>, userId: string): boolean =>
  event["type"] === "m.room.history_visibility" || (event["type"] === "m.room.member" && event["state_key"] === userId);

/** The events that Synapse has before the first one of Glissade, where that is where a room began to share its history. */
function beforeSharing(roomId: string, { reference, subject, userId }: Scene): string[] {
  const [expected, found] = [timelineOf(reference, roomId), timelineOf(subject, roomId)];
  const missing = expected.slice(0, expected.length - found.length);
  const isSame = expected.slice(missing.length).join() === found.join();
  return isSame && isStart(eventOf(subject, roomId, found[0]), userId) ? missing : [];
}

/** The client has all of Synapse's timeline, with this answer at the latest, but for what Glissade shows nobody. */
function isTimelineKnown(roomId: string, { reference, subject, told, userId }: Scene): boolean {
  const events = timelineOf(reference, roomId);
  const now = new Set(timelineOf(subject, roomId));
  const lastUnknown = events.findLastIndex((id) => !now.has(id) && !told.hasEvent(roomId, id));
  if (lastUnknown === -1) return true;
  const isShown = (id: string): boolean => now.has(id) || told.toldBefore(`rooms ${roomId} timeline ${id}`) !== null;
  const first = events.findIndex(isShown);
  return lastUnknown < first && isStart(eventOf(reference, roomId, events[first]), userId);
}

/** Glissade alone expands a timeline, with events that the client has: how much it had depends on what was left out. */
const isToldAgain = (roomId: string, { reference, subject, told }: Scene): boolean =>
  !reference.has(`rooms ${roomId}`) &&
  isExpanded(subject, roomId) &&
  subject.get(`rooms ${roomId} num_live`) === "0" &&
  timelineOf(subject, roomId).every((id) => told.hasEvent(roomId, id));

/** State that Synapse sent before the room came anew, and Glissade not since. */
const isForgottenState = (path: string, glissade: string, { told, toldByReference }: Scene): boolean =>
  toldByReference.toldEver(path) === glissade && told.toldBefore(path) !== glissade;

/** What an entry says besides what makes it worth sending. */
const isBeside = (fact: string): boolean =>
  /^(?:bump_stamp|is_dm|limited|prev_batch|timeline|unstable_expanded_timeline)/.test(fact);

/** Everything that Synapse says of the room the client was told before. */
const isAllKnown = (roomId: string, scene: Scene): boolean =>
  isTimelineKnown(roomId, scene) &&
  factsOf(scene.reference, roomId).every(
    ([fact, text]) =>
      isBeside(fact) ||
      (fact === "num_live" && text === "0") ||
      scene.told.toldBefore(`rooms ${roomId} ${fact}`) === text,
  );

const hasAsked = ({ wishes }: Scene, isSo: (limit: number) => boolean): boolean =>
  wishes.some(({ lists, room_subscriptions: rooms }) =>
    [...Object.values(lists), ...Object.values(rooms)].some(({ timeline_limit: limit }) => isSo(limit)),
  );

const isNone = (limit: number): boolean => limit === 0;

const wantsMember = (configs: ReturnType<typeof configsOf>, key: string): boolean =>
  configs.some(({ required_state: state }) => state.some(([type, name]) => type === "m.room.member" && name === key));

/** Synapse sends all of a room's newest events again. */
const isResent = ({ roomId }: RoomFact, { reference, subject }: Scene): boolean =>
  isExpanded(reference, roomId) && !isExpanded(subject, roomId) && !isInitial(subject, roomId);

/** The events before those of Synapse where Glissade alone expands a timeline; null where it does not. */
function eventsOfExpansion({ roomId }: RoomFact, { reference, subject }: Scene): string[] | null {
  if (!isExpanded(subject, roomId) || isExpanded(reference, roomId) || isInitial(reference, roomId)) return null;
  const [expected, found] = [timelineOf(reference, roomId), timelineOf(subject, roomId)];
  const more = found.slice(0, found.length - expected.length);
  return found.slice(more.length).join() === expected.join() ? more : null;
}

/** Something that differs because a timeline is longer. */
const isOfExpansion = ({ field, what, synapse }: RoomFact): boolean =>
  field === "timeline" ? what === "" || synapse === null : synapse === null || field === "limited";

/** Ways in which entries of rooms differ. */
export const ROOM_DEVIATIONS: readonly Deviation[] = [
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
    explains: ofRooms(({ roomId, field, glissade }, scene) => {
      if (!["name", "avatar"].includes(field) || !isInvite(scene, roomId)) return false;
      const carried = factsOf(scene.subject, roomId).find(([fact]) => fact === `invite_state m.room.${field}|`);
      return glissade === null || carried?.[1].includes(glissade) === true;
    }),
  },
  {
    name: "the beginning of a room",
    synapse: "shows the events before the room's first word about who may see its history, creation included",
    glissade: "shows what came after that word, and after one's own join where that came first",
    why: "what one member's poll brought is shown to others only where the room has said so",
    explains: ofRooms(({ roomId, field, what, synapse, glissade }, scene) => {
      const missing = beforeSharing(roomId, scene);
      const [first] = timelineOf(scene.subject, roomId);
      if (field === "limited") return isStart(eventOf(scene.subject, roomId, first), scene.userId);
      if (missing.length === 0) return false;
      if (field === "timeline") return what === "" || (glissade === null && missing.includes(what));
      if (field !== "required_state" || glissade !== null || synapse === null) return false;
      return missing.some((id) => what === `m.room.member|${String(eventOf(scene.reference, roomId, id)["sender"])}`);
    }),
  },
  {
    name: "heroes of a room with a name",
    synapse: "sends heroes when a membership changes, also where the room has a name",
    glissade: "sends heroes of rooms without a name",
    why: "heroes are there to name a room",
    explains: ofRooms(
      ({ roomId, field, glissade }, { reference, told }) =>
        field === "heroes" &&
        glissade === null &&
        !isInitial(reference, roomId) &&
        told.toldBefore(`rooms ${roomId} name`) !== null,
    ),
  },
  {
    name: "heroes of a room that loses its name",
    synapse: "sends them with the next change of a membership",
    glissade: "sends them at once",
    why: "until then the room would have neither name nor heroes",
    explains: ofRooms(
      ({ roomId, field, synapse }, { reference }) =>
        field === "heroes" && synapse === null && reference.has(`rooms ${roomId} required_state m.room.name|`),
    ),
  },
  {
    name: "no token where there is nothing more",
    synapse: "sends `prev_batch` with every timeline",
    glissade: "sends it where there may be more to page back to",
    why: "a token comes from the homeserver, which gives one for the beginning of what it sent",
    explains: ofRooms(
      ({ roomId, field, glissade }, { subject }) =>
        field === "prev_batch" && glissade === null && subject.get(`rooms ${roomId} limited`) !== "true",
    ),
  },
  {
    name: "a change of profile where one is alone",
    synapse: "takes it for a join, and sends the room anew",
    glissade: "sends the new profile",
    why: "nobody joined",
    explains: ofRooms(({ roomId, glissade }, { reference, userId }) => {
      const own = reference.get(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
      const isProfile = own.includes('"prev_content":{') && (own.match(/"membership":"join"/g) ?? []).length === 2;
      return glissade === null && isProfile && isInitial(reference, roomId);
    }),
  },
  {
    name: "unread counts",
    synapse: "has none: they are 0",
    glissade: "sends those of the homeserver, and an entry when they change",
    why: "clients without push rules of their own have no other source",
    explains: ({ path, synapse, glissade }, { reference, subject }) => {
      const [kind, roomId = ""] = path.split(" ");
      const isOfCounts = (room: string): boolean =>
        !reference.has(`rooms ${room}`) && factsOf(subject, room).every(([fact]) => isBare(fact));
      if (path !== "came") return kind === "rooms" && synapse === null && isOfCounts(roomId);
      const rooms = [...subject.keys()].filter((other) => /^rooms \S+$/.test(other));
      return glissade === "at once" && rooms.length > 0 && rooms.every((room) => isOfCounts(room.split(" ")[1] ?? ""));
    },
  },
  {
    name: "what the client has",
    synapse: "sends state, name, avatar or timeline again when they are asked for in other words",
    glissade: "sends what was not sent, or has changed since",
    why: "the client has the rest",
    explains: ofRooms(({ path, roomId, field, synapse, glissade }, scene) => {
      const { reference, subject, told } = scene;
      if (synapse === null || glissade !== null || isInitial(reference, roomId)) return false;
      if (["name", "avatar", "required_state"].includes(field)) return told.toldBefore(path) === synapse;
      return !subject.has(`rooms ${roomId}`) && isAllKnown(roomId, scene);
    }),
  },
  {
    name: "a limit that is raised again",
    synapse:
      "sends the newest events anew when a timeline limit was lowered, other state asked for, and the limit raised again",
    glissade: "sends what the client lacks",
    why: "the client has the rest",
    explains: ofRooms((fact, scene) => {
      const { roomId, field, what, glissade } = fact;
      if (!isResent(fact, scene) || !isTimelineKnown(roomId, scene)) return false;
      const [expected, found] = [timelineOf(scene.reference, roomId), timelineOf(scene.subject, roomId)];
      if (expected.slice(expected.length - found.length).join() !== found.join()) return false;
      if (field === "timeline") return what === "" || glissade === null;
      if (field === "limited") return glissade === "false";
      return ["unstable_expanded_timeline", "bump_stamp", "prev_batch"].includes(field) && glissade === null;
    }),
  },
  {
    name: "members that are asked for lazily and by name at once",
    synapse: "does not send those named until they change",
    glissade: "sends them",
    why: "they are asked for",
    explains: ofRooms(({ roomId, field, what, synapse }, { reference, subject, userId, wish, wishes }) => {
      const isOwn = field === "required_state" && what === `m.room.member|${userId}` && synapse === null;
      const before = wishes.at(-1);
      if (!isOwn || before === undefined || !reference.has(`rooms ${roomId}`)) return false;
      const [old, now] = [configsOf(before, subject, roomId), configsOf(wish, subject, roomId)];
      const isNew = (key: string): boolean => wantsMember(now, key) && !wantsMember(old, key);
      return isNew("$LAZY") && isNew("$ME");
    }),
  },
  {
    name: "state of a room that came anew",
    synapse: "keeps in mind which state and members it sent before the room came anew, and does not send them again",
    glissade: "sends them when they are asked for, and members when they speak",
    why: "a room that comes anew takes the place of all that was known of it",
    explains: ofRooms(
      ({ path, field, synapse, glissade }, scene) =>
        synapse === null && glissade !== null && field === "required_state" && isForgottenState(path, glissade, scene),
    ),
  },
  {
    name: "the end of an invite or knock",
    synapse: "sends one's own leave in the timeline as well as in `required_state`",
    glissade: "sends it in `required_state`, and in the timeline what was before, if one ever was inside",
    why: "of a room that one never was in there is no timeline",
    explains: ofRooms(({ roomId, field, what, synapse, glissade }, { reference, subject, userId }) => {
      const [expected, stay] = [timelineOf(reference, roomId), timelineOf(subject, roomId)];
      const end = expected.pop();
      const event = reference.get(`rooms ${roomId} timeline ${end}`) ?? "";
      const isOwnLeave = event.includes(`"state_key":"${userId}"`) && event.includes('"content":{"membership":"leave"');
      const isEnd = isOwnLeave && !/"prev_content":\{[^{}]*"membership":"join"/.test(event);
      const parting = eventOf(subject, roomId, stay.at(-1));
      const isStay = stay.length === 0 || (parting["type"] === "m.room.member" && parting["state_key"] === userId);
      const isSame = stay.slice(stay.length - expected.length).join() === expected.join();
      if (!isEnd || !isStay || !isSame || stay.includes(end ?? "")) return false;
      const speakers = stay.map((id) => `m.room.member|${String(eventOf(subject, roomId, id)["sender"])}`);
      if (field === "required_state" && synapse === null) return speakers.includes(what);
      if (field === "required_state") return glissade === null && what.startsWith("m.room.member|");
      if (field === "num_live") return glissade === "0";
      if (field === "prev_batch") return stay.length > 0;
      return field === "timeline" && (what === "" || glissade === null || synapse === null);
    }),
  },
  {
    name: "rooms that one is not in",
    synapse: "tells name, avatar and state of a room as they were when one left it, and a token for its timeline",
    glissade:
      "tells what is still as it was then, nothing where one never was inside, and a token where there is a timeline",
    why: "what a room has become is not for who left it, and what it was then is not kept",
    explains: ofRooms(({ roomId, field, what, synapse, glissade }, { log, subject, userId }) => {
      if (glissade !== null || synapse === null || log.isIn(roomId, userId)) return false;
      if (field === "prev_batch") return !subject.has(`rooms ${roomId} timeline`);
      if (!log.wasIn(roomId, userId)) return ["name", "avatar", "required_state"].includes(field);
      if (["name", "avatar"].includes(field)) return log.hasGoneOn(roomId, userId);
      const [type = "", stateKey = ""] = what.split("|");
      return field === "required_state" && log.hasChanged(roomId, userId, type, stateKey);
    }),
  },

  {
    name: "what is live after coming back",
    synapse: "counts what happened between a leave and the next join as live",
    glissade: "counts from the join on",
    why: "one was not there",
    explains: ofRooms(({ roomId, field, synapse, glissade }, { reference, subject, userId }) => {
      const events = timelineOf(subject, roomId);
      const joined = events.findLastIndex((id) => {
        const event = eventOf(subject, roomId, id);
        return event["type"] === "m.room.member" && event["state_key"] === userId;
      });
      const isFromJoin = joined !== -1 && Number(glissade) === events.length - joined;
      return field === "num_live" && isInitial(reference, roomId) && Number(synapse) > Number(glissade) && isFromJoin;
    }),
  },
  {
    name: "what came while no timeline was asked for",
    synapse: "forgets it",
    glissade:
      "sends the newest events when a timeline is asked for again, and those before them again when more are asked for",
    why: "nothing may be lost; what was sent before the gap is not remembered",
    explains: ofRooms((fact, scene) => {
      const more = eventsOfExpansion(fact, scene);
      if (more === null || !hasAsked(scene, isNone)) return false;
      const isLess = scene.lessAsked.has(fact.roomId) || hasAsked({ ...scene, wishes: scene.wishes.slice(-1) }, isNone);
      const isKnown = isLess && more.every((id) => scene.told.hasEvent(fact.roomId, id));
      const isOfTimeline = fact.field === "" || fact.field === "num_live" || isBeside(fact.field);
      if (isKnown && isOfTimeline && (isToldAgain(fact.roomId, scene) || isOfExpansion(fact))) return true;
      const isLost = more.some((id) => scene.told.toldEver(`rooms ${fact.roomId} timeline ${id}`) === null);
      // As many events as this request asks for may all be news.
      const isFlag = ["unstable_expanded_timeline", "limited", "bump_stamp"].includes(fact.field);
      return isLost ? isOfExpansion(fact) : more.length === 0 && isFlag;
    }),
  },
  {
    name: "a room that one came back to out of view",
    synapse: "goes on from what was sent before",
    glissade: "sends it anew, as any room that one comes back to, and more of it when more is asked for",
    why: "one was not there",
    explains: ofRooms((fact, scene) => {
      const { roomId } = fact;
      const { reference, subject, told, log, userId } = scene;
      if (isInitial(subject, roomId) && !isInitial(reference, roomId)) {
        const own = told.toldBefore(`rooms ${roomId} required_state m.room.member|${userId}`) ?? "";
        return log.isIn(roomId, userId) && /"content":\{"membership":"(?:leave|ban)"/.test(own);
      }
      const more = eventsOfExpansion(fact, scene) ?? [];
      const isAnew = more.some((id) => {
        const path = `rooms ${roomId} timeline ${id}`;
        return told.toldEver(path) !== null && told.toldBefore(path) === null;
      });
      return isAnew && isOfExpansion(fact);
    }),
  },
  {
    name: "timelines that one sees in part",
    synapse: "counts events that one may not see against the limit, and takes them for left out",
    glissade: "sends as many as were asked for of those that one may see",
    why: "how many there are besides is nothing to who cannot see them",
    explains: ofRooms(({ roomId, field, what, synapse, glissade }, scene) => {
      const { log, reference, subject, userId, wish } = scene;
      const [expected, found] = [timelineOf(reference, roomId), timelineOf(subject, roomId)];
      if (!log.isIn(roomId, userId) && isToldAgain(roomId, scene)) return true;
      const isMore = found.slice(found.length - expected.length).join() === expected.join();
      const limit = Math.max(...configsOf(wish, subject, roomId).map(({ timeline_limit: most }) => most));
      if (log.isIn(roomId, userId) || !isMore || found.length > limit || synapse === glissade) return false;
      if (field === "timeline") return what === "" || (synapse === null && found.includes(what));
      if (field === "limited") return synapse === "true" && glissade === "false";
      const speakers = found.map((id) => `m.room.member|${String(eventOf(subject, roomId, id)["sender"])}`);
      return field === "required_state" && synapse === null && speakers.includes(what);
    }),
  },
  {
    name: "one's own membership where one is not",
    synapse: "sends it when it changes",
    glissade: "sends it with every entry of a room that one is not in, where it is asked for",
    why: "a client takes a room for joined of which it hears anything else",
    explains: ofRooms(
      ({ roomId, field, what, synapse, glissade }, { log, userId }) =>
        field === "required_state" &&
        what === `m.room.member|${userId}` &&
        synapse === null &&
        glissade !== null &&
        !log.isIn(roomId, userId),
    ),
  },
];
