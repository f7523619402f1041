// The playground in a browser: a conversation, thumbs on its answers, and the blind comparison.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { consoleTest } from "./browser.ts";
import { emptyState, sampleState } from "./sample.ts";
import { sayings } from "./stand_in.ts";
import type { State } from "./stand_in_state.ts";

const bodies = (state: State, request: string) =>
  state.received.filter((each) => each.request === request).map(({ body }) => body as Record<string, unknown>);

async function ask(page: Page, question: string) {
  await page.getByRole("textbox", { name: "Message" }).fill(question);
  await page.keyboard.press("Enter");
}

consoleTest(
  "a conversation carries its turns on, with the settings that were chosen",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    await page.getByLabel("Model", { exact: true }).selectOption("base:kind-2");
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.getByLabel("Temperature").fill("0");
    await page.getByLabel("Max tokens").fill("40");
    await ask(page, "What is the capital of France?");
    await page.getByText(sayings["base:kind-2"]!).waitFor();
    await page.getByRole("button", { name: "Thumb up: answer 1" }).waitFor();
    await ask(page, "Where does it lie?");
    await page.getByRole("button", { name: "Thumb up: answer 2" }).waitFor();
    const [first, second] = bodies(state, "POST /v1/chat/completions");
    assertEquals({ ...first, user: "" }, {
      model: "base:kind-2",
      stream: true,
      temperature: 0,
      max_tokens: 40,
      user: "",
      messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "What is the capital of France?" }],
    });
    assertEquals(second!.messages, [
      ...first!.messages as unknown[],
      { role: "assistant", content: sayings["base:kind-2"] },
      { role: "user", content: "Where does it lie?" },
    ]);
    assertStrictEquals(second!.user, first!.user, "an alias could have changed its voice in mid-conversation");
    await page.getByRole("link", { name: "Runs" }).click();
    await page.getByRole("link", { name: "Playground" }).click();
    await page.getByText("Where does it lie?").waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    assertStrictEquals(await page.getByText("Where does it lie?").count(), 0);
  },
);

consoleTest(
  "an answer that is stopped keeps what it said, and can be judged",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    state.pauseAfter = 3;
    await ask(page, "Tell me about Paris.");
    await page.getByText("The capital of").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.").waitFor();
    await page.getByRole("button", { name: "Thumb down: answer 1" }).click();
    await page.getByRole("button", { name: "Thumb down: answer 1", pressed: true }).waitFor();
    const { completion_id, label } = state.thumbs[0]!;
    assertEquals([completion_id, label], [state.answers[0]!.id, false]);
    await page.getByRole("button", { name: "Send" }).waitFor();
  },
);

consoleTest(
  "a thumb is kept when it is pressed, takes a reason, and goes when pressed again",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    const before = state.thumbs.length;
    await ask(page, "Tell me about Paris.");
    const down = page.getByRole("button", { name: "Thumb down: answer 1" });
    await down.click();
    await page.getByRole("button", { name: "Say why, or correct it" }).click();
    await page.getByLabel("Reason").fill("Too short.");
    await page.getByLabel("Tags").fill("tone, facts ,tone");
    await page.getByRole("button", { name: "Start from the answer" }).click();
    assertStrictEquals(await page.getByLabel("Correction").inputValue(), sayings["base:kind-1"]);
    await page.getByLabel("Correction").fill("It is Paris, of course.");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Kept.").waitFor();
    const [thumb] = state.thumbs;
    assertEquals(state.thumbs.length, before + 1, "the reason became a second thumb");
    assertEquals(
      [thumb!.label, thumb!.reason, thumb!.tags, thumb!.correction, thumb!.version],
      [false, "Too short.", ["tone", "facts"], "It is Paris, of course.", 2],
    );
    await down.click();
    await page.getByRole("button", { name: "Thumb down: answer 1", pressed: false }).waitFor();
    assertEquals(state.thumbs.length, before);
  },
);

consoleTest(
  "a chat outlives a reload, its thumbs too, and what was under way then is called stopped",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    await ask(page, "Tell me about Paris.");
    await page.getByRole("button", { name: "Thumb up: answer 1" }).waitFor();
    state.pauseAfter = 3;
    await ask(page, "And Rome?");
    await page.getByText("The capital of").nth(1).waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("A draft");
    await page.reload();
    await page.getByText("Stopped, since the page was loaded anew.").waitFor();
    assertEquals(await page.getByRole("textbox", { name: "Message" }).inputValue(), "A draft");
    for (const [number, id] of [[1, state.answers[1]!.id], [2, state.answers[0]!.id]] as const) {
      await page.getByRole("button", { name: `Thumb up: answer ${number}` }).click();
      await page.getByRole("button", { name: `Thumb up: answer ${number}`, pressed: true }).waitFor();
      const { completion_id, end_user } = state.thumbs[0]!;
      assertEquals([completion_id, end_user], [id, "ann"]);
    }
    await page.reload();
    await page.getByRole("button", { name: "Thumb up: answer 2", pressed: true }).click();
    await page.getByRole("button", { name: "Thumb up: answer 2", pressed: false }).waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    await page.reload();
    await page.getByText("Ask anything").waitFor();
    assertStrictEquals(await page.getByText("And Rome?").count(), 0);
  },
);

consoleTest(
  "whoever judges without a name is asked for it once, and the thumb is kept under it",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    const before = state.thumbs.length;
    await ask(page, "Tell me about Paris.");
    const up = page.getByRole("button", { name: "Thumb up: answer 1" });
    await up.click();
    await page.getByRole("dialog", { name: "Who judges?" }).waitFor();
    await page.keyboard.press("Escape");
    assertEquals(state.thumbs.length, before, "a thumb without a name");
    await up.click();
    await page.getByLabel("Your name").fill("  grace ");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Thumb up: answer 1", pressed: true }).waitFor();
    assertEquals(state.thumbs[0]!.end_user, "grace");
    await page.reload();
    await ask(page, "And Rome?");
    await page.getByRole("button", { name: "Thumb down: answer 2" }).click();
    await page.getByRole("button", { name: "Thumb down: answer 2", pressed: true }).waitFor();
    assertEquals(state.thumbs[0]!.end_user, "grace");
  },
  { reviewer: "" },
);

consoleTest("what a model says is never taken for HTML", emptyState, async ({ page, open }) => {
  await open("playground", "Playground");
  await page.route("**/v1/chat/completions", (route) => {
    const chunk = (content: string, finish_reason: string | null) =>
      `data: ${
        JSON.stringify({ id: "chatcmpl-1", model: "base", choices: [{ index: 0, delta: { content }, finish_reason }] })
      }\n\n`;
    const body = chunk("<img src=x onerror=alert(1)><b>bold</b>", null) + chunk("", "stop") + "data: [DONE]\n\n";
    return route.fulfill({ contentType: "text/event-stream", body });
  });
  await ask(page, "<i>Hello</i>");
  await page.getByText("<img src=x onerror=alert(1)><b>bold</b>").waitFor();
  await page.getByText("<i>Hello</i>").waitFor();
});

consoleTest(
  "an answer that fails says why, and the next question does not repeat it",
  sampleState,
  async ({ page, state, open }) => {
    await open("playground", "Playground");
    await page.route("**/v1/chat/completions", (route) => {
      const error = {
        error: { message: "The answer could not be finished.", type: "server_error", param: null, code: null },
      };
      return route.fulfill({ contentType: "text/event-stream", body: `data: ${JSON.stringify(error)}\n\n` });
    }, { times: 1 });
    await ask(page, "Are you there?");
    await page.getByText("The answer could not be finished.").waitFor();
    await ask(page, "And now?");
    await page.getByRole("button", { name: "Thumb up: answer 2" }).waitFor();
    assertEquals(bodies(state, "POST /v1/chat/completions")[0]!.messages, [{ role: "user", content: "And now?" }]);
  },
);

consoleTest(
  "a comparison is blind until both answers are judged, and draws the sides anew",
  sampleState,
  async ({ page, state, open }) => {
    // The page draws with Math.random: below a half the first model is left.
    await page.addInitScript(() => {
      const draws = [0.2, 0.8];
      let drawn = 0;
      Math.random = () => draws[drawn++ % draws.length]!;
    });
    await open("playground/compare", "Playground");
    await page.getByLabel("First model").selectOption("base");
    await page.getByLabel("Second model").selectOption("base:kind-2");
    const side = (turn: number, name: string) =>
      page.getByRole("article").nth(turn).getByRole("region", { name: `Answer ${name}` });
    for (const [turn, left, right] of [[0, "base", "base:kind-2"], [1, "base:kind-2", "base"]] as const) {
      await ask(page, `What is the capital of France, the ${turn + 1}. time?`);
      const article = page.getByRole("article").nth(turn);
      await side(turn, "A").getByText(sayings[left]!).waitFor();
      await side(turn, "B").getByText(sayings[right]!).waitFor();
      const reveal = article.getByRole("button", { name: "Reveal" });
      await reveal.waitFor();
      assertEquals(await reveal.isDisabled(), true);
      await side(turn, "A").getByRole("button", { name: "Thumb down" }).click();
      await side(turn, "A").getByRole("button", { name: "Thumb down", pressed: true }).waitFor();
      assertEquals(await reveal.isDisabled(), true, "one thumb was enough");
      await side(turn, "B").getByRole("button", { name: "Thumb up" }).click();
      await side(turn, "B").getByRole("button", { name: "Thumb up", pressed: true }).waitFor();
      assert(!(await article.innerText()).includes("base"), "a name showed before the answers were judged");
      await reveal.click();
      await side(turn, "A").getByText(left, { exact: true }).waitFor();
      await side(turn, "B").getByText(right, { exact: true }).waitFor();
    }
    const tally = page.getByText("Revealed so far").locator("..");
    assertMatch(await tally.innerText(), /base\s+1 of 2 up\s+base:kind-2\s+1 of 2 up/);
    const given = state.thumbs.slice(0, 4).map(({ completion_id, label }) => [
      state.answers.find(({ id }) => id === completion_id)!.arm,
      label,
    ]);
    assertEquals(given, [["base", true], ["base:kind-2", false], ["base:kind-2", true], ["base", false]]);
  },
);
