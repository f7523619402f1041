// The engine as routes use it: transformers.js' own tokens, the scorer's log-probs, adapters that come and go under
// answers, places and queue, and workers that die.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
  fail,
} from "@std/assert";
import { silent } from "../../../shared/progress.ts";
import { AutoModelForCausalLM, Tensor } from "@huggingface/transformers";
import {
  type Engine,
  EngineClosedError,
  QueueFullError,
  UnreadAnswerError,
} from "../../../services/gateway/engine/answers.ts";
import { startScoring } from "../../../services/trainer/model.ts";
import { layoutFor, scoreSequences } from "../../../services/trainer/scorer.ts";
import { adapterPart } from "../../../services/trainer/trained_part.ts";
import { InputError } from "../../../shared/errors.ts";
import { readAdapter, writeAdapter } from "../../../shared/runtime/adapter.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { findModel, openModel } from "../../../shared/runtime/open_model.ts";
import { WorkerFailure, WorkerPool } from "../../../workers/pool.ts";
import { withFolder } from "../../commands/run_task.ts";
import { FIXTURES, sharedTest } from "../../feedback/shared_files.ts";
import { answerAll, greedy, read, request, withEngine } from "./engines.ts";

const never = new AbortController().signal;
const dying = new URL("./dying_worker.ts", import.meta.url);
const sampled = (seed: number) => ({ ...greedy, temperature: 1, seed });

/** What transformers.js generates greedily, without its end token. */
async function generated(folder: string, promptIds: number[], maxTokens: number, stopIds: number[]) {
  const model = await AutoModelForCausalLM.from_pretrained(folder, {
    dtype: "fp32",
    device: "cpu",
    local_files_only: true,
    session_options: { intraOpNumThreads: 1, logSeverityLevel: 3 },
  });
  const int64 = (values: number[]) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const output = await model.generate({
    inputs: int64(promptIds),
    attention_mask: int64(promptIds.map(() => 1)),
    max_new_tokens: maxTokens,
    do_sample: false,
    eos_token_id: stopIds,
  } as never) as Tensor;
  await model.dispose();
  const ids = Array.from(output.data as BigInt64Array, Number).slice(promptIds.length);
  return stopIds.includes(ids.at(-1)!) ? ids.slice(0, -1) : ids;
}

/** The log-probs that `deno task score` gives for a completion, under an adapter where one is named. */
async function scored(folder: string, adapter: string | undefined, promptIds: number[], completionIds: number[]) {
  const model = openModel(await findModel(folder, "fp32", silent), "fp32");
  const pool = await WorkerPool.start(1, fail);
  try {
    const part = adapter === undefined ? undefined : await adapterPart(adapter, model);
    const { compiled } = await startScoring(model, part, pool, "cpu");
    const [logProbs] = await scoreSequences(
      pool,
      [{ promptIds, completionIds }],
      layoutFor(compiled, "cpu", undefined),
      "policy",
      0,
    );
    return [...logProbs!];
  } finally {
    await pool.stop();
  }
}

const close = (a: number, b: number, tolerance = 1e-4) => Math.abs(a - b) <= tolerance;

Deno.test("the embedded model's greedy answers are transformers.js' own, side by side, and its log-probs the scorer's", async () => {
  await withEngine({ workers: 2 }, async (engine) => {
    const { tokenizer } = engine;
    const questions = ["What is the opposite of hot?", "Hi!", "Count from one to five.", "What sound does a cow make?"];
    const prompts = questions.map((content) =>
      tokenizer.encodeChat([{ role: "user", content }], { addGenerationPrompt: true })
    );
    const answers = await answerAll(engine, prompts.map((ids) => request(ids, { maxTokens: 40, topLogProbs: 3 })));
    for (const [i, { text, pieces, logProb, completionTokens, finishReason }] of answers.entries()) {
      const ids = await generated(embeddedModelFolder, prompts[i]!, 40, tokenizer.eosTokenIds);
      assertStrictEquals(text, tokenizer.decode(ids, { skipSpecialTokens: true }), questions[i]!);
      assertEquals(completionTokens, ids.length);
      assertStrictEquals(finishReason, ids.length === 40 ? "length" : "stop");
      const expected = await scored(embeddedModelFolder, undefined, prompts[i]!, ids);
      const tokens = pieces.flatMap(({ tokens }) => tokens);
      assertEquals(tokens.length, ids.length);
      for (const [t, token] of tokens.entries()) {
        assert(close(token.logProb, expected[t]!), `token ${t}: ${token.logProb}, the scorer has ${expected[t]}`);
        assertEquals(token.top.length, 3);
        assertStrictEquals(token.top[0]!.logProb, token.logProb, "a greedy token is the likeliest");
        assert(token.top[0]!.logProb >= token.top[1]!.logProb && token.top[1]!.logProb >= token.top[2]!.logProb);
      }
      assert(close(logProb, expected.reduce((sum, each) => sum + each, 0), 1e-3));
    }
  });
});

for (const name of FIXTURES) {
  sharedTest(
    `fixtures/${name}`,
    `${name}: greedy answers are transformers.js' for the base and PEFT's for the adapter, log-probs the scorer's`,
    async (folder) => {
      const { greedy: golden } = JSON.parse(await Deno.readTextFile(`${folder}/golden.json`));
      const { prompt_ids: promptIds, max_new_tokens: maxTokens } = golden;
      await withEngine({ model: folder }, async (engine) => {
        await setAdapter(engine, "tuned", `${folder}/adapter`);
        const ids = await generated(folder, promptIds, 24, engine.tokenizer.eosTokenIds);
        const asked = { maxTokens, topLogProbs: 0 };
        const [base, short, tuned] = await answerAll(engine, [
          request(promptIds, { maxTokens: 24 }),
          request(promptIds, asked),
          request(promptIds, { ...asked, adapter: "tuned" }),
        ]);
        const text = (ids: number[]) => engine.tokenizer.decode(ids, { skipSpecialTokens: true });
        assertStrictEquals(base!.text, text(ids));
        assertStrictEquals(short!.text, text(golden.base));
        assertStrictEquals(tuned!.text, text(golden.lora));
        const expected = {
          base: await scored(folder, undefined, promptIds, golden.base),
          tuned: await scored(folder, `${folder}/adapter`, promptIds, golden.lora),
        };
        for (const [answer, logProbs] of [[short!, expected.base], [tuned!, expected.tuned]] as const) {
          const tokens = answer.pieces.flatMap(({ tokens }) => tokens);
          assertEquals(tokens.length, logProbs.length);
          tokens.forEach((token, t) => assert(close(token.logProb, logProbs[t]!), `token ${t} of ${answer.text}`));
        }
      });
    },
  );
}

/** Loads whatever adapter is in a folder. */
async function setAdapter(engine: Engine, name: string, folder: string): Promise<void> {
  const { version } = await engine.checkAdapter(folder);
  await engine.setAdapter(name, folder, version);
}

/** The fixture's adapter and one that leads elsewhere. */
async function twoAdapters(folder: string, into: string): Promise<[string, string]> {
  const { config, tensors } = await readAdapter(`${folder}/adapter`);
  const turned = [...tensors].map(([name, { shape, data }]) =>
    [name, { shape, data: data.map((value) => name.includes("lora_B") ? -2 * value : value) }] as const
  );
  await writeAdapter(into, { config, tensors: new Map(turned) });
  return [`${folder}/adapter`, into];
}

for (const name of ["llama-genai", "llama-optimum"]) {
  sharedTest(
    `fixtures/${name}`,
    `${name}: an adapter swapped under 16 streams drops none and mixes none: each ends as it began`,
    async (folder) => {
      await withFolder(async (out) => {
        const [first, second] = await twoAdapters(folder, `${out}/second`);
        await withEngine({ model: folder, workers: 2 }, async (engine) => {
          const ask = (i: number) =>
            request([3 + i, 50, 7 * i + 9, 100 - i].slice(0, 1 + i % 4), {
              adapter: i % 4 === 3 ? undefined : "tuned",
              maxTokens: 20 + i,
              sampling: i % 2 === 0 ? greedy : sampled(i),
            });
          const alone = { first: [] as string[], second: [] as string[] };
          for (const [version, path] of [["first", first], ["second", second]] as const) {
            await setAdapter(engine, "tuned", path);
            for (let i = 0; i < 16; i++) alone[version].push((await answerAll(engine, [ask(i)]))[0]!.text);
          }
          assertNotEquals(alone.first, alone.second, "the adapters answer alike");
          const versionOf = new Map([[engine.adapters()[0]!.version, "second"]]);
          await setAdapter(engine, "tuned", first);
          versionOf.set(engine.adapters()[0]!.version, "first");
          assertEquals(versionOf.size, 2);

          const begin = (i: number) => {
            const { adapterVersion, answers } = engine.answer([ask(i)], never);
            return { i, version: adapterVersion && versionOf.get(adapterVersion), reading: read(answers[0]!) };
          };
          for (let round = 0; round < 4; round++) {
            const streams = [];
            for (let i = 0; i < 16; i++) {
              const under = i % 8 < 4 ? "first" : "second";
              if (i % 4 === 0) await setAdapter(engine, "tuned", under === "first" ? first : second);
              const stream = begin(i);
              assertStrictEquals(stream.version, ask(i).adapter && under);
              streams.push(stream);
            }
            for (const { i, version = "first", reading } of streams) {
              const { text, completionTokens } = await reading;
              assertStrictEquals(text, alone[version as "first" | "second"][i], `stream ${i} under ${version}`);
              assert(completionTokens > 0);
            }
          }
          assertStrictEquals(engine.state().active + engine.state().queued, 0);
        });
      });
    },
  );
}

sharedTest("fixtures/llama-genai", "adapters are listed by name and version, and asked for by name", async (folder) => {
  await withFolder(async (out) => {
    const [first, second] = await twoAdapters(folder, `${out}/second`);
    await withEngine({ model: folder }, async (engine) => {
      await setAdapter(engine, "a", first);
      await setAdapter(engine, "b", second);
      await setAdapter(engine, "c", first);
      const [a, b, c] = engine.adapters();
      assertEquals([a!.name, b!.name, c!.name], ["a", "b", "c"]);
      assertMatch(a!.version, /^[0-9a-f]{64}$/);
      assertStrictEquals(a!.version, c!.version);
      assertNotStrictEquals(a!.version, b!.version);
      const ask = (adapter: string | undefined) => answerAll(engine, [request([5, 6, 7], { adapter })]);
      const [[base], [one], [two]] = [await ask(undefined), await ask("a"), await ask("b")];
      assertEquals(new Set([base!.text, one!.text, two!.text]).size, 3);
      await engine.removeAdapter("a");
      assertThrows(
        () => engine.answer([request([5], { adapter: "a" })], never),
        Error,
        'no adapter "a" here; loaded are: b, c',
      );
      await assertRejects(() => engine.removeAdapter("a"), InputError);
      assertStrictEquals((await ask("c"))[0]!.text, one!.text, "a version went with one of its names");
      await assertRejects(() => setAdapter(engine, "d", `${out}/nothing`), InputError);
      await assertRejects(() => setAdapter(engine, "b", `${out}/nothing`), InputError);
      assertStrictEquals((await ask("b"))[0]!.text, two!.text, "a failed replacement took the adapter away");
    });
  });
});

Deno.test("the same seed gives the same answer whoever else is answered, and another seed another", async () => {
  await withEngine({}, async (engine) => {
    const ask = (seed: number) => request([5, 40, 300], { sampling: { ...sampled(seed), topP: 0.95 }, maxTokens: 30 });
    const [alone] = await answerAll(engine, [ask(7)]);
    const others = Array.from({ length: 9 }, (_, i) => ({ ...ask(100 + i), promptIds: [i + 3, 9].slice(i % 2) }));
    const together = await answerAll(engine, [...others.slice(0, 5), ask(7), ...others.slice(5), ask(8), ask(7)]);
    assertStrictEquals(together[5]!.text, alone!.text);
    assertStrictEquals(together.at(-1)!.text, alone!.text);
    assertNotStrictEquals(together[10]!.text, alone!.text, "the seed changes nothing");
  });
});

Deno.test("a client that hangs up frees its place at once, and its answer ends with the signal's reason", async () => {
  await withEngine({ queue: 0 }, async (engine) => {
    const { capacity } = engine.state(), hangUp = new AbortController();
    const long = request([5, 40], {
      maxTokens: 400,
      sampling: { ...greedy, logitBias: new Map([[2, -100], [0, -100]]) },
    });
    const { answers } = engine.answer(Array(capacity).fill(long), hangUp.signal);
    await Promise.all(answers.map((each) => each.next()));
    assertEquals(engine.state().active, capacity);
    assertThrows(() => engine.answer([long], never), QueueFullError);
    hangUp.abort(new Error("gone"));
    assertStrictEquals(engine.state().active, 0);
    for (const each of answers) await assertRejects(() => each.next(), Error, "gone");
    const [next] = await answerAll(engine, [{ ...long, maxTokens: 5 }]);
    assertEquals(next!.completionTokens, 5);
    assertEquals(next!.finishReason, "length");
    assertThrows(() => engine.answer([long], AbortSignal.abort(new Error("before"))), Error, "before");

    const [given] = engine.answer([long], never).answers;
    await given!.next();
    await given!.return({ finishReason: "stop", completionTokens: 0, logProb: 0 });
    assertStrictEquals(engine.state().active, 0, "an answer that was given up keeps its place");
  });
});

Deno.test("a full queue refuses all of a request before anything is computed, and says when to come again", async () => {
  await withEngine({ queue: 3 }, async (engine) => {
    const { capacity } = engine.state(), ask = request([5, 40], { maxTokens: 20 });
    const { answers } = engine.answer(Array(capacity + 2).fill(ask), never);
    assertEquals(engine.state().queued, 2);
    const error = assertThrows(() => engine.answer([ask, ask], never), QueueFullError);
    assert(error.retryAfterSeconds >= 1);
    assert(error.retryAfterSeconds <= 60);
    assertStrictEquals(engine.state().active + engine.state().queued, capacity + 2);
    const last = engine.answer([ask], never).answers;
    const texts = (await Promise.all([...answers, ...last].map(read))).map(({ text }) => text);
    assertEquals(new Set(texts).size, 1, "those that waited were answered otherwise");
  });
});

Deno.test("what cannot be answered is refused in words, and answers end where the context does", async () => {
  await withEngine({}, async (engine) => {
    const refuse = (promptIds: number[], maxTokens = 5) =>
      assertThrows(() => engine.answer([request(promptIds, { maxTokens })], never), InputError);
    refuse([]);
    refuse([5, 1_000_000]);
    refuse([5], 0);
    refuse(Array(engine.contextLength).fill(5));
    const logitBias = new Map(engine.tokenizer.eosTokenIds.map((id) => [id, -100]));
    const ask = request(Array(engine.contextLength - 3).fill(5), { maxTokens: 50, sampling: { ...greedy, logitBias } });
    const [answer] = await answerAll(engine, [ask]);
    assertEquals([answer!.completionTokens, answer!.finishReason], [3, "length"]);
  });
});

Deno.test("closing refuses new answers and waits for those under way", async () => {
  await withEngine({}, async (engine) => {
    const reading = answerAll(engine, [request([5, 40], { maxTokens: 60 })]);
    const closing = engine.close(10_000);
    assertThrows(() => engine.answer([request([5])], never), EngineClosedError);
    await closing;
    assert((await reading)[0]!.completionTokens > 0);
  });
});

Deno.test("what a dead worker held is answered by a fresh one where nothing was given out", async () => {
  let expected = "";
  await withEngine(
    {},
    async (engine) => void (expected = (await answerAll(engine, [request([5, 40], { maxTokens: 13 })]))[0]!.text),
  );
  await withEngine({ url: dying }, async (engine, warnings) => {
    const [answer] = await answerAll(engine, [request([5, 40], { maxTokens: 13 })]);
    assertStrictEquals(answer!.text, expected);
    assertEquals(warnings.map((each) => each.replace(/\(.*\)/, "()")), [
      "worker 1 failed (); a fresh worker takes its place.",
    ]);
    assertMatch(warnings[0]!, /died of an admission/);
  });
});

sharedTest(
  "fixtures/llama-genai",
  "an answer that was begun ends with an error that names its dead worker, and the fresh one has all adapters",
  async (folder) => {
    await withEngine({ model: folder, url: dying }, async (engine, warnings) => {
      await setAdapter(engine, "tuned", `${folder}/adapter`);
      const ask = request([5, 40], { adapter: "tuned" });
      const [expected] = await answerAll(engine, [ask]);
      const hangUp = new AbortController(), long = { ...ask, maxTokens: 200 };
      const [first] = engine.answer([long], hangUp.signal).answers, [second] = engine.answer([long], never).answers;
      await Promise.all([first!.next(), second!.next()]);
      hangUp.abort();
      assertMatch(
        (await assertRejects(() => read(second!), WorkerFailure)).message,
        /worker 1 failed \(.*died of a drop.*\) while it answered/,
      );
      assertStrictEquals((await answerAll(engine, [ask]))[0]!.text, expected!.text);
      assertEquals(warnings.length, 1);
    });
  },
);

Deno.test("an answer that nobody reads is given up once thousands of pieces wait, and takes little until then", async () => {
  await withEngine({ url: new URL("./talkative_worker.ts", import.meta.url) }, async (engine) => {
    const promptIds = engine.tokenizer.encode("the opposite of hot"),
      asked = request(promptIds, { topLogProbs: 20, maxTokens: 400 });
    const { answers } = engine.answer([asked, asked, asked, asked], new AbortController().signal);
    while (engine.state().active > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    let pieces = 0;
    await assertRejects(async () => {
      for await (const { tokens } of { [Symbol.asyncIterator]: () => answers[0]! }) {
        assertEquals(tokens[0]?.top.length, 20);
        pieces++;
      }
    }, UnreadAnswerError);
    assert(pieces > 1000 && pieces < 10_000, `${pieces}`);
    await Promise.all(answers.slice(1).map((answer) => answer.return(undefined as never)));
  });
});
