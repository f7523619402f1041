// Real exporters' files of families that no fixture shows, against the oracles' numbers, as `deno task models` measures
// them: log-probs, a step's gradients, and a loss that falls.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { holds, limits } from "../../services/trainer/survey/cell.ts";
import { type Finding, measureCell } from "../../services/trainer/survey/measure.ts";
import { subjects } from "../../services/trainer/survey/survey.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const files = subjects({ fixtures: [folder], devices: ["cpu"], only: "" });

Deno.test("every exporter's file is measured", () => {
  assertEquals(files.map((each) => `${basename(each.folder)}/${each.file}`), [
    "gemma2-genai/model_q4.onnx",
    "llama32-genai/model_q4.onnx",
    "llama32-genai/model_q4f16.onnx",
    "phi3-genai/model.onnx",
    "phi3-genai/model_q4f16.onnx",
    "qwen3-genai/model.onnx",
    "qwen3-genai/model_q4f16.onnx",
    "smollm3-dynamo/model.onnx",
  ]);
});

for (const subject of files) {
  Deno.test(`${basename(subject.folder)}/${subject.file} has its oracle's log-probs and gradients, and learns`, async () => {
    const found: Finding[] = [], { scoring, gradients } = limits(subject);
    await measureCell(subject, (finding) => found.push(finding));
    assertEquals(found.map((finding) => "stage" in finding ? finding.stage : "suspect"), ["scoring", "training"]);
    for (const [i, limit] of [scoring, gradients].entries()) {
      const finding = found[i]!;
      assert("finding" in finding && finding.finding.kind === "measured", JSON.stringify(finding));
      assert(holds(finding.finding, limit), JSON.stringify(finding));
      if (i === 1) {
        assertStrictEquals(finding.finding.error === null, subject.dtype !== "fp32", "gradients are compared");
      }
    }
  });
}
