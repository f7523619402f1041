// What is found in labels before they are trained on, and that it is what training itself finds.

import { assertEquals } from "@std/assert";
import {
  hygieneReport,
  inspectLabels,
  type LabelledAnswer,
  staleness,
  withoutContradictions,
  withoutStale,
} from "../../shared/feedback/hygiene.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { characterTokenizer } from "./character_tokenizer.ts";

const user = (content: string) => [{ role: "user", content }];
const says = (content: string) => [{ role: "assistant", content }];

const rows: LabelledAnswer[] = [
  { id: "a", prompt: user("What is 3 plus 4?"), completion: says("3 plus 4 is 7."), label: true },
  { id: "b", prompt: user("What is 3 plus 4?"), completion: says("3 plus 4 is 7."), label: true },
  { id: "c", prompt: user("What is 3 plus 4?"), completion: says("3 plus 4 is 7."), label: false },
  { id: "d", prompt: user("What is 3 plus 4?"), completion: says("No idea at all."), label: false },
  { id: "e", prompt: user("What is 3 plus 4?"), completion: says("No idea at  all."), label: false },
  { id: "f", prompt: user("Hello!"), completion: says(" "), label: false },
  { id: "g", prompt: "Once upon a time", completion: " there was a cat.", label: false },
  { id: "h", prompt: "Once upon a time", completion: "", label: true },
];

Deno.test("duplicates, contradictions and empty answers are told apart and named by id", () => {
  const hygiene = inspectLabels(rows);
  assertEquals(hygiene.exactDuplicates, [{ id: "b", of: "a" }]);
  assertEquals(hygiene.nearDuplicates, [{ id: "e", of: "d" }]);
  assertEquals(hygiene.contradictions, ["a", "b", "c"]);
  assertEquals(hygiene.empty, ["f", "h"]);
  assertEquals([hygiene.rows, hygiene.desirable, hygiene.undesirable], [8, 1, 4]);
  assertEquals(hygiene.weights, { desirable: 4, undesirable: 1 });
  assertEquals(withoutContradictions(rows, hygiene).map(({ id }) => id), ["d", "e", "f", "g", "h"]);
});

Deno.test("counts, duplicates and contradictions are those that training reports of the same rows", () => {
  const tokenizer = characterTokenizer(
    "\n",
    (messages, { addGenerationPrompt }) =>
      messages.map(({ role, content }) => `<${role}>${content}`).join("") + (addGenerationPrompt ? "" : "\n"),
  );
  const numbered = rows.map((row, index) => ({ ...row, index, line: index + 1 }));
  const { report } = tokenizeRows(numbered, tokenizer, { maxLength: 1000 });
  const hygiene = inspectLabels(rows);
  const lines = (ids: string[]) => ids.map((id) => rows.findIndex((row) => row.id === id) + 1);
  assertEquals([hygiene.desirable, hygiene.undesirable], [report.desirable, report.undesirable]);
  assertEquals(lines(hygiene.exactDuplicates.map(({ id }) => id)), report.duplicates);
  assertEquals(lines(hygiene.empty), report.emptyCompletion);
  // Training names those that are left; here a duplicate that carries the same contradiction is named too.
  assertEquals(lines(hygiene.contradictions).filter((line) => line !== 2), report.contradictory);
});

Deno.test("the report has counts of all and ids of a few", () => {
  const many = Array.from({ length: 60 }, (_, i) => ({
    id: `${i}`,
    prompt: `Question ${i >> 1}, asked of everybody`,
    completion: "An answer",
    label: i % 2 === 0,
  }));
  const report = hygieneReport(inspectLabels(many));
  assertEquals(report.contradictions, 60);
  assertEquals(report.examples.contradictions, many.slice(0, 20).map(({ id }) => id));
  assertEquals(report.stale, { measured: 0, beyond: [] });
  assertEquals(hygieneReport(inspectLabels(rows)).examples.near_duplicates, ["d", "e"]);
  assertEquals(hygieneReport(inspectLabels([])), {
    rows: 0,
    desirable: 0,
    undesirable: 0,
    weights: { desirable: 1, undesirable: 1 },
    exact_duplicates: 0,
    near_duplicates: 0,
    contradictions: 0,
    empty: 0,
    stale: { measured: 0, beyond: [] },
    examples: { contradictions: [], near_duplicates: [] },
  });
});

Deno.test("staleness is the move per token of the answer alone, up or down, and what is unknown is not held against a row", () => {
  const scored = [
    { id: "same", answeredLogProb: -3, answeredTokens: 2, referenceLogProbs: [-1, -2, -50] },
    { id: "down", answeredLogProb: -1, answeredTokens: 2, referenceLogProbs: [-2, -2] },
    { id: "up", answeredLogProb: -9, answeredTokens: 3, referenceLogProbs: Float32Array.of(-1, -1, -1) },
    { id: "imported", answeredLogProb: null, answeredTokens: 2, referenceLogProbs: [-1, -2] },
    { id: "not scored", answeredLogProb: -1, answeredTokens: 2, referenceLogProbs: null },
    { id: "other tokens", answeredLogProb: -1, answeredTokens: 3, referenceLogProbs: [-1, -2] },
    { id: "infinite", answeredLogProb: -Infinity, answeredTokens: 1, referenceLogProbs: [-1] },
  ];
  const stale = staleness(scored);
  assertEquals(stale.measured, 3);
  assertEquals([...stale.moved], [["same", 0], ["down", 1.5], ["up", 2]]);
  assertEquals(stale.beyond.map(({ moved, rows }) => [moved, rows]), [[0.1, 2], [0.25, 2], [0.5, 2], [1, 2], [
    2,
    0,
  ]]);
  assertEquals(
    withoutStale(scored, stale, 1.5).map(({ id }) => id),
    ["same", "down", "imported", "not scored", "other tokens", "infinite"],
  );
});
