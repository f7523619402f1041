// A model is found in a folder, or written from a checkpoint there, and what is missing is named.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { importCheckpoint } from "../../shared/architectures/import_checkpoint.ts";
import { InputError } from "../../shared/errors.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { type DownloadProgress, openModelFolder, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { randomTensors, writeCheckpoint } from "../architectures/random_checkpoints.ts";
import { SHARED, sharedTest } from "../feedback/shared_files.ts";

/** A folder with just the named files, and removed after. */
async function withFolder(files: Record<string, string>, run: (path: string) => void | Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(path, name, ".."), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    await run(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

const REST = { "config.json": '{"model_type":"llama","extra":1}', "tokenizer.json": "{}" };

/** The configuration of a checkpoint of a few kilobytes. */
const small = {
  model_type: "llama",
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 64,
};

function refuses(run: () => unknown, message: RegExp): void {
  assertMatch(assertThrows(run, InputError).message, message);
}

Deno.test("auto takes the most precise file, and a dtype its own", async () => {
  await withFolder(
    { ...REST, "onnx/model_q4.onnx": "", "onnx/model_fp16.onnx": "", "onnx/model_quantized.onnx": "" },
    (path) => {
      const folder = openModelFolder(path);
      assertEquals(folder.dtypes, ["fp16", "q8", "q4"]);
      assertEquals(folder.resolveDtype("auto"), "fp16");
      assertStrictEquals(folder.onnxFile("auto"), join(path, "onnx/model_fp16.onnx"));
      assertStrictEquals(folder.onnxFile("q8"), join(path, "onnx/model_quantized.onnx"));
      assertEquals(folder.config["extra"], 1);
      refuses(
        () => folder.onnxFile("fp32"),
        /dtype fp32 \(onnx\/model\.onnx\).*onnx\/model_fp16\.onnx.*--dtype fp16, q8, q4/,
      );
      refuses(() => folder.onnxFile("q5"), /Unknown dtype "q5"/);
    },
  );
});

Deno.test("decoder_model_merged and files at the root are found too", async () => {
  await withFolder({ ...REST, "onnx/decoder_model_merged_q4.onnx": "", "model.onnx": "" }, (path) => {
    const folder = openModelFolder(path);
    assertStrictEquals(folder.onnxFile("q4"), join(path, "onnx/decoder_model_merged_q4.onnx"));
    assertStrictEquals(folder.onnxFile("fp32"), join(path, "model.onnx"));
  });
});

Deno.test("a missing folder, config.json, tokenizer.json or ONNX file is named", async () => {
  await assertRejects(
    () => resolveModelFolder("/tmp/nowhere"),
    InputError,
    "The model folder /tmp/nowhere does not exist",
  );
  await assertRejects(() => resolveModelFolder("nowhere"), InputError, "There is no folder nowhere");
  await withFolder({ "tokenizer.json": "{}" }, (path) => refuses(() => openModelFolder(path), /has no config\.json/));
  await withFolder({ "config.json": "{}" }, (path) => refuses(() => openModelFolder(path), /has no tokenizer\.json/));
  await withFolder(
    { ...REST, "config.json": "{" },
    (path) => refuses(() => openModelFolder(path), /config\.json is not JSON/),
  );
  await withFolder(
    { ...REST, "config.json": "[]" },
    (path) => refuses(() => openModelFolder(path), /config\.json is not a model/),
  );
  await withFolder(REST, async (path) => {
    refuses(() => openModelFolder(path).onnxFile("auto"), /has no onnx\/model\.onnx.*none/);
    await assertRejects(() => resolveModelFolder(join(path, "config.json")), Error, "is a file");
  });
});

Deno.test("weights of another format, and Git LFS pointers in their place, are named with what would work", async () => {
  const pickle =
    /; pytorch_model\.bin is a Python pickle, which is not read: save the model as safetensors.*ONNX export\.$/;
  const gguf = /; tiny\.Q4_0\.gguf is a GGUF file, which is not read: give the safetensors.*ONNX export\.$/;
  await withFolder({ ...REST, "config.json": JSON.stringify(small), "pytorch_model.bin": "" }, async (path) => {
    refuses(() => openModelFolder(path).onnxFile("auto"), pickle);
    await assertRejects(
      () => importCheckpoint(path, `${path}/out`),
      Error,
      "index.json: pytorch_model.bin is a Python pickle",
    );
  });
  await withFolder({ "tiny.Q4_0.gguf": "" }, async (path) => {
    refuses(() => openModelFolder(path), gguf);
    const error = await assertRejects(() => resolveModelFolder(join(path, "tiny.Q4_0.gguf")), InputError);
    assertMatch(error.message, gguf);
  });
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 17209961\n";
  const noPointer = (file: string) => new RegExp(`${file}: a Git LFS pointer .*"git lfs pull"`);
  await withFolder({ ...REST, "tokenizer.json": pointer }, (path) => {
    refuses(() => openModelFolder(path), noPointer("tokenizer.json"));
  });
  await withFolder({ ...REST, "onnx/model.onnx": pointer }, (path) => {
    refuses(() => readModel(openModelFolder(path).onnxFile("auto")), noPointer("model.onnx"));
  });
  await withFolder({}, async (path) => {
    await writeCheckpoint(path, small, randomTensors(small, {}, 5));
    writeFileSync(join(path, "model.safetensors"), pointer);
    const importing = () => resolveModelFolder(path, { importDir: join(path, "cache") });
    assertMatch((await assertRejects(importing, InputError)).message, noPointer("model.safetensors"));
  });
});

sharedTest(
  "fixtures/llama-genai",
  "a checkpoint without ONNX files is imported once into the cache, and its folder stays as it is",
  async (fixture) => {
    await withFolder({}, async (parent) => {
      const path = join(parent, "checkpoint"), importDir = join(parent, "cache"), remarks: string[] = [];
      mkdirSync(path);
      const files = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
      for (const file of files) cpSync(join(fixture, file), join(path, file));
      const seen: DownloadProgress[] = [];
      const options = {
        importDir,
        onRemark: (line: string) => remarks.push(line),
        onProgress: (step: DownloadProgress) => seen.push(step),
      };
      const first = await resolveModelFolder(path, options);
      assertEquals(first.name, "checkpoint");
      assertEquals(first.dtypes, ["fp32"]);
      assertEquals(seen.at(-1)!.loaded, seen.at(-1)!.total);
      assertMatch(
        remarks[0]!,
        /checkpoint has no fp32 ONNX file: writing one from its safetensors into .*cache.*, once\.$/,
      );
      assertEquals(readdirSync(path).sort(), files.toSorted());
      const written = await Deno.stat(first.onnxFile("auto"));
      const again = await resolveModelFolder(path, options);
      assertStrictEquals(again.path, first.path);
      assertEquals((await Deno.stat(again.onnxFile("auto"))).mtime, written.mtime);
      assertMatch(remarks[1]!, /using the one/);
      assertMatch(
        (await assertRejects(() => resolveModelFolder(path, { ...options, dtype: "q4" }), InputError)).message,
        /imported as fp32/,
      );
      // Other weights are another model, and the one of before goes.
      await Deno.utime(join(path, "model.safetensors"), 1, 1);
      const changed = await resolveModelFolder(path, options);
      assertNotStrictEquals(changed.path, first.path);
      assert(!existsSync(first.path) && existsSync(changed.onnxFile("fp32")));
      const config = JSON.parse(await Deno.readTextFile(join(path, "config.json")));
      await Deno.writeTextFile(join(path, "config.json"), JSON.stringify({ ...config, model_type: "mamba" }));
      assertMatch(
        (await assertRejects(() => resolveModelFolder(path, options), InputError)).message,
        /model_type "mamba"/,
      );
      assertEquals(readdirSync(join(changed.path, "..")).length, 1);
    });
  },
);

Deno.test("fp32 is imported where the ONNX files are of lesser precision only; auto and their own dtypes take them", async () => {
  await withFolder({ "onnx/model_fp16.onnx": "" }, async (path) => {
    await writeCheckpoint(path, small, randomTensors(small, {}, 5));
    const find = (dtype: string) => resolveModelFolder(path, { dtype, importDir: join(path, "cache") });
    for (const dtype of ["auto", "fp16"]) {
      assertEquals((await find(dtype)).onnxFile(dtype), `${path}/onnx/model_fp16.onnx`);
    }
    const imported = await find("fp32");
    assert(imported.path.startsWith(join(path, "cache")) && existsSync(imported.onnxFile("fp32")));
    const q4 = await find("q4");
    refuses(() => q4.onnxFile("q4"), /no ONNX file for dtype q4 .*--dtype fp16/);
  });
});

Deno.test("a link to nothing in a checkpoint's folder is as good as no file", async () => {
  await withFolder({}, async (path) => {
    await writeCheckpoint(path, small, randomTensors(small, {}, 5));
    const find = () => resolveModelFolder(path, { importDir: `${path}/cache` });
    await Deno.symlink("nowhere", `${path}/generation_config.json`);
    const imported = await find();
    assert(existsSync(imported.onnxFile("fp32")) && !existsSync(`${imported.path}/generation_config.json`));
    writeFileSync(`${path}/nowhere`, "{}");
    assert(existsSync(`${(await find()).path}/generation_config.json`));
  });
});

Deno.test("a checkpoint that cannot be imported is refused before anything is said or made", async () => {
  const whole = randomTensors(small, {}, 5), lacking = new Map([...whole].slice(1));
  const cases: [message: RegExp, change: object, tensors: typeof whole, dtype: "F32" | "F8_E4M3"][] = [
    [/model_type "mamba"/, { model_type: "mamba" }, whole, "F32"],
    [/"model\.embed_tokens\.weight" is missing/, {}, lacking, "F32"],
    [/is \[24,32\], but config\.json asks for \[25,32\]/, { intermediate_size: 25 }, whole, "F32"],
    [/is F8_E4M3; .* before it was quantised/, {}, whole, "F8_E4M3"],
  ];
  await withFolder({}, async (parent) => {
    for (const [i, [message, change, tensors, dtype]] of cases.entries()) {
      const path = join(parent, `${i}`), importDir = join(parent, "cache"), remarks: string[] = [];
      await writeCheckpoint(path, { ...small, ...change }, tensors, { dtype });
      assertMatch(
        (await assertRejects(
          () => resolveModelFolder(path, { importDir, onRemark: (line) => remarks.push(line) }),
          InputError,
        )).message,
        message,
      );
      assertEquals(remarks, []);
      assert(!existsSync(importDir));
    }
  });
});

sharedTest(
  "fixtures/llama-genai",
  "an existing folder is a folder even when it looks like a hub id",
  async (fixture) => {
    await withFolder({}, async (parent) => {
      const before = Deno.cwd();
      cpSync(fixture, join(parent, "owner/name"), { recursive: true });
      try {
        Deno.chdir(parent);
        const folder = await resolveModelFolder("owner/name");
        assertEquals(folder.name, "name");
        assert(folder.path.endsWith("/owner/name") && folder.path.startsWith("/"));
      } finally {
        Deno.chdir(before);
      }
    });
    assert(existsSync(SHARED));
  },
);
