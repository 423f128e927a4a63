import type { Config } from "#src/config.ts";
import { SyncError } from "#src/errors.ts";
import { EXIT, withConfig } from "./command.ts";
import type { Terminal } from "./command.ts";

/** Runs a command on the database of the configuration; what goes wrong is said in one line. */
export function withTool(terminal: Terminal, run: (config: Config) => Promise<void>): Promise<number> {
  const tool = async (config: Config): Promise<number> => {
    try {
      await run(config);
      return EXIT.ok;
    } catch (error) {
      if (!(error instanceof SyncError)) throw error;
      terminal.err(`${sentence(error.message)}\n`);
      return error.code === "unusable_setup" ? EXIT.unusable : EXIT.failed;
    }
  };
  return withConfig(terminal, tool, { needsServer: false });
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
