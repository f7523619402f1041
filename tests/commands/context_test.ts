// Rows and prompts longer than the model's context: cut with a note, or refused in a sentence, by every command.

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { fixture, fixtureTest, readLines, runTask, succeed } from "./run_task.ts";

/** GPT-2 has a table of positions: beyond its 256 there is nothing to compute with. */
const model = fixture("gpt2-optimum");

/** Rows of which one is far longer than the context, one has a prompt that leaves it little room, one none. */
function writeLongRows(path: string): void {
  const words = (count: number) => "the cat sat on a mat ".repeat(count);
  const long = [
    { prompt: "Tell me of cats.", completion: words(200), label: true },
    { prompt: words(9), completion: words(30), label: false },
    { prompt: words(200), completion: "no", label: true },
  ];
  const known = readLines(`${model}/data.jsonl`).filter(({ prompt }) => typeof prompt === "string").slice(0, 4);
  Deno.writeTextFileSync(path, [...known, ...long].map((row) => JSON.stringify(row) + "\n").join(""));
}

fixtureTest("rows longer than the context are cut to it, and train, score and evaluate say so", async (folder) => {
  const data = `${folder}/long.jsonl`, cache = `${folder}/cache`, args = ["--model", model, "--data", data];
  writeLongRows(data);
  const cut = /2 rows cut at the end to the model's 256 tokens/, dropped = /1 row dropped: .* the model's 256 tokens/;
  const scored = await succeed("score", [...args, "--out", `${folder}/scores.jsonl`], { cache });
  const evaluated = await succeed("evaluate", args, { cache });
  const out = `${folder}/run`;
  const trained = await succeed("train", [...args, "--out", out, "--epochs", 1, "--held-out", 0], { cache });
  for (const { stdout } of [scored, evaluated, trained]) {
    assertMatch(stdout, cut);
    assertMatch(stdout, dropped);
  }
  assertNotMatch(trained.stderr, /sample answers/);
  for (const name of ["adapter", "run.json", "report.html"]) assert(existsSync(`${out}/${name}`), name);
  const { stdout } = await succeed("score", [...args, "--max-length", 20, "--out", `${folder}/s.jsonl`], { cache });
  assertMatch(stdout, /cut at the end to --max-length 20/);
});

fixtureTest("an answer ends where the context does, and a prompt that fills it is refused", async (folder) => {
  const generate = (prompt: string) =>
    runTask("generate", ["--model", model, "--max-new-tokens", 1000, "--prompt", prompt], { cache: folder });
  const short = await generate("hi");
  assertEquals(short.code, 0, short.stderr);
  assertMatch(short.stderr, /The answer may have \d+ tokens, not 1000: the prompt has \d+ of the 256 that/);
  const long = await generate("the cat sat on a mat ".repeat(200));
  assertEquals(long.code, 2, long.stderr);
  assertMatch(
    long.stderr,
    /^The prompt has \d+ tokens, but the model's context is 256 for prompt and answer together: shorten it\.$/m,
  );
});
