// `deno task demo`: the whole loop on the embedded model with a simulated crowd.

import { join, resolve } from "node:path";
import { runDemo } from "../services/demo/demo.ts";
import { table } from "../services/trainer/bench/tables.ts";
import { createReporter } from "../shared/progress.ts";
import { command, count, runCommand, seed, untilStopped } from "./command.ts";

const percent = (rate: number) => `${(100 * rate).toFixed(1)}%`;

const program = command(
  "demo",
  `The whole loop over HTTP on the embedded model: it answers, a simulated crowd presses thumbs (some by mistake), a job
trains, the gate decides, the tuned model is promoted and asked again. Takes about a minute.`,
)
  .option("--out <folder>", "where the server keeps its data and the page is written", "runs/demo")
  .option("--questions <n>", "questions that the crowd asks and judges", count, 2400)
  .option("--exam <n>", "questions asked before and after, which nobody was trained on", count, 300)
  .option("--seed <n>", "of the crowd and the training", seed, 1)
  .option("--keep", "leave the server running at the end, to look around in the console")
  .option("--json", "events as JSON lines on stdout; the last line is the result")
  .action(async ({ out, questions, exam, seed, keep, json }) => {
    const reporter = createReporter({ json });
    await Deno.remove(join(out, "data"), { recursive: true }).catch(() => {});
    const settings = { out, asked: questions, measured: exam, seed };
    const result = await runDemo(settings, reporter, async (address) => {
      if (!keep) return;
      reporter.line(`Open ${address} to look around; Ctrl-C ends it.`);
      await untilStopped();
    });
    const { before, after, gate, seconds } = result;
    const auc = gate.auc
      ? `${gate.auc.value.toFixed(3)} (${gate.auc.low.toFixed(3)} to ${gate.auc.high.toFixed(3)})`
      : "";
    const rows = [
      ["desirable answers", percent(before), percent(after)],
      ["held-out AUC", "0.500", auc],
      ["gate", "", gate.passed ? "passed" : "not passed"],
    ];
    for (const line of table(["", "before", "after"], rows)) reporter.line(line);
    reporter.line(`${Math.round(seconds)} s in all. Open ${resolve(out, "demo.html")}`);
    if (json) console.log(JSON.stringify(result));
  });

await runCommand(program);
