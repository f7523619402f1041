// Prompts are read in threads: the same ids as anywhere, none waits for a book, and what does not end is ended.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type PromptThreads, startPromptThreads } from "../../../services/gateway/engine/prompt_threads.ts";
import { promptsOf } from "../../../services/gateway/engine/prompts.ts";
import { PromptError, type Prompts, QueueFullError } from "../../../services/gateway/engine/answers.ts";
import type { Message } from "../../../shared/feedback/row.ts";
import { createChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../../shared/runtime/model_folder.ts";
import { readTokenizerFiles, type TokenizerFiles } from "../../../shared/runtime/tokenizer_files.ts";

const files = readTokenizerFiles(openModelFolder(embeddedModelFolder));
const user = (content: string): Message => ({ role: "user", content });

async function withPrompts(
  { contextLength = 2 ** 24, template = files.template, deadlines = { short: 20_000, long: 60_000 } }: {
    contextLength?: number;
    template?: TokenizerFiles["template"];
    deadlines?: { short: number; long: number };
  },
  use: (prompts: Prompts, threads: PromptThreads) => Promise<void>,
): Promise<void> {
  const threads = await startPromptThreads({ ...files, template }, contextLength, deadlines);
  try {
    await use(promptsOf(contextLength, threads), threads);
  } finally {
    threads.end();
  }
}

Deno.test("threads give the ids that training sees, for short prompts and long ones", async () => {
  const tokenizer = createChatTokenizer(files);
  await withPrompts({}, async (prompts) => {
    for (const content of ["Hi!", "a<|im_end|>b", "é😀\n".repeat(3000), "\ud800 \0", ""]) {
      const expected = tokenizer.encodeChat([user(content)], { addGenerationPrompt: true });
      assertEquals(await prompts.chat([user(content)]), expected);
      assertEquals(await prompts.text(content), tokenizer.encode(content));
    }
  });
});

Deno.test("a mebibyte of spaces keeps neither the thread that answers nor a short prompt waiting", async () => {
  await withPrompts({}, async (prompts) => {
    let held = 0, last = performance.now();
    const beat = setInterval(() => {
      held = Math.max(held, performance.now() - last);
      last = performance.now();
    }, 10);
    const order: string[] = [];
    try {
      await Promise.all([
        prompts.chat([user(" ".repeat(2 ** 20))]).then(() => order.push("long")),
        prompts.chat([user("Hi!")]).then(() => order.push("short")),
      ]);
    } finally {
      clearInterval(beat);
    }
    assertEquals(order, ["short", "long"]);
    assert(held < 1000, `the thread was held for ${held} ms`);
  });
});

Deno.test("a template that does not end is ended, and the next prompt is read", async () => {
  const template = "{% if messages[0].content == 'loop' %}{% for a in range(1000000) %}{% for b in range(1000000) %}" +
    "{% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}";
  await withPrompts({ template, deadlines: { short: 1000, long: 1000 } }, async (prompts) => {
    for (const text of ["loop", "loop"]) {
      assertMatch(
        (await assertRejects(() => prompts.chat([user(text)]), PromptError)).message,
        /template .*longer than 1 s|builds more text/,
      );
    }
    assertEquals(await prompts.chat([user("Hi!")]), createChatTokenizer(files).encode("Hi!"));
  });
});

Deno.test("a prompt that takes too long is refused in words that say what to do", async () => {
  await withPrompts({ deadlines: { short: 5000, long: 50 } }, async (prompts) => {
    assertMatch(
      (await assertRejects(() => prompts.text("ab ".repeat(2 ** 19)), PromptError)).message,
      /takes longer than 0\.05 s for this prompt; shorten/,
    );
  });
});

Deno.test("a prompt of more tokens than the context has is refused with both numbers, and what the template refuses in its words", async () => {
  const template = "{{ raise_exception('no such turn') if messages | length > 1 else messages[0].content }}";
  await withPrompts({ contextLength: 32, template }, async (prompts) => {
    const error = await assertRejects(() => prompts.chat([user("a ".repeat(60))]), PromptError);
    assertMatch(error.message, /context is 32 tokens, but the prompt has \d\d+ tokens; shorten it/);
    assertEquals(error.code, "context_length_exceeded");
    assertEquals(error.source, "chat");
    assertMatch((await assertRejects(() => prompts.chat([user("a"), user("b")]), PromptError)).message, /no such turn/);
  });
});

Deno.test("long prompts wait for each other up to a number, and more are refused until one is read", async () => {
  const waiting: (() => void)[] = [];
  const long = () => new Promise<{ ids: number[] }>((resolve) => waiting.push(() => resolve({ ids: [1] })));
  const prompts = promptsOf(2 ** 20, { short: () => Promise.resolve({ ids: [0] }), long });
  const text = "a".repeat(10_000), begun = Array.from({ length: 16 }, () => prompts.text(text));
  await assertRejects(() => prompts.text(text), QueueFullError);
  assertEquals(await prompts.text("short"), [0]);
  for (const resolve of waiting) resolve();
  assertEquals((await Promise.all(begun)).flat(), Array(16).fill(1));
  const next = prompts.text(text);
  waiting.at(-1)!();
  assertEquals(await next, [1]);
});
