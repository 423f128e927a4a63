import { useEffect, useState } from "preact/hooks";
import type { AppState } from "../session/app-state.ts";
import { type LoginOffer, type Outcome, ssoAddress } from "../session/homeserver.ts";
import { Logo } from "./icon.tsx";

type Way = "password" | "token";

/** Logs in with whatever the homeserver offers. */
export function LoginPage({ state }: { state: AppState }) {
  const [offer, setOffer] = useState<Outcome<LoginOffer> | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [way, setWay] = useState<Way>("password");
  const found = offer !== null && "value" in offer ? offer.value : null;

  const attempt = async (place: string, proof: Parameters<AppState["logIn"]>[1]): Promise<void> => {
    setBusy(true);
    setFailure(null);
    const reason = await state.logIn(place, proof);
    setBusy(false);
    setFailure(reason);
  };

  const begin = async (loginToken: string | null): Promise<void> => {
    const outcome = await state.findHomeserver();
    setOffer(outcome);
    if ("failure" in outcome) return;
    if (!outcome.value.hasPassword) setWay("token");
    if (loginToken === null) return;
    if (state.endSso()) await attempt(outcome.value.homeserver, { loginToken });
    else
      setFailure("Somebody else's link brought you here with a log-in that was not begun in this tab. Begin it here.");
  };

  useEffect(() => {
    void begin(takeLoginToken());
  }, []);

  return (
    <main id="main" class="centre" tabIndex={-1}>
      <div class="card">
        <Logo />
        <h1>Sliding sync, visible</h1>
        <p class="muted">Log in with your account to see its rooms come in, and what goes over the wire for it.</p>
        {offer === null && <p role="status">Looking for the homeserver…</p>}
        {offer !== null && "failure" in offer && (
          <p class="notice bad" role="alert">
            The homeserver cannot be reached from this browser. {offer.failure}
          </p>
        )}
        {found !== null && (
          <>
            <WayChoice way={way} setWay={setWay} hasPassword={found.hasPassword} />
            {way === "password" && found.hasPassword ? (
              <PasswordForm
                isBusy={isBusy}
                submit={(user, password) => void attempt(found.homeserver, { user, password })}
              />
            ) : (
              <TokenForm isBusy={isBusy} submit={(accessToken) => void attempt(found.homeserver, { accessToken })} />
            )}
            {found.hasSso && (
              <a
                class="button secondary"
                href={ssoAddress(found.homeserver, location.href.replace(/[?#].*$/, ""))}
                onClick={() => state.beginSso()}
              >
                Continue with single sign-on
              </a>
            )}
          </>
        )}
        <p class="notice bad" role="alert" hidden={failure === null}>
          {failure}
        </p>
        <p class="muted small">Kept in this tab only, and gone with it. Version {state.settings.version}.</p>
      </div>
    </main>
  );
}

function WayChoice({ way, setWay, hasPassword }: { way: Way; setWay: (way: Way) => void; hasPassword: boolean }) {
  if (!hasPassword) return null;
  return (
    <div class="segments" role="group" aria-label="How to log in">
      <button type="button" aria-pressed={way === "password"} onClick={() => setWay("password")}>
        Password
      </button>
      <button type="button" aria-pressed={way === "token"} onClick={() => setWay("token")}>
        Access token
      </button>
    </div>
  );
}

function PasswordForm({ isBusy, submit }: { isBusy: boolean; submit: (user: string, password: string) => void }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit(user.trim(), password);
      }}
    >
      <label>
        User name
        <input
          autocomplete="username"
          autocapitalize="none"
          spellcheck={false}
          required
          value={user}
          onInput={(event) => setUser(event.currentTarget.value)}
        />
      </label>
      <label>
        Password
        <input
          type="password"
          autocomplete="current-password"
          required
          value={password}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button" disabled={isBusy}>
        {isBusy ? "Logging in…" : "Log in"}
      </button>
    </form>
  );
}

function TokenForm({ isBusy, submit }: { isBusy: boolean; submit: (token: string) => void }) {
  const [token, setToken] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit(token.trim());
      }}
    >
      <label>
        Access token
        <input
          type="password"
          autocomplete="off"
          required
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </label>
      <p class="muted small">
        It is the token of a device that somebody else uses. To-device messages stay untouched; logging out here only
        forgets it.
      </p>
      <button type="submit" class="button" disabled={isBusy}>
        {isBusy ? "Logging in…" : "Log in"}
      </button>
    </form>
  );
}

/** What single sign-on came back with; taken out of the address, so that nobody copies it. */
function takeLoginToken(): string | null {
  const token = new URLSearchParams(location.search).get("loginToken");
  if (token !== null) history.replaceState(null, "", location.pathname + location.hash);
  return token;
}
