import type { Config } from "#src/config.ts";
import { problemsText } from "#src/config/help.ts";
import { EXIT, refuseArguments, withConfig } from "./command.ts";
import type { Command } from "./command.ts";

/** `glissade config check`. */
export const CONFIG_CHECK: Command = {
  name: "config check",
  usage: ["config check"],
  help: ["say everything that is wrong with the configuration, and what holds if nothing is"],
  run: async (args, terminal) => {
    if (args.length > 0) return refuseArguments(CONFIG_CHECK, terminal);
    return withConfig(terminal, async (config, warnings) => {
      if (warnings.length > 0) terminal.err(`Worth a look:\n\n${problemsText(warnings)}\n`);
      const shown = JSON.stringify(withoutSecrets(config), null, 2);
      terminal.out(`The configuration can be used. What holds:\n\n${shown}\n`);
      return EXIT.ok;
    });
  },
};

/** What may be shown to whoever looks over one's shoulder. */
function withoutSecrets(config: Config): object {
  const { storage, telemetry, admin } = config;
  const hidden = (value: string | null): string | null => (value === null ? null : "(set)");
  return {
    ...config,
    admin: admin && { ...admin, token: hidden(admin.token) },
    storage: {
      ...storage,
      database: hidden(storage.database),
      secret: hidden(storage.secret),
      oldSecret: hidden(storage.oldSecret),
      importSecret: hidden(storage.importSecret),
    },
    telemetry: {
      ...telemetry,
      otlp: telemetry.otlp && { ...telemetry.otlp, password: hidden(telemetry.otlp.password) },
    },
  };
}
