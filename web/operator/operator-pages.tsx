import { useMemo } from "preact/hooks";
import type { AppState } from "../session/app-state.ts";
import { addressOf, currentPage, OPERATOR_PAGES, type OperatorPage } from "../ui/navigation.ts";
import { ActionsPage } from "./actions-page.tsx";
import { AdminApi } from "./admin-api.ts";
import { ConnectionsPage } from "./connections-page.tsx";
import { HomeserverPage } from "./homeserver-page.tsx";
import { OverviewPage } from "./overview-page.tsx";
import type { PageProps } from "./parts.tsx";
import { PollersPage } from "./pollers-page.tsx";
import { RequestsPage } from "./requests-page.tsx";
import { StoragePage } from "./storage-page.tsx";
import { UsersPage } from "./users-page.tsx";

const PAGES: Readonly<Record<OperatorPage, { title: string; Body: (props: PageProps) => preact.JSX.Element }>> = {
  overview: { title: "Overview", Body: OverviewPage },
  pollers: { title: "Pollers", Body: PollersPage },
  connections: { title: "Connections", Body: ConnectionsPage },
  requests: { title: "Slow requests", Body: RequestsPage },
  homeserver: { title: "Homeserver", Body: HomeserverPage },
  storage: { title: "Storage", Body: StoragePage },
  users: { title: "Users", Body: UsersPage },
  actions: { title: "Actions", Body: ActionsPage },
};

/** Everything an operator sees, a page for each question. */
export function OperatorPages({ state, token }: { state: AppState; token: string }) {
  const api = useMemo(() => {
    const { http, browser } = state;
    return new AdminApi({ http, browser, token, onRefused: () => state.setAdminToken(null) });
  }, [state, token]);
  const page = OPERATOR_PAGES.find((name) => name === currentPage.value) ?? "overview";
  const { title, Body } = PAGES[page];
  return (
    <div class="operator">
      <nav class="operator-nav" aria-label="Pages">
        {OPERATOR_PAGES.map((name) => (
          <a key={name} href={addressOf(name)} aria-current={name === page ? "page" : undefined}>
            {PAGES[name].title}
          </a>
        ))}
      </nav>
      {/* It scrolls, and a page may hold nothing else that the keyboard reaches. */}
      <main id="main" class="operator-main" tabIndex={0} key={page}>
        <h1>{title}</h1>
        <Body api={api} now={() => state.browser.now()} />
      </main>
    </div>
  );
}
