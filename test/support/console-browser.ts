import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { systemProgram } from "./debian.ts";

const ROOT = join(import.meta.dir, "../..");
const AXE = new URL(import.meta.resolve("axe-core/axe.min.js"));
const IMAGES = join(ROOT, "docs/images");
/** Nothing on a page takes as long, on the busiest machine. */
const WAIT_LIMIT_MS = 60_000;
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };
/** Pages that show one account or another look the same in it. */
const CHROMIUM = ["--no-sandbox", "--lang=en-GB", "--force-color-profile=srgb"];

/** A headless Chromium that writes down whatever a page complains about. */
export class ConsoleBrowser {
  /** Errors of the page, of its console, and violations of its policy. */
  readonly problems: string[] = [];
  /** What axe found, by page. */
  readonly violations: string[] = [];
  readonly #browser: Browser;
  #axe = "";

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<ConsoleBrowser> {
    const executablePath = systemProgram("chromium");
    const started = new ConsoleBrowser(await chromium.launch({ executablePath, args: CHROMIUM }));
    started.#axe = await Bun.file(AXE).text();
    return started;
  }

  /** A tab of its own, with nothing remembered. */
  async open(url: string): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: DESKTOP, locale: "en-GB", acceptDownloads: true });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_LIMIT_MS);
    page.on("pageerror", (error) => this.problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.problems.push(`${message.type()}: ${message.text()} ${message.location().url}`);
      }
    });
    await page.addInitScript(
      "addEventListener('securitypolicyviolation', (event) => console.error('policy', event.violatedDirective, event.blockedURI));",
    );
    await page.goto(url);
    return page;
  }

  /** Looks at a page in both colours, wide and narrow; with `UPDATE_DOCS=1` its pictures go to `docs/images`. */
  async inspect(page: Page, name: string, isDrawn = true): Promise<void> {
    for (const [colorScheme, size, isPhone] of [
      ["light", DESKTOP, false],
      ["dark", PHONE, true],
    ] as const) {
      await this.#show(page, colorScheme, size);
      await this.#checkAccess(page, `${name}, ${colorScheme}${isPhone ? ", phone" : ""}`);
    }
    if (isDrawn && process.env["UPDATE_DOCS"] === "1") await this.#draw(page, name);
    await this.#show(page, "light", DESKTOP);
  }

  async #draw(page: Page, name: string): Promise<void> {
    await mkdir(IMAGES, { recursive: true });
    for (const colorScheme of ["light", "dark"] as const) {
      for (const [size, suffix] of [
        [DESKTOP, "desktop"],
        [PHONE, "phone"],
      ] as const) {
        await this.#show(page, colorScheme, size);
        const path = join(IMAGES, `console-${name}-${colorScheme}-${suffix}.png`);
        await page.screenshot({ path });
        await shrink(path);
      }
    }
  }

  async #show(page: Page, colorScheme: "light" | "dark", size: typeof DESKTOP | typeof PHONE): Promise<void> {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(size);
    // Rows and rulers are drawn again when their box has changed.
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
  }

  async #checkAccess(page: Page, name: string): Promise<void> {
    await page.evaluate(`if (globalThis.axe === undefined) { ${this.#axe} }`);
    const found: unknown = await page.evaluate(
      "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ' ' + target.join(' ') + ': ' + failureSummary)))",
    );
    for (const violation of found as string[]) this.violations.push(`${name}: ${violation}`);
  }

  stop(): Promise<void> {
    return this.#browser.close();
  }
}

/** Fewer colours look the same here and take a third; without the tool the picture stays as it is. */
async function shrink(path: string): Promise<void> {
  const tool = Bun.which("pngquant");
  if (tool === null) return;
  const child = Bun.spawn([tool, "--force", "--speed=1", "--strip", "--output", `${path}.small`, "64", path]);
  if ((await child.exited) === 0) await rename(`${path}.small`, path);
}
