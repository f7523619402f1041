// What became of rows on their way into tokens is told to people and to programs, in numbers.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { copyFile } from "node:fs/promises";
import { InputError } from "../../shared/errors.ts";
import { prepareData } from "../../services/trainer/data.ts";
import { PromptSet } from "../../services/trainer/held_out.ts";
import { readRows } from "../../services/trainer/read_rows.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { silent } from "../../shared/progress.ts";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { findModel, type OpenModel, openModel } from "../../shared/runtime/open_model.ts";
import { withFolder } from "../commands/run_task.ts";

/** Runs with the embedded model's tokenizer under another template, and a file of these rows. */
async function withRows(template: string, rows: unknown[], run: (path: string, model: OpenModel) => Promise<void>) {
  await withFolder(async (folder) => {
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
      await copyFile(`${embeddedModelFolder}/${file}`, `${folder}/${file}`);
    }
    await Deno.writeTextFile(`${folder}/chat_template.jinja`, template);
    const embedded = openModel(await findModel(undefined, "auto", silent), "auto"), small = openModelFolder(folder);
    const model = { ...embedded, folder: small, tokenizer: loadChatTokenizer(small) };
    const path = `${folder}/rows.jsonl`;
    await Deno.writeTextFile(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
    await run(path, model);
  });
}

const noTools =
  `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;
const prompt = [{ role: "user", content: "Hi" }];
const calls = { role: "assistant", content: "", tool_calls: [{ function: { name: "w" } }] };
const says = { role: "assistant", content: "Yes." };

Deno.test("rows that a template makes nothing of are counted for programs and named to people", async () => {
  const rows = [says, calls, calls].map((completion) => ({ prompt, completion: [completion], label: true }));
  await withRows(noTools, rows, async (path, model) => {
    const events: [string, unknown][] = [];
    const reporter = { ...silent, event: (name: string, fields?: object) => void events.push([name, fields]) };
    const read = await readRows(path, model, { maxLength: 64, reporter });
    assertEquals(read.rows.length, 1);
    assertEquals(read.changed, { answer_left_out: 2, "unread.tool_calls": 2 });
    assertMatch(
      read.warnings.join("\n"),
      /^2 rows dropped: the chat template leaves out all .*\(tool_calls\).*:2, 3\)\.$/m,
    );
    const { notes, warnings, changed } = read;
    assertEquals(events, [["data", { desirable: 1, undesirable: 0, changed, notes, warnings }]]);
  });
});

Deno.test("where a template makes nothing of any row, nothing is trained and the reason is said", async () => {
  await withRows(noTools, [{ prompt, completion: [calls], label: true }], async (path, model) => {
    const settings = parseTrainSettings({ out: "unused", workers: 1 });
    assertMatch(
      (await assertRejects(() => prepareData(path, model, settings, new PromptSet(), silent), InputError)).message,
      /no row is left to train on .*1 row dropped: .*tool_calls/,
    );
  });
});
