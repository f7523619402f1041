import { assertEquals } from "@std/assert";
import { arrowsUp, circles, type ImportGraph } from "../../scripts/arrows.ts";

const graphOf = (imports: Record<string, string[]>): ImportGraph => new Map(Object.entries(imports));

Deno.test("an import of a room above is an arrow up, a test that is imported by the product too", () => {
  const graph = graphOf({
    "shared/store/a.ts": ["workers/b.ts"],
    "services/gateway/c.ts": ["shared/store/a.ts", "tests/d.ts"],
    "tests/d.ts": ["scripts/e.ts", "services/gateway/c.ts"],
  });
  assertEquals(arrowsUp(graph).map((sentence) => sentence.split(":")[0]), [
    "shared/store/a.ts imports workers/b.ts",
    "services/gateway/c.ts imports tests/d.ts",
  ]);
});

Deno.test("an import of a file outside of all rooms is an arrow up", () => {
  assertEquals(arrowsUp(graphOf({ "shared/a.ts": ["elsewhere/b.ts"] })).length, 1);
});

Deno.test("files that import each other are a circle, also over others and beside files that reach it", () => {
  const graph = graphOf({
    "shared/in.ts": ["shared/a.ts"],
    "shared/a.ts": ["shared/b.ts", "shared/leaf.ts"],
    "shared/b.ts": ["shared/c.ts", "shared/leaf.ts"],
    "shared/c.ts": ["shared/a.ts"],
    "shared/leaf.ts": [],
    "shared/self.ts": ["shared/self.ts"],
  });
  assertEquals(circles(graph), [
    "A circle of imports: shared/a.ts, shared/b.ts, shared/c.ts.",
    "A circle of imports: shared/self.ts.",
  ]);
});

Deno.test("diamonds are no circle", () => {
  const graph = graphOf({
    "shared/a.ts": ["shared/b.ts", "shared/c.ts"],
    "shared/b.ts": ["shared/d.ts"],
    "shared/c.ts": ["shared/d.ts"],
  });
  assertEquals(circles(graph), []);
});
