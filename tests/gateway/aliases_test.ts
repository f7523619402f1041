// Aliases: the command's hold until somebody sets others, whatever clocks say, and every alias but the served one can go.

import { assertEquals, assertMatch } from "@std/assert";
import { PublishedAliases } from "../../services/gateway/published_aliases.ts";
import type { Alias, Arm } from "../../shared/store/aliases.ts";
import { withGateway } from "./open_gateway.ts";

const to = (model: string): Arm[] => [{ model, weight: 1 }];
const stored = (...aliases: [name: string, arms: Arm[], revision: number][]) =>
  new Map(aliases.map(([name, arms, revision]): [string, Alias] => [name, { arms, revision }]));

Deno.test("an alias of the command beats what was set before it began and nothing that was set after, a deletion too", () => {
  const current = new Map<string, Arm[]>();
  const aliases = new PublishedAliases(current, new Map([["prospect", to("base")], ["trial", to("base:t")]]));
  aliases.follow(stored(["prospect", to("base:a"), 7], ["other", to("base:o"), 1]));
  const shown = () => Object.fromEntries([...current].map(([name, [arm]]) => [name, arm!.model]));
  assertEquals(shown(), { prospect: "base", trial: "base:t", other: "base:o" });
  aliases.follow(stored(["prospect", to("base:b"), 8], ["trial", [], 1], ["other", [], 2]));
  assertEquals(shown(), { prospect: "base:b" });
  aliases.follow(stored(["prospect", to("base:b"), 8], ["trial", to("base:u"), 2]));
  assertEquals(shown(), { prospect: "base:b", trial: "base:u" });
});

Deno.test("the served alias is there before anybody sets it", () => {
  const current = new Map<string, Arm[]>();
  new PublishedAliases(current, new Map()).follow(stored());
  assertEquals([...current], [["prospect", to("base")]]);
});

Deno.test("an alias is deleted, asked for it is 404, and set again it is back; the served one stays and says why", async () => {
  await withGateway({}, async ({ call }) => {
    const ask = () =>
      call("POST", "/v1/chat/completions", { model: "trial", messages: [{ role: "user", content: "hi" }] });
    const set = () => call("PUT", "/v1/aliases/trial", { arms: to("base") });
    assertEquals((await call("DELETE", "/v1/aliases/trial")).status, 404);
    for (let round = 0; round < 2; round++) {
      assertEquals((await set()).status, 200);
      assertEquals((await ask()).status, 200);
      const { status, json } = await call("DELETE", "/v1/aliases/trial");
      assertEquals([status, json], [200, { name: "trial", object: "alias", deleted: true }]);
      assertEquals((await ask()).status, 404);
      const { data } = (await call("GET", "/v1/aliases")).json;
      assertEquals(data, [{ name: "prospect", arms: to("base") }]);
    }
    const kept = await call("DELETE", "/v1/aliases/prospect");
    assertEquals(kept.status, 409);
    assertMatch(kept.json.error.message, /"prospect" is what clients ask for and what promotion moves, so it stays/);
  });
});
