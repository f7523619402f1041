// `deno task demo`: the whole loop on the embedded model with a simulated crowd.

import { join, resolve } from "node:path";
import { type DemoResult, runDemo } from "../services/demo/demo.ts";
import { table } from "../services/trainer/bench/tables.ts";
import { createReporter } from "../shared/progress.ts";
import { runCommand, untilStopped } from "./command.ts";
import { program } from "./commands/demo.ts";

const percent = (rate: number) => `${(100 * rate).toFixed(1)}%`;

program.action(async ({ out, questions, exam, seed, keep, json }) => {
  const reporter = createReporter({ json });
  await Deno.remove(join(out, "data"), { recursive: true }).catch(() => {});
  const settings = { out, asked: questions, measured: exam, seed };
  await runDemo(settings, reporter, async (result, address) => {
    for (const line of linesOf(result)) reporter.line(line);
    reporter.line(`${Math.round(result.seconds)} s in all. Open ${resolve(out, "demo.html")}`);
    if (keep) reporter.line(`The server runs on: open ${address} to look around; Ctrl-C ends it.`);
    if (json) console.log(JSON.stringify(result));
    if (keep) await untilStopped();
  });
});

function linesOf({ before, after, gate }: DemoResult): string[] {
  const auc = gate.auc
    ? `${gate.auc.value.toFixed(3)} (${gate.auc.low.toFixed(3)} to ${gate.auc.high.toFixed(3)})`
    : "";
  return table(["", "before", "after"], [
    ["desirable answers", percent(before), percent(after)],
    ["held-out AUC", "0.500", auc],
    ["gate", "", gate.passed ? "passed" : "not passed"],
  ]);
}

await runCommand(program);
