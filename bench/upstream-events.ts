import { markerFor } from "./marker.ts";
import type { Topology } from "./topology.ts";
import { userIdOf, usersOfRoom } from "./topology.ts";

/** Size of a message event on the wire, as in the description of the workloads. */
const MESSAGE_BYTES = 350;
const FIRST_TS = 1_790_000_000_000;

let eventCount = 0;

function eventId(): string {
  eventCount += 1;
  return `$${String(eventCount).padStart(12, "0")}_bench_bench_bench_bench_bench_`;
}

function stateEvent(type: string, stateKey: string, sender: string, content: string): string {
  const ts = FIRST_TS + eventCount;
  return `{"type":"${type}","state_key":"${stateKey}","sender":"${sender}","content":${content},"origin_server_ts":${ts},"unsigned":{"age":1234},"event_id":"${eventId()}"}`;
}

function memberEvent(userId: string, name: string, marker = ""): string {
  const content = `{"membership":"join","displayname":"${name}","avatar_url":"mxc://bench.test/avatarOf${name}"${marker}}`;
  return stateEvent("m.room.member", userId, userId, content);
}

/** A message of the usual size; `marker` is empty for history. */
function messageEvent(sender: string, marker: string): string {
  const ts = FIRST_TS + eventCount;
  const start = `{"type":"m.room.message","sender":"${sender}","content":{"msgtype":"m.text","body":"`;
  const end = `"${marker}},"origin_server_ts":${ts},"unsigned":{"age":1234},"event_id":"${eventId()}"}`;
  const padding = "made-up words ".repeat(30).slice(0, Math.max(0, MESSAGE_BYTES - start.length - end.length));
  return start + padding + end;
}

/** A marked message for a live room. */
export function liveMessage(topology: Topology, room: number, sequence: number, sentUs: number): string {
  const sender = userIdOf(usersOfRoom(topology, room)[0] ?? 0);
  return messageEvent(sender, `,${markerFor(sequence, sentUs)}`);
}

/** A marked join of somebody new. */
export function liveJoin(sequence: number, sentUs: number): string {
  return memberEvent(`@newcomer${sequence}:far.test`, `Newcomer${sequence}`, `,${markerFor(sequence, sentUs)}`);
}

/** State and history of a room as its first sync brings them. */
export function roomStart(topology: Topology, room: number): { state: string[]; history: string[] } {
  const locals = usersOfRoom(topology, room).map(userIdOf);
  const creator = locals[0] ?? userIdOf(0);
  const others = Array.from({ length: topology.othersPerRoom }, (_, index) => `@other${index}of${room}:far.test`);
  const state = [
    stateEvent("m.room.create", "", creator, `{"room_version":"10","creator":"${creator}"}`),
    ...[...locals, ...others].map((userId) => memberEvent(userId, userId.slice(1, userId.indexOf(":")))),
    stateEvent("m.room.power_levels", "", creator, `{"users":{"${creator}":100},"users_default":0,"events_default":0}`),
    stateEvent("m.room.join_rules", "", creator, '{"join_rule":"invite"}'),
    stateEvent("m.room.history_visibility", "", creator, '{"history_visibility":"shared"}'),
    stateEvent("m.room.name", "", creator, `{"name":"Room number ${room}"}`),
  ];
  const senders = [...locals, ...others];
  const history = Array.from({ length: topology.messages }, (_, index) =>
    messageEvent(senders[index % senders.length] ?? creator, ""),
  );
  return { state, history };
}
