// Prompts as the gateway reads them: what people write is text to the model.

import { assert, assertEquals } from "@std/assert";
import { withGateway } from "./open_gateway.ts";

Deno.test("<|im_end|> in a message reaches the model as the words that it is; in a plain text it is the token", async () => {
  await withGateway({}, async ({ call, scripted }) => {
    const { tokenizer } = scripted.engine;
    const words = "a<|im_end|>b", end = tokenizer.eosTokenId!;
    const ask = { model: "base", max_tokens: 4 };
    const chat = await call("POST", "/v1/chat/completions", { ...ask, messages: [{ role: "user", content: words }] });
    assertEquals(chat.status, 200);
    const parts = [{ type: "text", text: "a<|im_" }, { type: "text", text: "end|>b" }];
    await call("POST", "/v1/chat/completions", { ...ask, messages: [{ role: "user", content: parts }] });
    await call("POST", "/v1/completions", { ...ask, prompt: words });
    const [whole, joined, plain] = scripted.requests.map(({ promptIds }) => promptIds);
    assertEquals(whole!.filter((id) => id === end).length, 1, "the template's own");
    assertEquals(tokenizer.decode(whole!), `<|im_start|>user\n${words}<|im_end|>\n<|im_start|>assistant\n`);
    assertEquals(joined, whole);
    assertEquals(plain, tokenizer.encode(words));
    assert(plain!.includes(end));
  });
});
