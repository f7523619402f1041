// `deno task evaluate`: how well an adapter's reward tells thumbs up from thumbs down.

import { evaluate } from "../services/trainer/evaluate.ts";
import { createReporter } from "../shared/progress.ts";
import { workersOn } from "../shared/runtime/session.ts";
import { device, runCommand } from "./command.ts";
import { program } from "./commands/evaluate.ts";

program.action(async (options) => {
  const json = options.json === true;
  // The one line on stdout is the result; progress would only be in its way.
  const reporter = createReporter({ json: false, out: json ? () => {} : console.log });
  const on = device(options.device), workers = workersOn(on, options.workers);
  const result = await evaluate({ ...options, device: on, workers }, reporter);
  if (json) return console.log(JSON.stringify(result));
  const { auc, margin, rewards, counts, desirable_rate: rate } = result;
  const show = (value: number | null) => value === null ? "none" : value.toFixed(4);
  console.log(`Rows: ${counts.desirable} desirable, ${counts.undesirable} undesirable.`);
  console.log(
    auc ? `AUC ${show(auc.value)}, 95% interval ${show(auc.low)} to ${show(auc.high)}.` : "AUC: needs both classes.",
  );
  console.log(`Reward: chosen ${show(rewards.chosen)}, rejected ${show(rewards.rejected)}, margin ${show(margin)}.`);
  if (rate) console.log(`Judged desirable on ${rate.prompts} unseen prompts: ${(100 * rate.value).toFixed(1)}%.`);
});

await runCommand(program);
