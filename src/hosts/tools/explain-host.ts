import type { UserView } from "#src/admin/api.ts";
import { ADMIN_ROOT } from "#src/admin/api.ts";
import { explainText } from "#src/admin/explain-text.ts";
import { quarantineView, userView } from "#src/admin/user-view.ts";
import type { Config } from "#src/config.ts";
import { userFilter } from "#src/config/user-patterns.ts";
import { askAdmin } from "#src/http/ask-admin.ts";
import type { UserId } from "#src/protocol/ids.ts";
import { systemClock } from "#src/system.ts";
import { createAdminStore } from "#db/admin-repository.ts";
import type { Say } from "./terminal-progress.ts";
import { openToolDatabase, placeOf } from "./tool-database.ts";

/** Who is to be explained, and how. */
export interface ExplainRequest {
  userId: UserId;
  isJson: boolean;
}

const QUARANTINE_SHOWN = 20;

/** `glissade explain`: what the running server knows of a user, or else what is stored. */
export async function explain(
  config: Pick<Config, "admin" | "storage" | "users">,
  { userId, isJson }: ExplainRequest,
  say: Say,
): Promise<void> {
  const told =
    config.admin === null ? null : await askAdmin(config.admin, `${ADMIN_ROOT}/users/${encodeURIComponent(userId)}`);
  const view = told === null ? await storedView(config, userId) : (told as UserView);
  const text = isJson ? `${JSON.stringify(view, null, 2)}\n` : explainText(view, systemClock.now(), told !== null);
  say.out(text);
}

async function storedView({ storage, users }: Pick<Config, "storage" | "users">, userId: UserId): Promise<UserView> {
  const tool = await openToolDatabase(placeOf(storage), { name: "explain", isAlone: false });
  try {
    const store = createAdminStore(tool.db);
    const [stored, quarantined] = await Promise.all([
      store.loadUser(userId),
      store.listQuarantine(null, QUARANTINE_SHOWN, userId),
    ]);
    const isAllowed = userFilter(users)(userId);
    return userView(
      { userId, isAllowed, stored, live: null, quarantined: quarantined.map(quarantineView) },
      systemClock.now(),
    );
  } finally {
    await tool.close();
  }
}
