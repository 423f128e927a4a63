import { displayName, type Room } from "./room.ts";
import type { MatrixEvent } from "./wire.ts";

/** How an event is shown. */
export interface EventText {
  /** `message` in a bubble, `note` as a line in between. */
  kind: "message" | "note";
  text: string;
}

/** Says an event in words. */
export function eventText(room: Room, event: MatrixEvent): EventText {
  const who = displayName(room, event.sender ?? "");
  const { content } = event;
  const text = (key: string): string => (typeof content[key] === "string" ? content[key] : "");
  switch (event.type) {
    case "m.room.message":
      if (content["msgtype"] === undefined) return { kind: "message", text: "Message deleted" };
      return { kind: content["msgtype"] === "m.emote" ? "note" : "message", text: bodyOf(who, content) };
    case "m.room.encrypted":
      return { kind: "message", text: "Encrypted: this console has no keys" };
    case "m.sticker":
      return { kind: "message", text: `Sticker: ${text("body")}` };
    case "m.room.member":
      return { kind: "note", text: memberText(room, event, who) };
    case "m.room.name":
      return { kind: "note", text: `${who} named the room “${text("name")}”` };
    case "m.room.topic":
      return { kind: "note", text: `${who} set the topic: ${text("topic")}` };
    case "m.room.create":
      return { kind: "note", text: `${who} made the room` };
    case "m.room.encryption":
      return { kind: "note", text: `${who} turned encryption on` };
    case "m.room.tombstone":
      return { kind: "note", text: "The room was replaced by another" };
    case "m.room.redaction":
      return { kind: "note", text: `${who} deleted a message` };
    case "m.reaction":
      return { kind: "note", text: `${who} reacted` };
    default:
      return { kind: "note", text: `${who}: ${event.type}` };
  }
}

/** One line for the list: what came last that says something. */
export function previewText(room: Room): string {
  if (room.isInvite) return room.inviter === null ? "You are invited" : `${room.inviter} invites you`;
  const last = room.timeline.at(-1);
  if (last === undefined) return room.topic;
  const { kind, text } = eventText(room, last);
  return kind === "message" ? `${displayName(room, last.sender ?? "")}: ${text}` : text;
}

function bodyOf(who: string, content: MatrixEvent["content"]): string {
  const body = typeof content["body"] === "string" ? content["body"] : "";
  switch (content["msgtype"]) {
    case "m.emote":
      return `${who} ${body}`;
    case "m.image":
      return `Picture: ${body}`;
    case "m.video":
      return `Video: ${body}`;
    case "m.audio":
      return `Sound: ${body}`;
    case "m.file":
      return `File: ${body}`;
    default:
      return body;
  }
}

function memberText(room: Room, event: MatrixEvent, who: string): string {
  const whom = displayName(room, event.state_key ?? "");
  const isSelf = event.state_key === event.sender;
  switch (event.content["membership"]) {
    case "join":
      return `${whom} is here`;
    case "invite":
      return `${who} invited ${whom}`;
    case "knock":
      return `${whom} asks to be let in`;
    case "ban":
      return `${who} banned ${whom}`;
    default:
      return isSelf ? `${whom} left` : `${who} removed ${whom}`;
  }
}
