// `deno task demo`: the whole loop on the embedded model with a simulated crowd.

import { join, resolve } from "node:path";
import { runDemo } from "../services/demo/demo.ts";
import { table } from "../services/trainer/bench/tables.ts";
import { createReporter } from "../shared/progress.ts";
import { runCommand, untilStopped } from "./command.ts";
import { program } from "./commands/demo.ts";

const percent = (rate: number) => `${(100 * rate).toFixed(1)}%`;

program.action(async ({ out, questions, exam, seed, keep, json }) => {
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
