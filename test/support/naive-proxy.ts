// The smallest server that speaks enough MSC3575 for the load generator: it tests the bench, not Glissade.
// It keeps everything in memory, polls the homeserver once for each token and ignores most of a request.

type Timeline = { readonly events: string[]; isNew: boolean };
type Device = { rooms: Map<string, Timeline>; pos: number; dirty: Map<string, string[]>; wake: (() => void) | null };

const homeserver = process.env["SYNCV3_SERVER"] ?? "";
const bind = new URL(`http://${process.env["SYNCV3_BINDADDR"] ?? "127.0.0.1:0"}`);
/** `lose=N` swallows every Nth live event, `double=N` delivers it twice, `late=N` delivers all N ms late: the bench must notice. */
const fault = /^(lose|double|late)=(\d+)$/u.exec(process.argv[2] ?? "");
const faultEvery = fault?.[1] === "late" ? 0 : Number(fault?.[2] ?? "0");
const lateMs = fault?.[1] === "late" ? Number(fault[2]) : 0;
const devices = new Map<string, Promise<Device>>();
let liveCount = 0;

type SyncBody = {
  next_batch: string;
  rooms?: { join?: Record<string, { timeline: { events: unknown[] } }> };
};

async function fetchSync(token: string, since: string): Promise<SyncBody> {
  const query = since === "" ? "timeout=0" : `timeout=30000&since=${since}`;
  const answer = await fetch(`${homeserver}/_matrix/client/v3/sync?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return (await answer.json()) as SyncBody;
}

function withFault(events: readonly string[]): string[] {
  return events.flatMap((event) => {
    liveCount += 1;
    if (faultEvery === 0 || liveCount % faultEvery !== 0) return [event];
    return fault?.[1] === "lose" ? [] : [event, event];
  });
}

async function follow(token: string, device: Device, from: string): Promise<void> {
  let since = from;
  for (;;) {
    const body = await fetchSync(token, since);
    if (lateMs > 0) await Bun.sleep(lateMs);
    since = body.next_batch;
    for (const [roomId, room] of Object.entries(body.rooms?.join ?? {})) {
      const events = withFault(room.timeline.events.map((event) => JSON.stringify(event)));
      device.rooms.get(roomId)?.events.push(...events);
      device.dirty.set(roomId, [...(device.dirty.get(roomId) ?? []), ...events]);
    }
    device.wake?.();
  }
}

async function connect(token: string): Promise<Device> {
  const first = await fetchSync(token, "");
  const device: Device = { rooms: new Map(), pos: 0, dirty: new Map(), wake: null };
  for (const [roomId, room] of Object.entries(first.rooms?.join ?? {})) {
    device.rooms.set(roomId, { events: room.timeline.events.map((event) => JSON.stringify(event)), isNew: true });
  }
  void follow(token, device, first.next_batch);
  return device;
}

function roomNumber(roomId: string): number {
  return Number(/\d+/u.exec(roomId)?.[0]);
}

function firstAnswer(device: Device, windowEnd: number): string {
  const roomIds = [...device.rooms.keys()].slice(0, windowEnd + 1);
  const rooms = roomIds.map((roomId) => {
    const events = device.rooms.get(roomId)?.events.slice(-5) ?? [];
    const state = '{"type":"m.room.create","content":{}},{"type":"m.room.name","content":{}}';
    return `"${roomId}":{"initial":true,"name":"Room number ${roomNumber(roomId)}","required_state":[${state}],"timeline":[${events.join(",")}]}`;
  });
  const op = JSON.stringify({ op: "SYNC", range: [0, roomIds.length - 1], room_ids: roomIds });
  return `{"lists":{"list":{"count":${device.rooms.size},"ops":[${op}]}},"rooms":{${rooms.join(",")}},"extensions":{},"pos":"${device.pos}"}`;
}

async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (request.method !== "POST") return new Response("not found", { status: 404 });
  const token = (request.headers.get("authorization") ?? "").slice("Bearer ".length);
  const known = devices.get(token);
  if (url.searchParams.has("pos") && known === undefined) {
    return Response.json({ errcode: "M_UNKNOWN_POS", error: "session expired" }, { status: 400 });
  }
  const promise = known ?? connect(token);
  devices.set(token, promise);
  const device = await promise;
  device.pos += 1;
  if (!url.searchParams.has("pos")) {
    const body = await request.text();
    return new Response(firstAnswer(device, Number(/"ranges":\[\[0,(\d+)/u.exec(body)?.[1])));
  }
  if (device.dirty.size === 0) {
    await new Promise<void>((wake) => {
      device.wake = wake;
      setTimeout(wake, Number(url.searchParams.get("timeout")));
    });
  }
  const rooms = [...device.dirty].map(([roomId, events]) => `"${roomId}":{"timeline":[${events.join(",")}]}`);
  device.dirty.clear();
  // In pieces without a length, as servers in other languages do.
  const text = `{"lists":{"list":{"count":${device.rooms.size}}},"rooms":{${rooms.join(",")}},"extensions":{},"pos":"${device.pos}"}`;
  return new Response(new Blob([text]).stream());
}

Bun.serve({ hostname: bind.hostname, port: Number(bind.port), idleTimeout: 0, fetch: answer });
