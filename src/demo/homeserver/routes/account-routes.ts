import type { Account } from "../accounts.ts";
import type { Route, RouteContext } from "../router.ts";
import { logOut, registerAccount, type ServerParts } from "../server-parts.ts";
import { asJson, asString, forbidden, invalidParam, type Json, MatrixError, notFound } from "../wire.ts";

function ownAccount(context: RouteContext): Account {
  const { account } = context.session();
  if (context.param("userId") !== account.userId) throw forbidden("Not your own account");
  return account;
}

function logInAnswer(parts: ServerParts, account: Account, body: Json): Json {
  const deviceId = asString(body["device_id"]);
  const displayName = asString(body["initial_device_display_name"]);
  const session = parts.accounts.logIn(account, {
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(displayName === undefined ? {} : { displayName }),
  });
  return {
    user_id: account.userId,
    access_token: session.accessToken,
    device_id: session.device.deviceId,
    home_server: parts.ids.serverName,
  };
}

function register(parts: ServerParts, body: Json): Json | Response {
  const name = asString(body["username"]);
  const password = asString(body["password"]);
  if (body["auth"] === undefined) {
    const flows = { session: parts.ids.deviceId(), flows: [{ stages: ["m.login.dummy"] }], params: {}, completed: [] };
    return Response.json(flows, { status: 401 });
  }
  if (name === undefined || password === undefined) throw invalidParam("username and password are required");
  const account = registerAccount(parts, name, password, name);
  if (body["inhibit_login"] === true) return { user_id: account.userId };
  return logInAnswer(parts, account, body);
}

function logIn(parts: ServerParts, body: Json): Json {
  if (body["type"] !== "m.login.password") throw new MatrixError(400, "M_UNKNOWN", "Unknown login type");
  const name = asString(asJson(body["identifier"])["user"]) ?? asString(body["user"]) ?? "";
  const account = parts.accounts.find(parts.ids.userId(name));
  const password = asString(body["password"]);
  if (account === null || account.password === null || account.password !== password) {
    throw forbidden("Invalid username or password");
  }
  return logInAnswer(parts, account, body);
}

function sessionRoutes(parts: ServerParts): Route[] {
  return [
    { method: "GET", path: "/login", handle: () => ({ flows: [{ type: "m.login.password" }] }) },
    { method: "POST", path: "/login", handle: async (context) => logIn(parts, await context.json()) },
    { method: "POST", path: "/register", handle: async (context) => register(parts, await context.json()) },
    {
      method: "GET",
      path: "/register/available",
      handle: ({ query }) => {
        const isTaken = parts.accounts.find(parts.ids.userId(query.get("username") ?? "")) !== null;
        if (isTaken) throw new MatrixError(400, "M_USER_IN_USE", "User ID already taken.");
        return { available: true };
      },
    },
    {
      method: "POST",
      path: "/logout",
      handle: (context) => {
        logOut(parts, context.session());
        return {};
      },
    },
    {
      method: "POST",
      path: "/logout/all",
      handle: (context) => {
        const { account, accessToken } = context.session();
        for (const device of account.devices.values()) logOut(parts, { account, device, accessToken });
        return {};
      },
    },
    {
      method: "GET",
      path: "/account/whoami",
      handle: (context) => {
        const { account, device } = context.session();
        return { user_id: account.userId, device_id: device.deviceId, is_guest: false };
      },
    },
    {
      method: "GET",
      path: "/capabilities",
      handle: (context) => {
        context.session();
        return {
          capabilities: {
            "m.change_password": { enabled: false },
            "m.room_versions": { default: "11", available: { "10": "stable", "11": "stable" } },
          },
        };
      },
    },
  ];
}

function profileRoutes(parts: ServerParts): Route[] {
  const profileOf = (context: RouteContext): Account => {
    const account = parts.accounts.find(context.param("userId"));
    if (account === null) throw notFound("Profile was not found");
    return account;
  };
  const profile = ({ displayName, avatarUrl }: Account): Json => ({
    ...(displayName === null ? {} : { displayname: displayName }),
    ...(avatarUrl === null ? {} : { avatar_url: avatarUrl }),
  });
  const field = (name: "displayname" | "avatar_url"): Route[] => [
    {
      method: "GET",
      path: `/profile/:userId/${name}`,
      handle: (context) => ({ [name]: profile(profileOf(context))[name] }),
    },
    {
      method: "PUT",
      path: `/profile/:userId/${name}`,
      handle: async (context) => {
        const account = ownAccount(context);
        const value = asString((await context.json())[name]) ?? null;
        if (name === "displayname") account.displayName = value;
        else account.avatarUrl = value;
        parts.memberships.spreadProfile(account);
        return {};
      },
    },
  ];
  return [
    { method: "GET", path: "/profile/:userId", handle: (context) => profile(profileOf(context)) },
    ...field("displayname"),
    ...field("avatar_url"),
  ];
}

function deviceRoutes(parts: ServerParts): Route[] {
  const describe = (account: Account, deviceId: string): Json => {
    const device = account.devices.get(deviceId);
    if (device === undefined) throw notFound("No device found");
    return { device_id: device.deviceId, user_id: device.userId, display_name: device.displayName ?? undefined };
  };
  return [
    {
      method: "GET",
      path: "/devices",
      handle: (context) => {
        const { account } = context.session();
        return { devices: [...account.devices.keys()].map((deviceId) => describe(account, deviceId)) };
      },
    },
    {
      method: "GET",
      path: "/devices/:deviceId",
      handle: (context) => describe(context.session().account, context.param("deviceId")),
    },
    {
      method: "PUT",
      path: "/devices/:deviceId",
      handle: async (context) => {
        const device = context.session().account.devices.get(context.param("deviceId"));
        if (device === undefined) throw notFound("No device found");
        device.displayName = asString((await context.json())["display_name"]) ?? device.displayName;
        return {};
      },
    },
    {
      method: "DELETE",
      path: "/devices/:deviceId",
      handle: (context) => {
        const { account, accessToken } = context.session();
        const device = account.devices.get(context.param("deviceId"));
        if (device !== undefined) logOut(parts, { account, device, accessToken });
        return {};
      },
    },
  ];
}

function settingsRoutes(parts: ServerParts): Route[] {
  const pushRules = (context: RouteContext): Json =>
    context.session().account.accountData.get("m.push_rules")?.content ?? { global: {} };
  return [
    { method: "GET", path: "/pushrules/", handle: pushRules },
    { method: "GET", path: "/pushrules", handle: pushRules },
    {
      method: "POST",
      path: "/user/:userId/filter",
      handle: async (context) => {
        const { filters } = ownAccount(context);
        const count = filters.push(await context.json());
        return { filter_id: String(count - 1) };
      },
    },
    {
      method: "GET",
      path: "/user/:userId/filter/:filterId",
      handle: (context) => {
        const filter = ownAccount(context).filters[Number(context.param("filterId"))];
        if (filter === undefined) throw notFound("No such filter");
        return filter;
      },
    },
    {
      method: "GET",
      path: "/user/:userId/account_data/:type",
      handle: (context) => {
        const data = ownAccount(context).accountData.get(context.param("type"));
        if (data === undefined) throw notFound("Account data not found");
        return data.content;
      },
    },
    {
      method: "PUT",
      path: "/user/:userId/account_data/:type",
      handle: async (context) => {
        parts.rooms.setAccountData(ownAccount(context), null, context.param("type"), await context.json());
        return {};
      },
    },
    { method: "GET", path: "/presence/:userId/status", handle: () => ({ presence: "offline" }) },
    { method: "PUT", path: "/presence/:userId/status", handle: () => ({}) },
    { method: "GET", path: "/voip/turnServer", handle: () => ({}) },
    { method: "GET", path: "/pushers", handle: () => ({ pushers: [] }) },
    { method: "GET", path: "/account/3pid", handle: () => ({ threepids: [] }) },
  ];
}

/** Login, profile, devices, filters and account data. */
export function accountRoutes(parts: ServerParts): Route[] {
  return [...sessionRoutes(parts), ...profileRoutes(parts), ...deviceRoutes(parts), ...settingsRoutes(parts)];
}
