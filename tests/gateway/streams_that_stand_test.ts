// Streams whose client does not read: they go no further than what lies between, end, and what was given out is kept.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { listCompletions } from "../../shared/store/completions.ts";
import { withGateway } from "./open_gateway.ts";
import { get, RawClient, withFront } from "./raw_client.ts";

Deno.test("streams that nobody reads go no further, end, and are kept as far as they were given out", async () => {
  let given = 0;
  const piece = "a".repeat(2 ** 18), pieces = new Array(50).fill(piece), streams = 10;
  const script = { pieces, capacity: 64, beat: () => Promise.resolve(void given++) };
  await withGateway({ script }, async ({ gateway, fetch, scripted }) => {
    await withFront({ limits: { standingTime: 1500 }, answer: fetch }, async ({ port }) => {
      const body = JSON.stringify({ model: "base", prompt: "go on", max_tokens: 50, stream: true });
      const head = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
      const request = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
      const clients = await Promise.all(Array.from({ length: streams }, () => RawClient.open(port, request)));
      while (scripted.active() < streams) await new Promise((resolve) => setTimeout(resolve, 10));
      while (scripted.active() > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      assert(given < streams * pieces.length, "all of every answer was made, though nobody read");
      using other = await RawClient.open(port, get("/v1/models"));
      assertMatch(await other.hear((text) => text.includes('"object":"list"')), /^HTTP\/1.1 200/);
      let kept: Awaited<ReturnType<typeof listCompletions>>["items"] = [];
      while (kept.length < streams || kept.some(({ choices }) => choices[0]!.content === "")) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        kept = (await listCompletions(gateway.database, { limit: 100, cursor: undefined })).items;
      }
      for (const { choices } of kept) {
        assertEquals(choices[0]!.finishReason, "cancelled");
        assertMatch(choices[0]!.content, /^a+$/);
      }
      for (const client of clients) client[Symbol.dispose]();
    });
  });
});
