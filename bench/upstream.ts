import { MadeUpHomeserver } from "./upstream-homeserver.ts";
import type { Topology } from "./topology.ts";
import { userIdOf } from "./topology.ts";

const JSON_HEADERS = { "content-type": "application/json" };
const TOKEN = /^(?:Bearer )?bench_token_(\d+)$/u;

const versions = '{"versions":["r0.6.1","v1.1","v1.2","v1.3","v1.4","v1.5","v1.6"],"unstable_features":{}}';

function json(body: string | Uint8Array<ArrayBuffer>, status = 200): Response {
  return new Response(body, { status, headers: JSON_HEADERS });
}

function userOf(request: Request, topology: Topology): number | null {
  const found = TOKEN.exec(request.headers.get("authorization") ?? "")?.[1];
  const user = found === undefined ? -1 : Number(found);
  return user >= 0 && user < topology.users ? user : null;
}

/** `s12` → 12; anything else is a first sync. */
function sinceOf(url: string): number | null {
  const found = /[?&]since=s(\d+)/u.exec(url)?.[1];
  return found === undefined ? null : Number(found);
}

function timeoutOf(url: string): number {
  return Number(/[?&]timeout=(\d+)/u.exec(url)?.[1] ?? "0");
}

type SendCommand = { readonly first: number; readonly rooms: number[] };
type JoinCommand = { readonly first: number; readonly room: number; readonly count: number };

/** Serves one topology until the process is told to stop; prints its port as the first line. */
function serve(topology: Topology): void {
  const homeserver = new MadeUpHomeserver(topology);

  const command = async (request: Request, path: string): Promise<Response> => {
    if (path === "/_bench/send") {
      // only the bench itself sends commands
      const { rooms, first } = (await request.json()) as SendCommand;
      homeserver.sendMessages(rooms, first);
    } else if (path === "/_bench/join") {
      // only the bench itself sends commands
      const { room, count, first } = (await request.json()) as JoinCommand;
      homeserver.sendJoins(room, count, first);
    }
    return json(`{"waiting":${homeserver.waitingCount}}`);
  };

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    maxRequestBodySize: 64 * 1024 * 1024,
    async fetch(request) {
      const { url } = request;
      const path = url.slice(url.indexOf("/", 8), url.includes("?") ? url.indexOf("?") : undefined);
      if (path.startsWith("/_bench/")) return command(request, path);
      if (path === "/_matrix/client/versions") return json(versions);
      const user = userOf(request, topology);
      if (user === null) return json('{"errcode":"M_UNKNOWN_TOKEN","error":"unknown token"}', 401);
      if (path.endsWith("/sync")) {
        const body = await homeserver.sync(user, sinceOf(url), timeoutOf(url));
        return json(new Uint8Array(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength));
      }
      if (path.endsWith("/account/whoami")) {
        return json(`{"user_id":"${userIdOf(user)}","device_id":"BENCH${user}","is_guest":false}`);
      }
      if (path.endsWith("/filter")) return json('{"filter_id":"1"}');
      return json('{"errcode":"M_UNRECOGNIZED","error":"not part of this homeserver"}', 404);
    },
  });
  console.log(server.port);
}

// written by `startUpstream`
serve(JSON.parse(process.argv[2] ?? "") as Topology);
