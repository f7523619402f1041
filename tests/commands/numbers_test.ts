// Numbers on the command line that an option cannot take: exit code 2 and one sentence, by every command.

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { runTask } from "./run_task.ts";

/** Every numeric option of every command, with values that it cannot take. */
const numbers: Record<string, Record<string, (string | number)[]>> = {
  score: {
    "--workers": [0, -1, 1.5, "NaN", 257],
    "--tokens-per-micro-batch": [0, -5, "Infinity"],
    "--max-length": [0, -1, "long"],
  },
  evaluate: { "--beta": [0, -0.1, "NaN", "Infinity", ""], "--seed": [-1, 0.5, 2 ** 31, "NaN"], "--workers": [0] },
  generate: {
    "--temperature": [-0.1, "NaN", "hot"],
    "--max-new-tokens": [0, -3, 2.5, "NaN"],
    "--seed": [-1, 0.5, "NaN"],
  },
  pretrain: {
    "--steps": [0, 1.5],
    "--batch-size": [0, -1],
    "--learning-rate": [0, -1, "NaN"],
    "--feedback-rows": [0],
    "--workers": [0, 300],
    "--seed": [-1, "NaN"],
  },
  bench: { "--batch-size": [1, 2.5], "--tokens": [-1], "--steps": [0], "--warmup-steps": [-1], "--workers": [0] },
  train: {
    "--beta": [0, -1, "NaN"],
    "--desirable-weight": [0, -1],
    "--undesirable-weight": [-1, "heavy"],
    "--learning-rate": [0, -1, "NaN"],
    "--warmup-ratio": [-0.1, 1.1],
    "--weight-decay": [-1],
    "--max-grad-norm": [-1],
    "--epochs": [0, 1.5],
    "--max-steps": [0],
    "--batch-size": [-1],
    "--tokens-per-micro-batch": [0],
    "--max-length": [1],
    "--lora-rank": [0, 1.5],
    "--lora-alpha": [0, -1],
    "--held-out": [-0.1, 0.95],
    "--early-stop": [-1],
    "--workers": [0, 257],
    "--seed": [-1, 0.5],
  },
};

Deno.test("a number that an option cannot take is refused in one sentence that names the option", async () => {
  const cases = Object.entries(numbers).flatMap(([task, flags]) =>
    Object.entries(flags).flatMap(([flag, values]) => values.map((value) => ({ task, flag, value })))
  );
  const serve = async () => {
    for (let next = cases.shift(); next; next = cases.shift()) {
      const { task, flag, value } = next;
      const args = task === "bench" ? ["train", flag, value] : [flag, value];
      const { code, stderr } = await runTask(task, args, { cache: "none" });
      const said = `${task} ${flag} ${value}: exit ${code}, ${stderr}`;
      assertEquals(code, 2, said);
      assertMatch(stderr, new RegExp(flag), said);
      assertNotMatch(stderr, /expected|Invalid input|Too (small|big)|null/, said);
      assertEquals(stderr.trim().split("\n").length, 1, said);
    }
  };
  await Promise.all([serve(), serve()]);
});
