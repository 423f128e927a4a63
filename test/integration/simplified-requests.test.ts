import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import { FrontRig } from "#test/support/front-rig.ts";
import { SimplifiedClient } from "#test/support/simplified-client.ts";

const FORMS = ["simplified", "v4"] as const satisfies DialectName[];

describe("requests of simplified sliding sync", () => {
  let rig: FrontRig;
  let accounts = 0;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const newClient = (form: DialectName): SimplifiedClient => {
    accounts += 1;
    const localpart = `asking${accounts}`;
    return new SimplifiedClient(
      rig,
      rig.account(localpart, rig.joined(`@${localpart}:test`, [`${localpart}-a`])),
      form,
    );
  };
  const outcome = async (client: SimplifiedClient, body: unknown): Promise<unknown> => {
    const { status, json } = await client.request(body as Record<string, unknown>, { pos: null });
    return [status, json["errcode"]];
  };

  test.each(FORMS)("[SSS-90] what is to be sent of a room may be left out, but not be null (%p)", async (form) => {
    const client = newClient(form);
    const bad = [400, "M_BAD_JSON"];
    for (const where of ["lists", "room_subscriptions"]) {
      const asked = (config: unknown): unknown => ({ [where]: { [where === "lists" ? "a" : "!a:test"]: config } });
      expect(await outcome(client, asked({ required_state: null, timeline_limit: 1 }))).toEqual(bad);
      expect(await outcome(client, asked({ timeline_limit: null }))).toEqual(bad);
      expect(await outcome(client, asked({ filters: null }))).toEqual([200, undefined]);
      expect(await outcome(client, asked({}))).toEqual([200, undefined]);
    }
  });

  test("[SSS-91] an entry of state is a pair: without its key it is `M_MISSING_PARAM`, anything else `M_BAD_JSON`", async () => {
    const client = newClient("simplified");
    const asking = (entry: unknown): Promise<unknown> =>
      outcome(client, { lists: { a: { required_state: [entry], timeline_limit: 1 } } });
    expect(await asking(["m.room.name"])).toEqual([400, "M_MISSING_PARAM"]);
    for (const entry of [["a", "b", "c"], [1, 2], [1], [], "m.room.name", {}, null]) {
      expect([entry, await asking(entry)]).toEqual([entry, [400, "M_BAD_JSON"]]);
    }
    expect(await asking(["m.room.name", ""])).toEqual([200, undefined]);
  });

  test.each(FORMS)("[SSS-97] what the homeserver says of a token is told in its own words (%p)", async (form) => {
    const answers: Record<string, [number, unknown]> = {
      locked: [401, { errcode: "M_USER_LOCKED", error: "ask the admin", soft_logout: true }],
      gone: [401, { errcode: "M_UNKNOWN_TOKEN", error: "no such token" }],
      forbidden: [403, { errcode: "M_FORBIDDEN", error: "not you" }],
      wordless: [401, {}],
      broken: [500, { errcode: "M_UNKNOWN", error: "inner matters" }],
    };
    const hearAgain = rig.node.homeserver.onRequest(({ route, accessToken }) => {
      const [status, body] = answers[accessToken?.split(" ")[0] ?? ""] ?? [];
      return route === "/account/whoami" && status !== undefined ? Response.json(body, { status }) : undefined;
    });
    const path =
      form === "v4" ? "/_matrix/client/v4/sync" : "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    const told = async (name: string): Promise<unknown> => {
      const { status, json } = await rig.request(rig.account(`told-${form}`, {}), {
        path,
        token: `${name} ${form}`,
        body: {},
      });
      return [status, json];
    };
    for (const name of ["locked", "gone", "forbidden"]) expect(await told(name)).toEqual(answers[name]);
    expect(await told("wordless")).toMatchObject([401, { errcode: "M_UNKNOWN_TOKEN" }]);
    expect(await told("broken")).toMatchObject([502, { errcode: "M_UNKNOWN" }]);
    const classic = await rig.request(rig.account(`told-${form}`, {}), { token: `forbidden ${form} too`, body: {} });
    expect(classic.status).toBe(502);
    hearAgain();
  });

  test.each(FORMS)("[SSS-92] a body is one JSON object and nothing else (%p)", async (form) => {
    const { accessToken } = rig.account(`whole-${form}`, rig.joined(`@whole-${form}:test`, [`whole-${form}`]));
    const path =
      form === "v4" ? "/_matrix/client/v4/sync" : "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    const ask = async (body: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${accessToken}` };
      const response = await fetch(`${rig.url}${path}`, { method: "POST", headers, body });
      return [response.status, ((await response.json()) as { errcode?: string }).errcode];
    };
    for (const body of ["", "{", "{} {}", "null x", '{"lists":{}}trailing']) {
      expect([body, await ask(body)]).toEqual([body, [400, "M_NOT_JSON"]]);
    }
    for (const body of ["null", "[]", '"text"', "3"]) {
      expect([body, await ask(body)]).toEqual([body, [400, "M_BAD_JSON"]]);
    }
    expect(await ask(" {}\n")).toEqual([200, undefined]);
  });
});
