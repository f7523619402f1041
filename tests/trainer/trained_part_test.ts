// What a fresh adapter's config says of the model that it is for.

import { assertEquals } from "@std/assert";
import { openModel } from "../../services/trainer/model.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { newAdapterConfig } from "../../services/trainer/trained_part.ts";
import { adaptableLayers } from "../../shared/compiler/compile.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { fixture, fixtureTest } from "../commands/run_task.ts";

fixtureTest("fan_in_fan_out is true of GPT-2's layers whatever the file's precision, and of no others", () => {
  const fan = (name: string, dtype: string) => {
    const model = openModel(openModelFolder(fixture(name)), dtype), { path, folder } = model;
    const settings = parseTrainSettings({ model: folder.path, data: "rows.jsonl", out: "run" });
    return newAdapterConfig(settings, adaptableLayers(path, folder.config), model).fan_in_fan_out;
  };
  for (const dtype of ["fp32", "fp16", "q8"]) assertEquals(fan("gpt2-optimum", dtype), true, dtype);
  for (const dtype of ["fp32", "q8"]) assertEquals(fan("llama-genai", dtype), false, dtype);
});
