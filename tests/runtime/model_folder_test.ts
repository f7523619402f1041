// A model is found in a folder or on a hub, and what is missing is named.

import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { openModelFolder, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
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

function refuses(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error) => error instanceof InputError && message.test(error.message));
}

Deno.test("auto takes the most precise file, and a dtype its own", async () => {
  await withFolder(
    { ...REST, "onnx/model_q4.onnx": "", "onnx/model_fp16.onnx": "", "onnx/model_quantized.onnx": "" },
    (path) => {
      const folder = openModelFolder(path);
      assert.deepEqual(folder.dtypes, ["fp16", "q8", "q4"]);
      assert.equal(folder.resolveDtype("auto"), "fp16");
      assert.equal(folder.onnxFile("auto"), join(path, "onnx/model_fp16.onnx"));
      assert.equal(folder.onnxFile("q8"), join(path, "onnx/model_quantized.onnx"));
      assert.equal(folder.config["extra"], 1);
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
    assert.equal(folder.onnxFile("q4"), join(path, "onnx/decoder_model_merged_q4.onnx"));
    assert.equal(folder.onnxFile("fp32"), join(path, "model.onnx"));
  });
});

Deno.test("a missing folder, config.json, tokenizer.json or ONNX file is named", async () => {
  await assert.rejects(
    resolveModelFolder("/tmp/nowhere"),
    /InputError: The model folder \/tmp\/nowhere does not exist/,
  );
  await assert.rejects(resolveModelFolder("nowhere"), /InputError: There is no folder nowhere/);
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
    await assert.rejects(resolveModelFolder(join(path, "config.json")), /is a file/);
  });
});

Deno.test("a hub that cannot be reached is one plain sentence", async () => {
  await withFolder({}, async (cacheDir) => {
    // Nothing listens on port 1.
    const options = { cacheDir, host: "http://127.0.0.1:1" };
    await assert.rejects(resolveModelFolder("owner/name", options), (error) => {
      assert.ok(error instanceof InputError);
      assert.match(
        error.message,
        /^Could not download owner\/name from http:\/\/127\.0\.0\.1:1 \(.+\): check the network/,
      );
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
});

sharedTest(
  "fixtures/qwen2-optimum",
  "a hub model arrives as a whole folder with external data, and then serves offline",
  async (fixture) => {
    const asked: string[] = [];
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      const file = new URL(request.url).pathname.replace("/owner/name/resolve/main/", "");
      asked.push(file);
      if (file.startsWith("/")) return new Response("no such repository", { status: 401 });
      if (!existsSync(join(fixture, file))) return new Response("Entry not found", { status: 404 });
      const bytes = await Deno.readFile(join(fixture, file));
      return request.headers.get("range") ? new Response(bytes.slice(0, 1), { status: 206 }) : new Response(bytes);
    });
    const host = `http://127.0.0.1:${server.addr.port}`;
    await withFolder({}, async (cacheDir) => {
      const seen = new Set<string>();
      const options = { cacheDir, host, onProgress: ({ file }: { file: string }) => seen.add(file) };
      const folder = await resolveModelFolder("owner/name", options);
      assert.equal(folder.path, join(cacheDir, "owner", "name"));
      assert.equal(folder.name, "owner/name");
      assert.deepEqual(folder.dtypes, ["fp32"]);
      for (const file of ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "generation_config.json"]) {
        assert.deepEqual(await Deno.readFile(join(folder.path, file)), await Deno.readFile(join(fixture, file)), file);
      }
      assert.ok(seen.has("onnx/model.onnx_data"));
      assert.deepEqual(readdirSync(join(folder.path, "onnx")).filter((file) => file.endsWith(".partial")), []);
      const q4 = await resolveModelFolder("owner/name", { ...options, dtype: "q4" });
      assert.deepEqual(q4.dtypes, ["fp32", "q4"]);
      await assert.rejects(
        resolveModelFolder("owner/name", { ...options, dtype: "bnb4" }),
        /no ONNX file for dtype bnb4/,
      );
      await assert.rejects(resolveModelFolder("owner/other", options), /InputError: The hub has no owner\/other/);
      asked.length = 0;
      await server.shutdown();
      assert.equal(
        (await resolveModelFolder("owner/name", options)).onnxFile("auto"),
        join(folder.path, "onnx/model.onnx"),
      );
      assert.deepEqual(asked, []);
    });
  },
);

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
        assert.equal(folder.name, "name");
        assert.ok(folder.path.endsWith("/owner/name") && folder.path.startsWith("/"));
      } finally {
        Deno.chdir(before);
      }
    });
    assert.ok(existsSync(SHARED));
  },
);
