// docs/MODELS.md out of the survey's cells: one row per ONNX file, a tick with the measured error, a number for a
// refusal whose sentence stands below the table, or `untested`. Pure text; it measures nothing.

import { type Cell, holds, limits, type Stage } from "./cell.ts";

/** Families that Prospect means to take, by `model_type`, and models of theirs. */
export const FAMILIES: Record<string, string> = {
  llama: "SmolLM2, Llama 3.2",
  qwen2: "Qwen 2.5",
  qwen3: "Qwen 3",
  gemma3_text: "Gemma 3",
  phi3: "Phi 3",
  gpt2: "GPT-2",
};

const devices = { cpu: "CPU", webgpu: "WebGPU" } as const;

/** 0.0000123 as `1.2e-5`. */
const short = (value: number) => value === 0 ? "0" : value.toExponential(1);

/** Footnotes in the order of their first use; equal sentences share one. */
class Notes {
  readonly sentences: string[] = [];
  number(sentence: string): string {
    if (!this.sentences.includes(sentence)) this.sentences.push(sentence);
    return `[${this.sentences.indexOf(sentence) + 1}]`;
  }
}

function show(stage: Stage | undefined, suspect: string | undefined, limit: number, notes: Notes): string {
  if (stage === undefined) return "untested";
  if (stage.kind === "untested") return `untested ${notes.number(stage.sentence)}`;
  if (stage.kind === "refused") return `refused ${notes.number(stage.sentence)}`;
  if (stage.kind === "broken") return `✗ broken ${notes.number(stage.sentence)}`;
  const { error, loss } = stage;
  const numbers = [
    ...(error === null ? [] : [short(error)]),
    ...(loss === undefined ? [] : [`loss ${loss.before.toFixed(3)} → ${loss.after.toFixed(3)}`]),
  ];
  if (holds(stage, limit)) return `✓ ${numbers.join(", ")}`;
  return `✗ ${numbers.join(", ")}${suspect === undefined ? "" : ` ${notes.number(suspect)}`}`;
}

/** A sentence in one line, without the path of the file that it is about, and without the machine's folders. */
export function tidy(sentence: string, path: string, fixtures: readonly string[]): string {
  const roots = [...fixtures].sort((a, b) => b.length - a.length).map((root) => root.replace(/\/*$/, "/"));
  const bare = [`${path}: `, ...roots].reduce((text, part) => text.replaceAll(part, ""), sentence);
  return bare.replace(/\s+/g, " ").trim();
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The whole page. The order of the cells does not matter. */
export function renderModels(cells: readonly Cell[]): string {
  const notes = new Notes();
  const files = [...new Map(cells.map((cell) => [`${cell.model}/${cell.file}`, cell])).entries()]
    .sort(([a], [b]) => a < b ? -1 : 1);
  const lines = files.map(([key, { model, family, exporter, file, dtype }]) => {
    const stages = Object.keys(devices).flatMap((device) => {
      const cell = cells.find((each) => `${each.model}/${each.file}` === key && each.device === device);
      const most = limits({ dtype, device: device as Cell["device"] });
      return [
        show(cell?.scoring, cell?.suspect, most.scoring, notes),
        show(cell?.training, cell?.suspect, most.gradients, notes),
      ];
    });
    return row([family, exporter, `${model}/${file}`, dtype, ...stages]);
  });
  const missing = Object.entries(FAMILIES).filter(([family]) => !cells.some((cell) => cell.family === family));
  for (const [family, names] of missing) {
    lines.push(
      row([
        family,
        "any",
        `none here (${names})`,
        "any",
        ...Object.keys(devices).flatMap(() => ["untested", "untested"]),
      ]),
    );
  }
  const head = [
    "family",
    "exporter",
    "file",
    "dtype",
    ...Object.values(devices).flatMap((device) => [`${device}: log-probs`, `${device}: step`]),
  ];
  const dates = [...new Set(cells.map(({ date }) => date))].sort();
  return `# Models

Written by \`deno task models\` from what it ran${
    dates.length === 0
      ? "; it has run nothing yet"
      : `, ${dates[0] === dates.at(-1) ? "on" : "from"} ${[...new Set([dates[0], dates.at(-1)])].join(" to ")}`
  }. Do not edit: run it again. How to teach the compiler another
operator is in [OPERATORS.md](OPERATORS.md).

- **log-probs**: the largest relative difference of a row's summed log-probs from the oracle: TRL's (fp32) or stock ONNX
  Runtime's on the same file (the other precisions). On WebGPU only the first four rows are scored.
- **step**: a KTO step with LoRA on every linear layer. The number is the largest difference of a gradient from TRL's,
  relative to its tensor's largest element, where TRL's are known; the losses are before and after a small step down.
- ✓ is within the limit of its precision and device (services/trainer/survey/cell.ts) with a falling loss; ✗ is not,
  and the sentence behind it names the operator that the device computes otherwise than the CPU.
  \`refused\` is a sentence that says what would work; \`untested\` was not run.

${row(head)}
${row(head.map(() => "---"))}
${lines.join("\n")}
${
    notes.sentences.length === 0
      ? ""
      : `\n${notes.sentences.map((sentence, i) => `${i + 1}. ${sentence}`).join("\n")}\n`
  }`;
}
