import { useEffect, useState } from "preact/hooks";
import type { AppState } from "../session/app-state.ts";
import { Logo } from "../ui/icon.tsx";
import { AdminApi } from "./admin-api.ts";

/** Asks an operator for the token, where one is needed. */
export function AdminLogin({ state }: { state: AppState }) {
  const [token, setToken] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const attempt = async (tried: string): Promise<void> => {
    const api = new AdminApi({ http: state.http, browser: state.browser, token: tried, onRefused: () => undefined });
    const outcome = await api.get("/overview");
    if ("failure" in outcome) setFailure(outcome.failure);
    else state.setAdminToken(tried);
  };
  // Whoever reaches a unix socket needs none.
  useEffect(() => {
    if (!state.settings.needsToken) void attempt("");
  }, []);
  return (
    <main id="main" class="centre" tabIndex={-1}>
      <div class="card">
        <Logo />
        <h1>Operator</h1>
        <p class="muted">What Glissade is doing, and what can be done about it. The token is kept in this tab only.</p>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void attempt(token.trim());
          }}
        >
          <label>
            Admin token
            <input
              type="password"
              autocomplete="off"
              required
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          </label>
          <button type="submit" class="button">
            Open
          </button>
        </form>
        <p class="notice bad" role="alert" hidden={failure === null}>
          {failure}
        </p>
        <p class="muted small">Version {state.settings.version}.</p>
      </div>
    </main>
  );
}
