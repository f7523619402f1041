// `deno task evaluate`: how well an adapter's reward tells thumbs up from thumbs down.

import { evaluate } from "../services/trainer/evaluate.ts";
import { createReporter } from "../shared/progress.ts";
import { workersOn } from "../shared/runtime/session.ts";
import { command, device, positive, runCommand, scoringOptions, seed } from "./command.ts";

const program = scoringOptions(command(
  "evaluate",
  `Measures an adapter on feedback: AUC of the reward with a 95% interval, margin, class means and counts; for the
embedded model also the share of answers to unseen prompts that are judged desirable.`,
))
  .option("--adapter <folder>", "PEFT adapter; without one the base model is measured, whose rewards are 0")
  .option("--data <file>", "feedback file; default for the embedded model: the embedded one")
  .option("--beta <x>", "rewards are beta times the log-ratio", positive, 0.1)
  .option("--seed <n>", "of the sampled answers", seed, 0)
  .option("--json", "the result as one JSON object on stdout")
  .action(async (options) => {
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
