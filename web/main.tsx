import { render } from "preact";
import { browser } from "./browser.ts";
import { AppState, loadSettings } from "./session/app-state.ts";
import { App, NoServer } from "./ui/app.tsx";

const root = document.querySelector("#console");
if (root !== null) {
  const settings = await loadSettings(browser);
  render(settings === null ? <NoServer /> : <App state={new AppState(browser, settings)} />, root);
}
