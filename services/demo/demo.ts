// The whole loop over real HTTP: a model answers, a crowd judges, a job trains, the gate decides, promotion, and the same
// questions again. It uses the server as any client would.

import { join } from "node:path";
import { writeFileAtomic } from "../../shared/atomic_file.ts";
import type { Reporter } from "../../shared/progress.ts";
import type { StepMetrics } from "../trainer/metrics.ts";
import type { GateResult } from "../../shared/store/registry.ts";
import { type Client, connect } from "./client.ts";
import { examine, noise, pressThumbs, questionsFor } from "./crowd.ts";
import { renderReport } from "../trainer/report.ts";
import { startServer } from "./server.ts";

export interface DemoSettings {
  /** Where the server keeps its data and the page is written. */
  out: string;
  /** Questions that the crowd asks. */
  asked: number;
  /** Questions of the exam. */
  measured: number;
  seed: number;
}

export interface DemoResult {
  /** Shares of the exam's answers that are desirable. */
  before: number;
  after: number;
  gate: GateResult;
  seconds: number;
}

interface Job {
  id: string;
  status: string;
  fine_tuned_model: string | null;
  error: { message: string } | null;
  gate: GateResult | null;
  result_files: string[];
  progress: { label: string; done: number; total: number; unit: string } | null;
}

/** How often the job is looked at, in milliseconds. */
const interval = 500;

/** The job's log of steps, as its results hold it. */
async function metricsOf(client: Client, { result_files }: Job): Promise<StepMetrics[]> {
  for (const id of result_files) {
    const { filename } = await client.call<{ filename: string }>("GET", `/v1/files/${id}`);
    if (!filename.endsWith("metrics.jsonl")) continue;
    const lines = (await client.read(`/v1/files/${id}/content`)).split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line));
  }
  throw new Error("the job left no metrics.jsonl");
}

/** Runs the demo. @param told of the result while the server still runs; it ends once that resolves */
export async function runDemo(
  settings: DemoSettings,
  reporter: Reporter,
  told: (result: DemoResult, address: string) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const { out, asked, measured, seed } = settings;
  const { crowd, exam } = questionsFor(seed, asked, measured);
  const server = await startServer(join(out, "data"));
  try {
    const client = connect(server.address);
    reporter.line(`Gateway, trainer and console are on ${server.address}.`);
    const counted = async <Result>(
      label: string,
      total: number,
      work: (progress: ReturnType<Reporter["progress"]>) => Promise<Result>,
    ) => {
      const progress = reporter.progress({ label, total, unit: "questions" });
      try {
        return await work(progress);
      } finally {
        progress.done();
      }
    };
    const before = await counted("before", exam.length, (progress) => examine(client, exam, progress));
    const thumbs = await counted("crowd", crowd.length, (progress) => pressThumbs(client, crowd, seed, progress));
    reporter.line(
      `${thumbs.labels} thumbs, ${thumbs.desirable} of them up; one in ${
        Math.round(1 / noise)
      } was pressed by mistake.`,
    );
    let job = await client.call<Job>("POST", "/v1/fine_tuning/jobs", {
      training_file: "labels",
      model: "base",
      seed,
      suffix: "crowd",
      method: { type: "kto" },
    });
    let shown = "";
    while (job.status === "queued" || job.status === "running") {
      await new Promise((resolve) => setTimeout(resolve, interval));
      job = await client.call<Job>("GET", `/v1/fine_tuning/jobs/${job.id}`);
      const label = job.progress?.label ?? "";
      if (label !== "" && label !== shown) reporter.line(`Training: ${label}.`);
      shown = label;
    }
    if (job.status !== "succeeded" || !job.gate) throw new Error(`the job ${job.status}: ${job.error?.message ?? ""}`);
    for (const { passed, message } of job.gate.findings) reporter.line(`Gate ${passed ? "✓" : "✗"} ${message}`);
    // The gate's verdict counts here too: a candidate that does not pass is not promoted.
    if (job.gate.passed) await client.call("POST", "/v1/registry/promote", { model: job.fine_tuned_model });
    const after = await counted("after", exam.length, (progress) => examine(client, exam, progress));
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    const result = { before: before.rate, after: after.rate, gate: job.gate, seconds };
    const page = renderReport({
      title: "A crowd tunes the embedded world",
      settings: { questions: asked, mistaken_thumbs: noise, seed },
      metrics: await metricsOf(client, job),
      evaluations: [],
      samples: before.answers.slice(0, 24).map(({ question, answer, desirable }, i) => ({
        prompt: question,
        before: answer,
        beforeDesirable: desirable,
        after: after.answers[i]!.answer,
        afterDesirable: after.answers[i]!.desirable,
      })),
      result: {
        judgedBefore: before.rate,
        judgedAfter: after.rate,
        judgedCount: exam.length,
        heldOutAuc: job.gate.auc ?? undefined,
        wallSeconds: seconds,
      },
      notes: job.gate.findings.map(({ message }) => message),
    });
    await writeFileAtomic(join(out, "demo.html"), page);
    await told(result, server.address);
  } finally {
    await server.stop();
  }
}
