// Token ids equal TRL's on all fixtures, and every row that is changed or dropped is named.

import { assertEquals, assertNotStrictEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { countsOf, describeReport, tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { characterTokenizer } from "./character_tokenizer.ts";
import { FIXTURES, SHARED, sharedTest } from "./shared_files.ts";

interface GoldenRow {
  prompt_ids: number[];
  completion_ids: number[];
  label: boolean;
}

for (const fixture of FIXTURES) {
  sharedTest(`fixtures/${fixture}`, `${fixture}: chat and plain rows get exactly TRL's token ids`, async (path) => {
    const golden = JSON.parse(await Deno.readTextFile(`${path}/golden.json`));
    const tokenizer = loadChatTokenizer(openModelFolder(path));
    for (const [name, key] of [["data.jsonl", "tokens"], ["data_standard.jsonl", "tokens_standard"]] as const) {
      const { rows, report } = tokenizeRows((await readFeedback(`${path}/${name}`)).rows, tokenizer, {
        maxLength: 1024,
      });
      assertEquals(
        rows.map((row) => ({ prompt_ids: row.promptIds, completion_ids: row.completionIds, label: row.label })),
        (golden[key].rows as GoldenRow[]).map(({ prompt_ids, completion_ids, label }) => ({
          prompt_ids,
          completion_ids,
          label,
        })),
        name,
      );
      // Row 4 of the plain file has a prompt that ends in a space.
      assertEquals(report.seamMismatch, key === "tokens" ? [] : [4]);
      assertEquals([report.noEndToken, report.duplicates, report.truncated], [[], [], []]);
    }
  });
}

/** One id per character, the end token is `$`. */
const characters = characterTokenizer(
  "$",
  (messages, options) =>
    messages.map((m) => `${m.role[0]}:${m.content}$`).join("") + (options.addGenerationPrompt ? "a:" : ""),
);

function row(line: number, prompt: string, completion: string, label: boolean): FeedbackRow {
  return { index: line - 1, line, prompt, completion, label };
}

const text = (ids: number[]) => String.fromCodePoint(...ids);

Deno.test("the end token is appended to plain text once, and taken from the template in conversations", () => {
  const { rows } = tokenizeRows(
    [
      row(1, "p", "a", true),
      row(2, "q", "a$", true),
      {
        ...row(3, "", "", true),
        prompt: [{ role: "user", content: "x" }],
        completion: [{ role: "assistant", content: "y" }],
      },
    ],
    characters,
    { maxLength: 99 },
  );
  assertEquals(rows.map((r) => [text(r.promptIds), text(r.completionIds)]), [["p", "a$"], ["q", "a$"], [
    "u:x$a:",
    "y$",
  ]]);
});

Deno.test("maxLength keeps the start, says which rows lost their end token, and drops rows that are all prompt", () => {
  const { rows, report } = tokenizeRows(
    [row(1, "ab", "cdef", true), row(2, "ab", "c", false), row(3, "abcd", "e", true), row(4, "abcde", "f", true)],
    characters,
    { maxLength: 4 },
  );
  assertEquals(rows.map((r) => [r.line, text(r.completionIds)]), [[1, "cd"], [2, "c$"]]);
  assertEquals([report.truncated, report.endTokenCut, report.promptTooLong], [[1], [1], [3, 4]]);
  assertEquals([report.desirable, report.undesirable, report.given], [1, 1, 4]);
});

Deno.test("a context shorter than maxLength cuts instead of it, and the notes name whichever cut", () => {
  const notes = (maxLength: number, contextLength: number | undefined) => {
    const input = [row(1, "ab", "cdef", true), row(2, "abcd", "e", true)];
    const { rows, report } = tokenizeRows(input, characters, { maxLength, contextLength });
    assertEquals(rows.map((r) => text(r.completionIds)), ["cd"]);
    return describeReport(report, "f").notes.slice(0, 2);
  };
  assertEquals(notes(1024, 4), [
    "1 row dropped: the prompt alone fills the model's 4 tokens (f:2).",
    "1 row cut at the end to the model's 4 tokens (f:1).",
  ]);
  for (const contextLength of [undefined, 4, 99]) {
    assertEquals(notes(4, contextLength), [
      "1 row dropped: the prompt alone fills --max-length 4 (f:2).",
      "1 row cut at the end to --max-length 4 (f:1).",
    ]);
  }
});

Deno.test("repeated rows are dropped once named, contradictions are kept and named, and both can be seen in words", () => {
  const input = [
    row(1, "p", "a", true),
    row(2, "p", "a", true),
    row(3, "p", "a", false),
    row(4, "p", "b", true),
    row(5, "", "b", true),
    row(6, "p", " ", true),
  ];
  const { rows, report } = tokenizeRows(input, characters, { maxLength: 9 });
  assertEquals(rows.map((r) => r.line), [1, 3, 4]);
  assertEquals(report.duplicates, [2]);
  assertEquals(report.contradictory, [1, 3]);
  assertEquals(report.emptyPrompt, [5]);
  assertEquals(report.emptyCompletion, [6]);
  assertEquals(describeReport(report, "f.jsonl").notes, [
    "1 row dropped: the completion is empty (f.jsonl:6).",
    "1 row dropped: the prompt is empty, so the first token of the answer has no probability (f.jsonl:5).",
    "1 row dropped: same prompt, completion and label as an earlier row (f.jsonl:2).",
    "2 rows with both labels on the same prompt and completion, which cancel each other (f.jsonl:1, 3).",
  ]);
  assertEquals(countsOf(report), { empty_completion: 1, empty_prompt: 1, duplicates: 1, contradictory: 2 });
  const kept = tokenizeRows(input, characters, { maxLength: 9, dropDuplicates: false });
  assertEquals(kept.rows.map((r) => r.line), [1, 2, 3, 4]);
  assertEquals(kept.report.duplicates, []);
});

Deno.test("answers that differ only beyond maxLength are two judgements, not a duplicate", () => {
  const { rows } = tokenizeRows([row(1, "p", "abcX", true), row(2, "p", "abcY", true)], characters, { maxLength: 4 });
  assertEquals(rows.length, 2);
});

Deno.test("the same prompt has the same key, in any row, and another prompt another", () => {
  const { rows } = tokenizeRows([row(1, "p", "a", true), row(2, "p", "b", true), row(3, "q", "a", true)], characters, {
    maxLength: 9,
  });
  const [a, b, c] = rows.map((r) => r.promptKey);
  assertStrictEquals(a, b);
  assertNotStrictEquals(a, c);
});

Deno.test("a long list of lines is cut after five", () => {
  const { report } = tokenizeRows(Array.from({ length: 12 }, (_, i) => row(i + 1, "p", "", true)), characters, {
    maxLength: 9,
  });
  assertEquals(describeReport(report, "f").notes, [
    "12 rows dropped: the completion is empty (f:1, 2, 3, 4, 5 and 7 more).",
  ]);
});

Deno.test("a conversation the template refuses is an InputError that names the line", () => {
  const refusing = {
    ...characters,
    readChat: () => {
      throw new InputError("roles must alternate");
    },
  };
  const chat = {
    ...row(7, "", "", true),
    prompt: [{ role: "user", content: "x" }],
    completion: [{ role: "assistant", content: "y" }],
  };
  assertThrows(
    () => tokenizeRows([chat], refusing, { maxLength: 9 }),
    InputError,
    "Row at line 7: roles must alternate",
  );
});

sharedTest(
  "models/SmolLM2-135M-Instruct",
  "SmolLM2's answers have the lengths that TRL gives them",
  async (path) => {
    const golden = JSON.parse(await Deno.readTextFile(`${path}/golden.json`)).held_out.tokens as number[];
    const { rows: input } = await readFeedback(`${SHARED}/data/rasbt-preference/held_out.jsonl`);
    const { rows } = tokenizeRows(input, loadChatTokenizer(openModelFolder(path)), { maxLength: 1024 });
    assertEquals(rows.map(({ completionIds }) => completionIds.length), rows.map(({ index }) => golden[index]));
    assertEquals(rows.length, golden.length);
  },
);
