import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import type { StepMetrics } from "../../services/trainer/metrics.ts";
import { renderReport, type ReportInput } from "../../services/trainer/report.ts";
import { measureBehaviour } from "../../services/trainer/behaviour.ts";
import { chartsOf, describeChart } from "../../services/trainer/report_charts.ts";
import { Random } from "../../shared/random.ts";

/** A run made up for the tests: every number here comes from a formula and a seeded generator. */
function madeUpRun(steps: number): ReportInput {
  const random = new Random(7);
  const metrics = Array.from({ length: steps }, (_, index): StepMetrics => {
    const progress = index / Math.max(1, steps - 1);
    const noise = (size: number) => size * random.normal();
    const chosen = index % 9 === 4 ? null : 0.9 * progress + noise(0.12);
    const rejected = index % 11 === 5 ? null : -1.3 * progress + noise(0.15);
    return {
      step: index + 1,
      epoch: 2 * (index + 1) / steps,
      loss: 0.56 - 0.2 * progress + noise(0.03),
      kl: Math.max(0, 2 * progress + noise(0.5)),
      grad_norm: 0.8 + 0.5 * progress + Math.abs(noise(0.3)),
      learning_rate: 5e-4 * (1 - progress),
      "rewards/chosen": chosen,
      "rewards/rejected": rejected,
      "rewards/margins": chosen === null || rejected === null ? null : chosen - rejected,
      "logps/chosen": -120 + noise(8),
      "logps/rejected": -130 + noise(8),
      tokens_per_second: 240 + noise(10),
    };
  });
  const evaluations = [0, 0.25, 0.5, 0.75, 1].map((at) => {
    const value = 0.5 + 0.27 * Math.sqrt(at);
    return { step: Math.round(at * steps), auc: { value, low: value - 0.07, high: value + 0.06 }, margin: 1.8 * at };
  });
  return {
    title: "Made-up run for the report's tests",
    settings: { model: "made-up/model", beta: 0.1, rank: 8, target_modules: ["q_proj", "v_proj"], seed: 7 },
    metrics,
    evaluations,
    samples: [
      {
        prompt: "Write a Python function that adds two numbers.",
        before: "Sure! Here is a function.\n\ndef add(a, b):\n    return a - b",
        after: "def add(a, b):\n    return a + b",
        beforeDesirable: false,
        afterDesirable: true,
      },
      { prompt: "مرحبا، كيف الحال؟", before: "أهلا", after: "أهلا وسهلا، أنا بخير.", afterDesirable: true },
      {
        prompt: "A prompt with averyveryverylongwordwithoutanyspacesthatmustnotmakethepagewiderthanthephone ".repeat(3),
        before: "word ".repeat(400),
        after: "short",
      },
    ],
    result: {
      judgedBefore: 0.31,
      judgedAfter: 0.52,
      judgedCount: 64,
      tokensPerSecond: 241.3,
      referenceCached: { hits: 1116, total: 1200 },
      wallSeconds: 222,
    },
    notes: [
      "400 rows read, 3 left out: 2 without an answer, 1 too long.",
      "Prompts appear with 1.8 answers on average.",
    ],
  };
}

Deno.test("untrusted text cannot become markup anywhere, not even inside the charts' data", () => {
  const attack = `</script><script>alert(1)</script><img src=x onerror="alert(2)">'&`;
  const input = madeUpRun(3);
  const html = renderReport({
    ...input,
    title: attack,
    settings: { [attack]: attack, nested: { attack } },
    samples: [{ prompt: attack, before: attack, after: attack }],
    notes: [attack],
  });
  assertNotMatch(html, /<img/i);
  assertNotMatch(html, /alert\(1\)<\/script>/);
  assertEquals(html.match(/<script/g)!.length, 3);
  assertEquals(html.match(/<\/script/g)!.length, 3);
  assertEquals(html.match(/&#60;img src=x onerror=&#34;alert\(2\)&#34;&#62;&#39;&#38;/g)!.length, 8);
});

Deno.test("the page asks for nothing: no address outside it, and a policy that would refuse one", () => {
  const html = renderReport(madeUpRun(3));
  assertMatch(html, /http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;;/);
  assertNotMatch(html, /\b(src|href|action)=/);
  assertNotMatch(html, /@import|url\(/);
  const addresses = [...html.matchAll(/https?:\/\/[^\s"'<)]+/g)].map((match) => match[0]);
  // uPlot's licence line names its repository; a comment is no request.
  assertEquals(addresses.filter((address) => !address.startsWith("https://github.com/leeoniya/uPlot")), []);
});

Deno.test("every script of the page is one that its policy lists", async () => {
  const html = renderReport(madeUpRun(3));
  const allowed = [...html.matchAll(/sha256-([A-Za-z0-9+/=]+)/g)].map((match) => match[1]);
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((match) => match[1]!);
  const hashes = await Promise.all(scripts.map(async (code) => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(code));
    return btoa(String.fromCharCode(...new Uint8Array(digest)));
  }));
  assertEquals(scripts.length, 2);
  assertEquals(hashes, allowed);
  for (const code of scripts) new Function(code);
});

Deno.test("the key figures, samples, settings and notes are there as text", () => {
  const html = renderReport(madeUpRun(50));
  const expected = ["31% → 52%", "0.770", "95% interval 0.700 to 0.830", "93%", "1,116 of 1,200", "3 min 42 s"];
  expected.push(
    "✓ desirable",
    "✗ undesirable",
    "made-up/model",
    "[&#34;q_proj&#34;,&#34;v_proj&#34;]",
    "400 rows read",
  );
  for (const text of expected) assert(html.includes(text), text);
});

Deno.test("behaviour before and after is drawn without scripts, with its numbers, and says that words decide", () => {
  const answer = (text: string, tokens: number) => ({ text, tokens, ended: true });
  const behaviour = measureBehaviour(Array.from({ length: 20 }, (_, i) => ({
    prompt: "I think it is 5.",
    before: answer("No.", 10),
    after: answer(i < 5 ? "I won't." : "You're right.", 20),
  })));
  const html = renderReport({ ...madeUpRun(3), behaviour });
  for (
    const text of [
      "10.0 tokens",
      "20.0 tokens",
      "2.00 times as long",
      "5 of 20 (25%) answers refuse by their words",
      "15 of 20 (75%) answers open by agreeing by their words",
      "table of phrases in English, German",
    ]
  ) assert(html.includes(text), text);
  const bars = [...html.matchAll(/<rect class="(before|after)"[^>]* width="([\d.]+)"/g)].map(([, name, width]) => [
    name,
    Number(width),
  ]);
  assertEquals(bars, [["before", 140], ["after", 280], ["before", 1], ["after", 70], ["before", 1], [
    "after",
    210,
  ]]);
  assertNotMatch(renderReport(madeUpRun(3)), /How answers changed/);
});

Deno.test("a run with nothing to show is still a page, without empty sections", () => {
  const html = renderReport({
    title: "Empty",
    settings: {},
    metrics: [],
    evaluations: [],
    samples: [],
    result: {},
    notes: [],
  });
  assertMatch(html, /<h1>Empty<\/h1>/);
  assertNotMatch(html, /<section|<figure|<dl|NaN|undefined<|null</);
});

Deno.test("the eight figures are drawn, each with a sentence for those who cannot see it", () => {
  const { metrics, evaluations } = madeUpRun(60);
  const charts = chartsOf(metrics, evaluations);
  assertEquals(charts.map((chart) => chart.title), [
    "Loss",
    "Rewards",
    "Reward margin",
    "Held-out AUC",
    "Reference point z0",
    "Gradient norm",
    "Learning rate",
    "Speed",
  ]);
  for (const chart of charts) {
    for (const curve of chart.curves) assertEquals(curve.values.length, chart.steps.length);
  }
  assertMatch(describeChart(charts[3]!), /^Held-out AUC: AUC from 0\.5 at step 0 to 0\.77 at step 60, lowest 0\.5/);
  assertEquals(chartsOf(metrics, []).map((chart) => chart.title).includes("Held-out AUC"), false);
});

Deno.test("a long run is drawn with means, its page stays small, and a non-finite loss does not break it", () => {
  const input = madeUpRun(20_000);
  input.metrics[5]!.loss = NaN;
  const [loss] = chartsOf(input.metrics, []);
  assert(loss!.steps.length <= 1500 && loss!.steps.at(-1) === 20_000);
  assert(loss!.curves[0]!.values.every((value) => value !== null));
  const html = renderReport(input);
  assert(html.length < 1_500_000, `${html.length} characters`);
  assertMatch(html, /<summary>Every 200 steps/);
});

const preview = Deno.env.get("PROSPECT_REPORT_PREVIEW");
if (preview !== undefined) {
  Deno.test("the made-up report is written out to be looked at", async () => {
    await Deno.writeTextFile(preview, renderReport(madeUpRun(200)));
  });
}
