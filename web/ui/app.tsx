import { useEffect } from "preact/hooks";
import { type AppState, type Theme, THEMES } from "../session/app-state.ts";
import { Icon, Logo } from "./icon.tsx";
import { AdminLogin } from "../operator/admin-login.tsx";
import { OperatorPages } from "../operator/operator-pages.tsx";
import { LoginPage } from "./login-page.tsx";
import { followAddress } from "./navigation.ts";
import { RoomsPage } from "./rooms-page.tsx";
import { SessionBar } from "./session-bar.tsx";

const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" } as const;

/** The whole console. */
export function App({ state }: { state: AppState }) {
  const theme = state.theme.value;
  useEffect(followAddress, []);
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  const client = state.client.value;
  return (
    <>
      <SkipLink />
      <header class="bar">
        <span class="brand">
          <Logo />
          <span class="brand-name">Glissade</span>
          {state.settings.hasAdmin && <span class="tag">operator</span>}
        </span>
        {client !== null && <SessionBar state={state} client={client} />}
        <span class="bar-space" />
        <ThemeButton state={state} />
        {client !== null && (
          <button type="button" class="quiet" onClick={() => void state.logOut()}>
            <Icon name="out" />
            <span class="wide-only">Log out</span>
            <span class="narrow-only visually-hidden">Log out</span>
          </button>
        )}
      </header>
      <Body state={state} />
    </>
  );
}

function Body({ state }: { state: AppState }) {
  const client = state.client.value;
  const token = state.adminToken.value;
  if (state.settings.hasAdmin) {
    return token === null ? <AdminLogin state={state} /> : <OperatorPages state={state} token={token} />;
  }
  return client === null ? (
    <LoginPage state={state} />
  ) : (
    <RoomsPage key={client.dialect} state={state} client={client} />
  );
}

function ThemeButton({ state }: { state: AppState }) {
  const theme = state.theme.value;
  const next: Theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
  return (
    <button
      type="button"
      class="quiet"
      title={`Colours: ${THEME_NAMES[theme]}`}
      aria-label={`Colours: ${THEME_NAMES[theme]}; change to ${THEME_NAMES[next]}`}
      onClick={() => state.setTheme(next)}
    >
      <Icon name={THEME_ICONS[theme]} />
    </button>
  );
}

/** First thing with the keyboard; the address belongs to pages, so it moves the focus itself. */
function SkipLink() {
  const skip = (event: Event): void => {
    event.preventDefault();
    document.querySelector<HTMLElement>("main")?.focus();
  };
  return (
    <a class="skip" href="#main" onClick={skip}>
      Skip to content
    </a>
  );
}

/** In place of everything, when the server does not answer. */
export function NoServer() {
  return (
    <main id="main" class="centre" tabIndex={-1}>
      <div class="card">
        <Logo />
        <h1>No answer</h1>
        <p>Glissade does not answer at this address. Load the page again when it does.</p>
      </div>
    </main>
  );
}
