import { describe, expect, test } from "bun:test";
import { type ConnectionSettings, parseConnectionString } from "#db/connection-string.ts";

const nothing: ConnectionSettings = {
  hosts: [],
  user: null,
  password: null,
  database: null,
  sslMode: "prefer",
  sslRootCert: null,
  sslCert: null,
  sslKey: null,
  connectTimeoutMs: null,
  applicationName: null,
  targetSessionAttrs: null,
  parameters: {},
};

describe("parseConnectionString", () => {
  const cases: [text: string, expected: Partial<ConnectionSettings>][] = [
    [
      "postgres://glissade:s3cret@db.example.org:5433/sync?sslmode=disable",
      {
        hosts: [{ host: "db.example.org", port: 5433 }],
        user: "glissade",
        password: "s3cret",
        database: "sync",
        sslMode: "disable",
      },
    ],
    [
      String.raw`user=syncv3 password='it\'s a \\ secret' host=localhost port = 5433`,
      { hosts: [{ host: "localhost", port: 5433 }], user: "syncv3", password: String.raw`it's a \ secret` },
    ],
    [
      "host=/var/run/postgresql dbname=syncv3",
      { hosts: [{ host: "/var/run/postgresql", port: null }], database: "syncv3", sslMode: "disable" },
    ],
    [
      "postgresql:///syncv3?host=/run/pg&port=5434&user=me",
      { hosts: [{ host: "/run/pg", port: 5434 }], database: "syncv3", user: "me", sslMode: "disable" },
    ],
    [
      "postgres://me@%2Frun%2Fpg/sync",
      { hosts: [{ host: "/run/pg", port: null }], user: "me", database: "sync", sslMode: "disable" },
    ],
    [
      "postgres://me:p%40ss%2Fw%25rd@[::1]:5432/db",
      { hosts: [{ host: "::1", port: 5432 }], user: "me", password: "p@ss/w%rd", database: "db" },
    ],
    [
      "postgres://me:un/escaped@pass@host/db",
      { hosts: [{ host: "host", port: null }], user: "me", password: "un/escaped@pass", database: "db" },
    ],
    [
      "postgres://a,b:5433/db?target_session_attrs=read-write",
      {
        hosts: [
          { host: "a", port: null },
          { host: "b", port: 5433 },
        ],
        database: "db",
        targetSessionAttrs: "read-write",
      },
    ],
    [
      "host=a,b port=5433 sslmode=verify-full sslrootcert=/ca.pem sslcert=/c.pem sslkey=/k.pem",
      {
        hosts: [
          { host: "a", port: 5433 },
          { host: "b", port: 5433 },
        ],
        sslMode: "verify-full",
        sslRootCert: "/ca.pem",
        sslCert: "/c.pem",
        sslKey: "/k.pem",
      },
    ],
    [
      "dbname=x connect_timeout=7 application_name=sync binary_parameters=yes search_path=other",
      { database: "x", connectTimeoutMs: 7000, applicationName: "sync", parameters: { search_path: "other" } },
    ],
    [
      String.raw`dbname=x options='-c statement_timeout=5s --lock-timeout=1\\ s -cwork_mem=8MB'`,
      { database: "x", parameters: { statement_timeout: "5s", lock_timeout: "1 s", work_mem: "8MB" } },
    ],
    ["", {}],
    ["password='' user=a", { user: "a" }],
  ];
  for (const [text, expected] of cases) {
    test(`[DBC-1] reads ${text === "" ? "an empty string" : text}`, () => {
      expect(parseConnectionString(text)).toEqual({ ...nothing, ...expected });
    });
  }

  const refused: [text: string, problem: string][] = [
    ["hunter2", "expected key=value pairs"],
    ["user=a password='hunter2", "not closed"],
    ["postgres://u:hunter2%@h/db", "percent-encoded"],
    ["postgres://u:hunter2@h:port/db", "host or port"],
    ["host=h port=0 password=hunter2", "port is not a number"],
    ["host=a,b,c port=1,2 password=hunter2", "one port"],
    ["sslmode=maybe password=hunter2", "sslmode must be one of"],
    ["connect_timeout=soon password=hunter2", "connect_timeout"],
    ["options=hunter2", "-c name=value"],
    ["postgres://h/db?hunter2", "has no value"],
    ["pass-word=hunter2", "odd characters"],
  ];
  for (const [text, problem] of refused) {
    test(`[DBC-2] refuses with "${problem}", and does not repeat the string`, () => {
      let message = "";
      try {
        parseConnectionString(text);
      } catch (error) {
        message = String(error);
        expect(error).toMatchObject({ code: "invalid_param" });
      }
      expect(message).toContain(problem);
      expect(message).not.toContain("hunter2");
    });
  }
});
