// Opens pages in headless Chromium, above all the console of a stand-in. Whatever the browser complains about fails the
// test.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import "./outside_wsl.ts";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { createStandIn } from "./stand_in.ts";
import type { State } from "./stand_in_state.ts";

const programs = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/opt/google/chrome/chrome",
];

/** Chromium, where it is installed (Debian: chromium). */
export const chromiumProgram = (): string | undefined => programs.find((program) => existsSync(program));

export interface Console {
  page: Page;
  state: State;
  /** Goes to a page of the console, e.g. `labels/queue`, and waits for its heading. */
  open(route: string, heading: string): Promise<void>;
}

/** Starts Chromium. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumProgram()!, args: ["--no-sandbox", "--disable-gpu"] });
}

export interface PageOptions extends BrowserContextOptions {
  /** The name that the browser has kept of whoever judges. */
  reviewer?: string;
}

/** Hands out a page in a window of its own. @throws for anything on the browser's console, and requests to other hosts */
export async function withPage(
  browser: Browser,
  baseURL: string,
  use: (page: Page) => Promise<void>,
  { reviewer, ...options }: PageOptions = {},
): Promise<void> {
  const context = await browser.newContext({ baseURL, viewport: { width: 1280, height: 860 }, ...options });
  if (reviewer) await context.addInitScript((name) => localStorage.setItem("prospect-reviewer", name), reviewer);
  const complaints: string[] = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on("console", (message) => {
      // The browser itself reports refusals that the page expects and shows.
      if (message.type() === "error" && !/status of (401|403|404|409|503)|net::ERR_/.test(message.text())) {
        complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(baseURL) && !request.url().startsWith("blob:")) {
        complaints.push(`asked ${request.url()}`);
      }
    });
    await use(page);
  } finally {
    await context.close();
  }
  assertEquals(complaints, []);
}

/** Serves a stand-in over the state while `use` has a page of the console. @throws for anything on the browser's console */
export async function withConsole(
  browser: Browser,
  state: State,
  use: (console: Console) => Promise<void>,
  options: PageOptions = {},
): Promise<void> {
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stop.signal, onListen: () => {} },
    createStandIn(state).fetch,
  );
  try {
    await withPage(browser, `http://127.0.0.1:${server.addr.port}`, (page) => {
      const open = async (route: string, heading: string) => {
        await page.goto(`/#/${route}`);
        await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      };
      return use({ page, state, open });
    }, options);
  } finally {
    stop.abort();
    await server.finished;
  }
}

let browser: Browser | undefined;

/** A test in a browser that the file shares; without Chromium it says so and passes. */
export function browserTest(sentence: string, use: (browser: Browser) => Promise<void>): void {
  Deno.test(sentence, async () => {
    if (!browser) return console.log("skipped: no chromium");
    await use(browser);
  });
}

/** A test with a console of its own. */
export function consoleTest(
  sentence: string,
  state: () => State,
  use: (console: Console) => Promise<void>,
  options: PageOptions = {},
): void {
  browserTest(sentence, (browser) => withConsole(browser, state(), use, { reviewer: "ann", ...options }));
}

Deno.test.beforeAll(async () => {
  if (chromiumProgram()) browser = await launch();
});
Deno.test.afterAll(() => browser?.close());

/** Fails for whatever axe finds on the page as it is. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // The content policy forbids scripts of others; the browser's own tools are outside of it.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  const told = violations.map(({ id, nodes }) =>
    `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" | ")}`
  );
  assertEquals(told, [], `axe on ${where}`);
}

/** Fails where the page is wider than the window, and says what reaches beyond it. */
export async function assertFits(page: Page, where: string): Promise<void> {
  const { scrollWidth, clientWidth, beyond } = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const beyond = [...document.querySelectorAll("body *")]
      .filter((element) => element.getBoundingClientRect().right > clientWidth + 1)
      .map((element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`);
    return { scrollWidth, clientWidth, beyond: beyond.slice(-6) };
  });
  assert(
    scrollWidth <= clientWidth,
    `${where} is ${scrollWidth} wide in a window of ${clientWidth}: ${beyond.join(", ")}`,
  );
}
