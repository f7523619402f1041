// Rows that threads tokenise: the same as in one place, and a row that does not end is ended and named.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { reportTo, silent } from "../../shared/progress.ts";
import { createChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedFeedback, embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { readTokenizerFiles } from "../../shared/runtime/tokenizer_files.ts";
import { tokenizeWithFiles } from "../../workers/row_threads.ts";

const files = readTokenizerFiles(openModelFolder(embeddedModelFolder));
const tokenizer = createChatTokenizer(files);
const row = (line: number, prompt: string, completion: string): FeedbackRow => ({
  index: line - 1,
  line,
  prompt: [{ role: "user", content: prompt }],
  completion: [{ role: "assistant", content: completion }],
  label: line % 2 === 0,
});

Deno.test("rows that any number of threads tokenise are those of one, report and all", async () => {
  const { rows } = await readFeedback(embeddedFeedback);
  // Enough characters for three threads, and lengths that let later shares overtake earlier ones.
  const given = [
    row(1, "x".repeat(1_200_000), "y"),
    ...rows.slice(0, 300),
    row(2, "a".repeat(700_000), "b"),
    row(3, "same", "same"),
    row(5, "same", "same"),
    row(6, "same", "same"),
    ...rows.slice(300, 500),
  ];
  const options = { maxLength: 24, contextLength: 512 };
  const expected = tokenizeRows(given, tokenizer, options);
  assert(expected.report.truncated.length > 0 && expected.report.duplicates.length > 0);
  const done: number[] = [];
  const reporter = reportTo({
    event: (_, fields) => done.push(fields!["done"] as number),
    line() {},
    warn() {},
  });
  for (const workers of [1, 3]) {
    assertEquals(await tokenizeWithFiles(given, files, tokenizer, { ...options, workers, reporter }), expected);
    assertEquals(done.at(-1), given.length);
  }
  assertEquals(
    await tokenizeWithFiles([], files, tokenizer, { ...options, reporter: silent }),
    tokenizeRows([], tokenizer, options),
  );
});

Deno.test("a row that the template or the tokenizer does not end for is named by its line, after the deadline", async () => {
  const template = "{% if messages[0].content == 'loop' %}{% for a in range(100000) %}{% for b in range(100000) %}" +
    "{% endfor %}{% endfor %}{% endif %}{% if messages[0].content == 'refuse' %}{{ raise_exception('no') }}{% endif %}" +
    "{{ messages[0].content }}{% if messages[1] %}{{ messages[1].content }}{% endif %}";
  const given = [row(1, "a", "b"), row(2, "c", "d"), row(3, "loop", "e"), row(4, "refuse", "f")];
  const options = { maxLength: 100, reporter: silent, workers: 1, patience: 500 };
  assertMatch(
    (await assertRejects(() => tokenizeWithFiles(given, { ...files, template }, tokenizer, options), InputError))
      .message,
    /^Row at line 3: the chat template and the tokenizer of .* take longer than 0\.5 s for it; /,
  );
  const others = given.filter(({ line }) => line !== 3);
  assertMatch(
    (await assertRejects(() => tokenizeWithFiles(others, { ...files, template }, tokenizer, options), InputError))
      .message,
    /^Row at line 4: .*no/,
  );
});

Deno.test("tokenising ends where its owner is asked to stop", async () => {
  const checkpoint = () => {
    throw new InputError("stop");
  };
  const given = Array.from({ length: 200 }, (_, i) => row(i + 1, `${i}`, "a"));
  assertMatch(
    (await assertRejects(
      () => tokenizeWithFiles(given, files, tokenizer, { maxLength: 100, reporter: silent, checkpoint }),
      InputError,
    ))
      .message,
    /^stop$/,
  );
});
