import { parseArgs } from "node:util";
import type { Config } from "#src/config.ts";
import { readConfig } from "#src/config.ts";
import { problemsText } from "#src/config/help.ts";
import { readOrigin } from "#src/doctor/outside.ts";
import { PROXY_KINDS } from "#src/doctor/proxy-kind.ts";
import { countsOf, reportJson, reportText } from "#src/doctor/report.ts";
import type { DoctorOptions } from "#src/hosts/doctor-host.ts";
import type { Examination } from "#src/doctor/examine.ts";
import { EXIT, refuseArguments } from "./command.ts";
import type { Command, Terminal } from "./command.ts";

/** `glissade doctor`: what is wrong between clients and this server, and what to change. */
export function doctorCommand(run: (options: DoctorOptions) => Promise<Examination>): Command {
  const command: Command = {
    name: "doctor",
    usage: [
      "doctor [https://matrix.example.org | example.org] [--token-file <file>] [--quick] [--json]",
      "doctor … [--ca-file <file>] [--resolve <name>=<address>] [--proxy <name>]",
    ],
    help: [
      "look at a server as clients do, and say what to change: the way from its name to Glissade,",
      "TLS, paths, CORS, long polls, sizes, caches; with the server's own environment, also its",
      "homeserver and database. --token-file: sync with this account's token as well (an account for",
      "this alone: a device shares its messages with whoever syncs as it); --quick: leave out the long",
      "poll, which takes a minute; --ca-file: an authority that your clients know; --resolve: as if DNS",
      `said so; --proxy: advise on ${PROXY_KINDS.join(", ")}.`,
      "Ends with 1 when something has to be mended",
    ],
    run: async (args, terminal) => {
      const options = readOptions(args, terminal);
      if (options === null) return refuseArguments(command, terminal);
      if (typeof options === "string") {
        terminal.err(`${options}\n`);
        return EXIT.unusable;
      }
      if (terminal.isColoured === true && !options.isJson && !options.isQuick) {
        terminal.err("Looking around; a long poll takes a minute (--quick leaves it out).\n\n");
      }
      const examination = await run(options);
      const hasColours = terminal.isColoured === true && terminal.env["NO_COLOR"] === undefined;
      terminal.out(options.isJson ? reportJson(examination) : reportText(examination, hasColours));
      return countsOf(examination.findings).fail === 0 ? EXIT.ok : EXIT.failed;
    },
  };
  return command;
}

type ReadOptions = DoctorOptions & { isJson: boolean };

/** The options; null when they are not understood, a sentence when they cannot be used. */
function readOptions(args: readonly string[], terminal: Terminal): ReadOptions | string | null {
  const parsed = parsedArgs(args);
  if (parsed === null || parsed.positionals.length > 1) return null;
  const { values, positionals } = parsed;
  const proxy = PROXY_KINDS.find((name) => name === values.proxy) ?? null;
  if (values.proxy !== undefined && proxy === null) return `--proxy takes one of ${PROXY_KINDS.join(", ")}.`;
  const addresses = new Map<string, string>();
  for (const each of values.resolve ?? []) {
    const [, name, address] = /^([^=\s]+)=([^=\s]+)$/.exec(each) ?? [];
    if (name === undefined || address === undefined) return "--resolve takes name=address.";
    addresses.set(name.toLowerCase(), address);
  }
  const target = positionals[0] === undefined ? null : readTarget(positionals[0]);
  if (target === "unreadable") return `${positionals[0]} is neither a URL with https:// nor the name of a server.`;
  const config = readEnvironment(terminal);
  if (typeof config === "string") return config;
  if (target === null && config === null) return "glissade doctor needs an address, or the server's own environment.";
  const files = readFiles(terminal, values["token-file"], values["ca-file"]);
  if (typeof files === "string") return files;
  return { ...files, target, addresses, proxy, config, isQuick: values.quick, isJson: values.json };
}

function parsedArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        "token-file": { type: "string" },
        "ca-file": { type: "string" },
        resolve: { type: "string", multiple: true },
        proxy: { type: "string" },
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
    });
  } catch {
    return null;
  }
}

function readTarget(text: string): NonNullable<DoctorOptions["target"]> | "unreadable" {
  const origin = readOrigin(text);
  if (origin !== null) {
    return { kind: "address", base: { origin, prefix: new URL(text).pathname.replace(/\/+$/, "") } };
  }
  if (!/^(?:\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::\d+)?$/i.test(text)) return "unreadable";
  const named = readOrigin(`https://${text}`);
  return named === null ? "unreadable" : { kind: "name", origin: named };
}

/** Of the server itself, where the command is run as it would be; null where nothing of it is set. */
function readEnvironment({ env, readFile, cores }: Terminal): Config | string | null {
  if (env["SYNCV3_SERVER"] === undefined) return null;
  const read = readConfig(env, readFile, cores);
  return "config" in read ? read.config : `The configuration cannot be used:\n\n${problemsText(read.problems)}`;
}

function readFiles(
  terminal: Terminal,
  tokenFile: string | undefined,
  caFile: string | undefined,
): Pick<DoctorOptions, "token" | "extraCa"> | string {
  try {
    const token = tokenFile === undefined ? null : terminal.readFile(tokenFile).trim();
    const extraCa = caFile === undefined ? null : terminal.readFile(caFile);
    if (token !== null && !/^[\x21-\x7e]+$/.test(token)) return `${tokenFile} holds no access token.`;
    return { token, extraCa };
  } catch {
    return `${[tokenFile, caFile].filter((each) => each !== undefined).join(" or ")} cannot be read.`;
  }
}
