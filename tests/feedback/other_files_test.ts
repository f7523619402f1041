// Files of rows that are no JSON are named, by content and by name, with a way out.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { gzipSync } from "node:zlib";
import { InputError } from "../../shared/errors.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { withFolder } from "../commands/run_task.ts";

const line = JSON.stringify({ prompt: "a", completion: "b", label: true }) + "\n";
const bytes = (text: string) => new TextEncoder().encode(text);
const zip = Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0);

Deno.test("a file that is Parquet, CSV, compressed or the like is refused by its kind and told how to convert it", async () => {
  const cases: [name: string, content: Uint8Array, said: RegExp][] = [
    ["rows.parquet", bytes("PAR1\0\0"), / is Parquet, which is not read: .*duckdb -c "COPY \(FROM '.*rows\.parquet'\)/],
    // An upload's name says nothing.
    ["file-abc", bytes("PAR1\0\0"), / is Parquet, /],
    ["file-def", gzipSync(bytes(line)), / is compressed with gzip, .*gunzip .*file-def/],
    ["rows.jsonl.gz", gzipSync(bytes(line)), / is compressed with gzip, /],
    [
      "rows.jsonl.zst",
      Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0),
      / is compressed with zstd, .*zstd -d .*rows\.jsonl\.zst/,
    ],
    ["rows.zip", zip, / is a zip archive, .*unzip .*rows\.zip/],
    ["rows.xlsx", zip, / is an Excel file, .*save it as CSV/],
    ["rows.csv", bytes("a;b\n1;2\n"), / is CSV, /],
    ["rows.txt", bytes("\ufeffprompt,completion,label\r\nhi,ho,1\r\n"), / is CSV, /],
    ["rows.tsv", bytes("prompt\tcompletion\tlabel\n"), / is TSV, /],
    ["named.parquet", bytes("nothing of the kind\n"), / is Parquet, /],
  ];
  await withFolder(async (folder) => {
    for (const [name, content, said] of cases) {
      const path = `${folder}/${name}`;
      await Deno.writeFile(path, content);
      const error = await assertRejects(() => readFeedback(path), InputError);
      assert(error.message.startsWith(`${path} is `), error.message);
      assertMatch(error.message, said);
    }
  });
});

Deno.test("JSON lines are read whatever their file is called, and what is broken JSON is called that", async () => {
  await withFolder(async (folder) => {
    for (const name of ["rows.csv", "rows.parquet", "rows.gz"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "\ufeff\n" + line);
      assertEquals((await readFeedback(`${folder}/${name}`)).rows.length, 1);
    }
    await Deno.writeTextFile(`${folder}/rows.jsonl`, "hello, world\n");
    await assertRejects(() => readFeedback(`${folder}/rows.jsonl`), Error, "rows.jsonl:1: not JSON");
  });
});
