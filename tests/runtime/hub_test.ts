// A hub model arrives whole or not at all, with the files that its precision needs, where transformers.js finds them;
// what goes wrong is one plain sentence. A local server stands in for the hub.

import { AutoModelForCausalLM, AutoTokenizer, env, ModelRegistry } from "@huggingface/transformers";
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { weightFiles } from "../../shared/runtime/hub.ts";
import { type DownloadProgress, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { brokenOff, type LocalHub, withHub } from "./local_hub.ts";

/** A repository with the named files (text, or a fixture's file to copy), its hub, and an empty cache folder. */
async function withRepository(
  files: Record<string, string | { from: string }>,
  run: (hub: LocalHub, options: { cacheDir: string; importDir: string; host: string }, folder: string) => Promise<void>,
): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "prospect-hub-" }), folder = join(parent, "repository");
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      if (typeof content === "string") writeFileSync(join(folder, name), content);
      else cpSync(join(content.from, name), join(folder, name));
    }
    await withHub(folder, (hub) => {
      const options = { cacheDir: join(parent, "hub"), importDir: join(parent, "imported"), host: hub.host };
      return run(hub, options, folder);
    });
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

const small = {
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json": "{}",
  "README.md": "",
  ".gitattributes": "",
};

const asSentence = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InputError, `${error}`);
  assert.match(error.message, message);
  assert.match(error.message, /^[^\n]+\.$/);
  return true;
};

Deno.test("a precision needs its own file and every piece of its external data, the file itself last", () => {
  const listed = [
    ...["config.json", "model.safetensors", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1"],
    ...["onnx/model_q4.onnx", "onnx/model_q4.onnx_data", "onnx/model_q4f16.onnx", "onnx/model.onnx_data_10"],
  ];
  const fp32 = ["onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model.onnx_data_10", "onnx/model.onnx"];
  assert.deepEqual(weightFiles(listed, "fp32"), fp32);
  assert.deepEqual(weightFiles(listed, "auto"), fp32);
  assert.deepEqual(weightFiles(listed, "q4"), ["onnx/model_q4.onnx_data", "onnx/model_q4.onnx"]);
  assert.deepEqual(weightFiles(listed, "q4f16"), ["onnx/model_q4f16.onnx"]);
  assert.equal(weightFiles(listed, "q8"), undefined);
  assert.deepEqual(weightFiles(["model.onnx", "model.onnx.data"], "auto"), ["model.onnx.data", "model.onnx"]);
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  assert.deepEqual(weightFiles([index, ...shards, "consolidated.safetensors"], "auto"), [...shards, index]);
  assert.deepEqual(weightFiles([index, ...shards, "model.safetensors"], "fp32"), ["model.safetensors"]);
  assert.equal(weightFiles(["model.safetensors"], "q4"), undefined);
  assert.equal(weightFiles(["pytorch_model.bin"], "auto"), undefined);
});

sharedTest(
  "fixtures/qwen2-optimum",
  "transformers.js finds what was downloaded, and lists no file besides",
  async (from) => {
    const names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
    const onnx = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_q4.onnx"];
    await withRepository(
      Object.fromEntries([...names, ...onnx].map((name) => [name, { from }])),
      async (hub, options) => {
        const progress = new Map<string, DownloadProgress>();
        const folder = await resolveModelFolder("owner/name", {
          ...options,
          onProgress: (step) => progress.set(step.file, step),
        });
        assert.equal(folder.path, join(options.cacheDir, "owner", "name"));
        assert.equal(folder.name, "owner/name");
        assert.deepEqual(folder.dtypes, ["fp32"]);
        for (const file of [...names, "onnx/model.onnx", "onnx/model.onnx_data"]) {
          assert.deepEqual(await Deno.readFile(join(folder.path, file)), await Deno.readFile(join(from, file)), file);
          const { loaded, total } = progress.get(file)!;
          assert.ok(loaded === total && total > 0, file);
        }
        hub.trouble = () => new Response("nobody should ask", { status: 500 });
        // Under Deno transformers.js prefers the web's cache, which is no folder, unless told.
        const { remoteHost, useBrowserCache, cacheDir } = env;
        try {
          Object.assign(env, { remoteHost: hub.host, useBrowserCache: false, cacheDir: options.cacheDir });
          for (const file of await ModelRegistry.get_files("owner/name", { dtype: "fp32", include_processor: false })) {
            assert.ok(existsSync(join(folder.path, file)), file);
          }
          await AutoTokenizer.from_pretrained("owner/name", { local_files_only: true });
          const load = { dtype: "fp32", local_files_only: true } as const;
          await (await AutoModelForCausalLM.from_pretrained("owner/name", load)).dispose();
        } finally {
          Object.assign(env, { remoteHost, useBrowserCache, cacheDir });
        }
        // A complete model needs no hub; another precision does.
        await resolveModelFolder("owner/name", options);
        await assert.rejects(
          resolveModelFolder("owner/name", { ...options, dtype: "q4" }),
          asSentence(/^Could not download owner\/name from .* \(HTTP 500 for .*\): check the network/),
        );
        hub.trouble = undefined;
        assert.deepEqual((await resolveModelFolder("owner/name", { ...options, dtype: "q4" })).dtypes, ["fp32", "q4"]);
      },
    );
  },
);

sharedTest(
  "fixtures/llama-genai",
  "a repository without ONNX files is fetched as safetensors and imported, and says so",
  async (from) => {
    const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    await withRepository(Object.fromEntries(names.map((name) => [name, { from }])), async (hub, options) => {
      const remarks: string[] = [];
      const folder = await resolveModelFolder("owner/name", { ...options, onRemark: (line) => remarks.push(line) });
      assert.equal(folder.name, "owner/name");
      assert.ok(folder.onnxFile("auto").startsWith(options.importDir));
      assert.match(remarks[0]!, /^The hub's owner\/name has no ONNX file: fetching its safetensors instead\.$/);
      assert.match(remarks[1]!, /writing one from its safetensors/);
      hub.trouble = () => new Response(null, { status: 500 });
      assert.equal((await resolveModelFolder("owner/name", { ...options, dtype: "fp32" })).path, folder.path);
      hub.trouble = undefined;
      await assert.rejects(
        resolveModelFolder("owner/name", { ...options, dtype: "q4" }),
        asSentence(/has no ONNX file for dtype q4: choose --dtype fp32\.$/),
      );
    });
  },
);

Deno.test("safetensors that could not be imported are not fetched", async () => {
  const files = { ...small, "config.json": '{"model_type":"mamba"}', "model.safetensors": "gigabytes" };
  await withRepository(files, async (hub, options) => {
    await assert.rejects(resolveModelFolder("owner/name", options), asSentence(/model_type "mamba" is not one/));
    assert.deepEqual(hub.asked, ["tokenizer.json", "config.json"]);
  });
});

Deno.test("a download that breaks off leaves no half file, and the next one fetches only what is missing", async () => {
  await withRepository(
    { ...small, "onnx/model.onnx": "graph", "onnx/model.onnx_data": "weights" },
    async (hub, options) => {
      hub.trouble = (path) => path.endsWith("_data") ? brokenOff(new TextEncoder().encode("weights")) : undefined;
      await assert.rejects(
        resolveModelFolder("owner/name", options),
        asSentence(/^Could not download owner\/name from/),
      );
      const folder = join(options.cacheDir, "owner/name");
      assert.deepEqual(readdirSync(folder, { recursive: true }).sort(), ["config.json", "onnx", "tokenizer.json"]);
      hub.trouble = undefined;
      hub.asked.length = 0;
      await resolveModelFolder("owner/name", options);
      assert.deepEqual(hub.asked, ["onnx/model.onnx_data", "onnx/model.onnx"]);
    },
  );
});

Deno.test("what the hub will not give is one sentence with the way out", async () => {
  await withRepository({ ...small, "onnx/model_q4.onnx": "" }, async (hub, options) => {
    const find = (id: string, dtype = "auto") => resolveModelFolder(id, { ...options, dtype });
    await assert.rejects(find("owner/other"), asSentence(/^The hub has no owner\/other \(HTTP 401\): check the id/));
    await assert.rejects(find("owner/name", "q8"), asSentence(/no ONNX file for dtype q8: choose --dtype q4\.$/));
    const gated = { "x-error-code": "GatedRepo" };
    hub.trouble = (path) => path.includes("/resolve/") ? new Response("", { status: 401, headers: gated }) : undefined;
    await assert.rejects(find("owner/name"), asSentence(/owner\/name is gated: accept its terms on http.*HF_TOKEN/));
    hub.trouble = (path) => path.includes("/resolve/") ? new Response("", { status: 403 }) : undefined;
    await assert.rejects(find("owner/name"), asSentence(/gated/));
    hub.trouble = () => Response.json({ siblings: [{ rfilename: "model.gguf" }] });
    await assert.rejects(find("owner/name"), asSentence(/owner\/name has no config\.json/));
    const others = ["config.json", "tokenizer.json", "model.gguf"].map((rfilename) => ({ rfilename }));
    hub.trouble = () => Response.json({ siblings: others });
    await assert.rejects(find("owner/name"), asSentence(/neither an ONNX file nor safetensors \(it has model\.gguf\)/));
    hub.trouble = () => Response.json({ nothing: true });
    await assert.rejects(find("owner/name"), asSentence(/its list of files is not as expected/));
  });
});

Deno.test("without the net, a model that is here in part serves as it is, and one that is not is one sentence", async () => {
  await withRepository({ ...small, "onnx/model_q4.onnx": "" }, async (_hub, options) => {
    await resolveModelFolder("owner/name", options);
    // Nothing listens on port 1.
    const offline = { ...options, host: "http://127.0.0.1:1" }, remarks: string[] = [];
    const folder = await resolveModelFolder("owner/name", { ...offline, onRemark: (line) => remarks.push(line) });
    assert.equal(folder.resolveDtype("auto"), "q4");
    assert.match(remarks[0]!, /^The hub cannot be reached \(.+\): using owner\/name as it is here, in q4\.$/);
    await assert.rejects(
      resolveModelFolder("owner/new", offline),
      asSentence(/^Could not download owner\/new from http:\/\/127\.0\.0\.1:1 \(.+\): check the network/),
    );
  });
});
