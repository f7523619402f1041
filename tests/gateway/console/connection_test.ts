// Keys that are not accepted, a gateway that is gone for a while, and refusals, in a browser.

import { assertEquals, assertStrictEquals } from "@std/assert";
import { consoleTest } from "./browser.ts";
import { sampleState } from "./sample.ts";

consoleTest(
  "a key that is wrong or revoked is called that, and the right one goes on from there",
  () => ({ ...sampleState(), keyNeeded: true }),
  async ({ page }) => {
    await page.goto("/#/models");
    const give = async (title: string, key: string) => {
      const dialog = page.getByRole("dialog", { name: title });
      await dialog.getByLabel("API key").fill(key);
      await page.keyboard.press("Enter");
    };
    await give("An API key is needed", "wrong");
    const refused = page.getByRole("dialog", { name: "This key was refused" });
    await refused.getByRole("alert").getByText("A valid API key is needed.").waitFor();
    await give("This key was refused", "old");
    await refused.getByRole("alert").getByText("This API key was revoked.").waitFor();
    await give("This key was refused", "secret");
    await page.getByRole("region", { name: "Lineage" }).waitFor();
    assertStrictEquals(await page.getByRole("dialog").count(), 0);
  },
);

consoleTest(
  "a key that is revoked meanwhile is asked about with that reason, and what was under way goes on with another",
  () => ({ ...sampleState(), keyNeeded: true }),
  async ({ page, state }) => {
    await page.goto("/#/runs");
    await page.getByRole("dialog").getByLabel("API key").fill("secret");
    await page.keyboard.press("Enter");
    await page.getByText("kind-3").waitFor();
    state.keys.set("another", state.keys.get("secret")!).set("secret", null);
    const dialog = page.getByRole("dialog", { name: "This key was refused" });
    await dialog.getByText("This API key was revoked.").waitFor();
    await dialog.getByLabel("API key").fill("another");
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    state.runs.find(({ id }) => id === "ftjob-running")!.status = "cancelled";
    await page.getByRole("row", { name: /^kind-3/ }).getByText("Cancelled").waitFor();
  },
);

consoleTest(
  "a lost connection is said, and the page goes on by itself once it is back",
  sampleState,
  async ({ page, open }) => {
    await open("labels", "Labels");
    await page.getByText("How do I reset my password?").first().waitFor();
    await page.route("**/*", (route) => route.abort());
    await page.getByRole("link", { name: "Quality" }).click();
    const said = page.getByRole("status").getByText("The connection to the gateway is lost.");
    await said.waitFor();
    await page.getByRole("alert").getByText("The gateway cannot be reached.").waitFor();
    await page.unroute("**/*");
    await page.getByText("42 rows", { exact: true }).or(page.getByText("34 rows", { exact: true })).waitFor();
    await said.waitFor({ state: "detached" });
    assertStrictEquals(await page.getByRole("alert").count(), 0);
  },
);

consoleTest(
  "what is refused is said where it was pressed, in the dialog too, which stays open",
  sampleState,
  async ({ page, state, open }) => {
    const error = { message: "The registry is busy.", type: "server_error", param: null, code: null };
    const refuse = (path: string) =>
      page.route(
        path,
        (route) =>
          route.request().method() === "GET" ? route.fallback() : route.fulfill({ status: 409, json: { error } }),
      );
    await refuse("**/v1/registry/**");
    await refuse("**/v1/aliases/*");
    await refuse("**/v1/fine_tuning/jobs/*/cancel");
    await refuse("**/v1/feedback/*");
    const fails = async (press: string, place = page.getByRole("dialog")) => {
      await place.getByRole("button", { name: press, exact: true }).click();
      await place.getByRole("alert").getByText("The registry is busy.").waitFor();
      await page.keyboard.press("Escape");
    };
    await open("models/base%3Akind-2", "Models");
    for (const [opener, press] of [["Promote", "Promote"], ["Delete", "Delete"], ["Roll back", "Roll back"]] as const) {
      await page.getByRole("main").getByRole("button", { name: opener, exact: true }).click();
      await fails(press);
    }
    const traffic = page.getByRole("region", { name: "Traffic of prospect" });
    await traffic.getByLabel("Weight of base", { exact: true }).fill("5");
    await fails("Save split", traffic);
    await open("runs/ftjob-running", "kind-3");
    await page.getByRole("button", { name: "Cancel run" }).click();
    await fails("Cancel the run");
    await open("labels", "Labels");
    await page.getByRole("button", { name: "Take back" }).first().click();
    await page.getByRole("alert").getByText("The registry is busy.").waitFor();
    assertEquals(state.promotions.length, 1);
  },
);
