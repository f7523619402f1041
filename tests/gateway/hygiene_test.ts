// What is the matter with the labels, over HTTP: a store of any size is looked through as a whole, and a little at a time.

import { assert, assertEquals } from "@std/assert";
import { take } from "./feedback_calls.ts";
import { withGateway } from "./open_gateway.ts";

Deno.test("labels are looked through together and handed over little by little: nothing waits while they are copied", async () => {
  await withGateway({}, async ({ call }) => {
    const words = "word ".repeat(40);
    const rows = Array.from({ length: 1200 }, (_, i) => ({
      prompt: [{ role: "user", content: `question ${i % 1100} ${words}` }],
      completion: [{ role: "assistant", content: `answer ${i % 1100}` }],
      label: i < 1100 || i % 2 === 0,
    }));
    assertEquals((await take(call, rows.map((row) => JSON.stringify(row)).join("\n"))).status, 201);
    let longest = 0;
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (message: unknown, options?: StructuredSerializeOptions | Transferable[]) {
      longest = Math.max(longest, JSON.stringify(message).length);
      Reflect.apply(postMessage, this, [message, options]);
    };
    try {
      const { status, json } = await call("GET", "/v1/feedback/hygiene");
      assertEquals(status, 200);
      // The last hundred rows repeat the first hundred, every second with the other label.
      const { rows, truncated, exact_duplicates, contradictions } = json;
      assertEquals({ rows, truncated, exact_duplicates, contradictions }, {
        rows: 1200,
        truncated: false,
        exact_duplicates: 50,
        contradictions: 100,
      });
      assert(longest > 1000 && longest < 150_000, `a message of ${longest} characters`);
    } finally {
      Worker.prototype.postMessage = postMessage;
    }
  });
});
