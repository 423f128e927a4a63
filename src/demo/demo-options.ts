/** What one can say after `glissade demo`. */
export interface DemoOptions {
  readonly rooms: number;
  readonly speed: number;
  readonly seed: number;
  /** Port of the made-up homeserver; 0 = any free one. */
  readonly homeserverPort: number;
  readonly hasView: boolean;
}

/** Help for the options. */
export const DEMO_USAGE = `Usage: glissade demo [options]

Options:
  --rooms N            rooms the newcomer starts with [40]
  --speed N            how fast the residents live, 0.1 to 100 [1]
  --seed N             another seed is another story [1]
  --homeserver-port N  port of the made-up homeserver; 0 is any free one [0]
  --no-view            print how to connect, and nothing more

SYNCV3_BINDADDR decides where Glissade listens [127.0.0.1:8008, or any free port if that is taken].
`;

const NUMBERS = {
  "--rooms": { key: "rooms", least: 1, most: 2000 },
  "--speed": { key: "speed", least: 0.1, most: 100 },
  "--seed": { key: "seed", least: 0, most: 4_294_967_295 },
  "--homeserver-port": { key: "homeserverPort", least: 0, most: 65_535 },
} as const;

function isNumberFlag(flag: string): flag is keyof typeof NUMBERS {
  return flag in NUMBERS;
}

/** Reads the arguments; a text says what is wrong with them. */
export function parseDemoOptions(args: readonly string[]): DemoOptions | string {
  const options = { rooms: 40, speed: 1, seed: 1, homeserverPort: 0, hasView: true };
  const words = args.flatMap((arg) => (arg.startsWith("--") && arg.includes("=") ? splitOnce(arg) : [arg]));
  for (let index = 0; index < words.length; index += 1) {
    const flag = words[index] ?? "";
    if (flag === "--no-view") {
      options.hasView = false;
    } else if (isNumberFlag(flag)) {
      const { key, least, most } = NUMBERS[flag];
      index += 1;
      const value = Number(words[index] ?? "");
      const isWhole = key === "speed" || Number.isInteger(value);
      if (words[index] === undefined || !isWhole || !(value >= least && value <= most)) {
        return `${flag} needs a ${key === "speed" ? "" : "whole "}number from ${least} to ${most}`;
      }
      options[key] = value;
    } else {
      return `demo does not know ${flag}`;
    }
  }
  return options;
}

function splitOnce(arg: string): string[] {
  const at = arg.indexOf("=");
  return [arg.slice(0, at), arg.slice(at + 1)];
}
