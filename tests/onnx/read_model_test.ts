// Reading and writing models: what goes through computes the same to the last bit, weights stay in their files, and a
// broken file is an InputError. It does not know what the operators mean.

import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { InputError } from "../../shared/errors.ts";
import type { Graph } from "../../shared/onnx/graph.ts";
import { readTensorBytes, weightsFolder } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { attributeTypes, messages } from "../../shared/onnx/schema.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { Random } from "../../shared/random.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";
import { sharedTest } from "../feedback/shared_files.ts";

/** Files of every exporter and precision, with and without external data. */
const models = [
  "llama-genai/onnx/model.onnx",
  "llama-genai/onnx/model_q4.onnx",
  "llama-genai/onnx/model_quantized.onnx",
  "llama-untied-genai/onnx/model.onnx",
  "llama-genai-mha/onnx/model.onnx",
  "llama-optimum/onnx/model.onnx",
  "llama-dynamo/onnx/model.onnx",
  "qwen2-optimum/onnx/model.onnx",
  "qwen2-optimum/onnx/model_fp16.onnx",
  "gpt2-optimum/onnx/model_opset14.onnx",
  "gemma3-genai/onnx/model.onnx",
];

/** Two rows of seven tokens with an empty cache. */
function feedsOf(graph: Graph): Record<string, Tensor> {
  const ids = [1, 87, 85, 281, 201, 43, 85, 2, 267, 272, 77, 91, 391, 265].map(BigInt);
  return Object.fromEntries(graph.inputs.map(({ name, dataType, shape }) => {
    if (name === "input_ids") return [name, new Tensor("int64", BigInt64Array.from(ids), [2, 7])];
    if (name === "attention_mask") return [name, new Tensor("int64", new BigInt64Array(14).fill(1n), [2, 7])];
    if (name === "position_ids") {
      return [name, new Tensor("int64", BigInt64Array.from(ids, (_, i) => BigInt(i % 7)), [2, 7])];
    }
    const dims = [2, shape[1] as number, 0, shape[3] as number];
    return [
      name,
      dataType === "float16"
        ? new Tensor("float16", new Uint16Array(0), dims)
        : new Tensor("float32", new Float32Array(0), dims),
    ];
  }));
}

async function logits(model: string | Uint8Array, folder: string, feeds: Record<string, Tensor>): Promise<Uint8Array> {
  const options = sessionOptions(folder);
  const session = typeof model === "string"
    ? await InferenceSession.create(model, options)
    : await InferenceSession.create(model, options);
  const { data } = (await session.run(feeds, ["logits"])).logits!;
  await session.release();
  const view = data as Float32Array;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
}

for (const model of models) {
  sharedTest(
    `fixtures/${model}`,
    `${model}, read and written, gives the original's logits to the last bit, its weights left in their file`,
    async (path) => {
      const graph = readModel(path), folder = dirname(path);
      let inline = 0;
      for (const { name, data } of graph.initializers.values()) {
        if (data.kind === "inline") {
          inline += data.bytes.length;
          assert(data.bytes.length <= 1024, `${name} is in memory`);
        } else {
          assert(existsSync(`${folder}/${data.location}`));
          const external = `${basename(path)}_data`;
          assert(
            data.location === external || !existsSync(`${folder}/${external}`) || data.length < 1024,
            `${name} is in ${data.location}`,
          );
        }
      }
      assert(inline < 64 * 1024, `${inline} bytes of initializers are in memory`);
      const written = writeModel(graph), feeds = feedsOf(graph);
      assert(written.length < 512 * 1024, "weights were written");
      assertEquals(await logits(written, folder, feeds), await logits(path, folder, feeds));

      // Written once more from what was written, nothing changes; metadata is not kept.
      const again = await Deno.makeTempDir({ prefix: "prospect-test-" });
      try {
        for (
          const file of new Set(
            [...graph.initializers.values()].flatMap(({ data }) => data.kind === "external" ? [data.location] : []),
          )
        ) {
          await Deno.copyFile(`${folder}/${file}`, `${again}/${file}`);
        }
        await Deno.writeFile(`${again}/written.onnx`, written);
        assertEquals(writeModel(readModel(`${again}/written.onnx`)), written);
      } finally {
        await Deno.remove(again, { recursive: true });
      }
    },
  );
}

sharedTest(
  "fixtures/llama-untied-genai",
  "a weight's bytes are the same from external data and from inside the file",
  (folder) => {
    const graph = readModel(`${folder}/onnx/model.onnx`), inside = readModel(`${folder}/onnx/model_fp16.onnx`);
    for (const [model, file] of [[graph, "model.onnx_data"], [inside, "model_fp16.onnx"]] as const) {
      const tensor = model.initializers.get("model.layers.0.mlp.down_proj.MatMul.weight")!;
      assert(tensor.data.kind === "external" && tensor.data.location === file);
      const bytes = readTensorBytes(tensor, `${folder}/onnx`), whole = Deno.readFileSync(`${folder}/onnx/${file}`);
      assertEquals(bytes, whole.slice(tensor.data.offset, tensor.data.offset + tensor.data.length));
    }
  },
);

/** Reads bytes as a model file; true when they were read, false on InputError. Anything else fails the test. */
function readable(path: string, bytes: Uint8Array, what: string): boolean {
  Deno.writeFileSync(path, bytes);
  try {
    readModel(path);
    return true;
  } catch (error) {
    assert(error instanceof InputError, `${what}: ${(error as Error).stack}`);
    assert(
      error.message.includes(path) || error.message.includes(dirname(path)),
      `${what}: ${error.message} names no file`,
    );
    return false;
  }
}

async function withPath(run: (path: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" });
  try {
    run(`${folder}/model_q4.onnx`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const small = "fixtures/llama-genai/onnx/model_q4.onnx";

sharedTest(small, "a model cut short anywhere is an InputError", async (original) => {
  const bytes = Deno.readFileSync(original);
  await withPath((path) => {
    assert(readable(path, bytes, "whole"));
    for (let i = 0; i < 64; i++) {
      const length = Math.floor(bytes.length * i / 64);
      assert(!readable(path, bytes.slice(0, length), `cut at ${length}`), `cut at ${length} it was read`);
    }
    for (const missing of [1, 2, 3, 10]) {
      const length = bytes.length - missing;
      readable(path, bytes.slice(0, length), `cut at ${length}`);
    }
  });
});

sharedTest(small, "200 random corruptions are read or are an InputError, never another error", async (original) => {
  const bytes = Deno.readFileSync(original), random = new Random(11);
  // Where weights lie a changed byte is just another weight: most corruptions go elsewhere.
  const weights = [...readModel(original).initializers.values()].flatMap(({ data }) =>
    data.kind === "external" ? [data] : []
  );
  const structure = [...bytes.keys()].filter((at) =>
    !weights.some(({ offset, length }) => at >= offset && at < offset + length)
  );
  await withPath((path) => {
    let broken = 0;
    for (let i = 0; i < 200; i++) {
      const changed = bytes.slice();
      const places = Array.from(
        { length: 1 + random.int(3) },
        () => random.int(10) ? structure[random.int(structure.length)]! : random.int(bytes.length),
      );
      for (const at of places) changed[at] = random.int(256);
      if (!readable(path, changed, `corruption ${i} at ${places}`)) broken++;
    }
    assert(broken > 20, `only ${broken} of the corruptions were noticed`);
  });
});

Deno.test("what is no model is an InputError that says so", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  await withPath((path) => {
    for (
      const content of [
        "",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "<!DOCTYPE html><html>",
        "{}",
        "\0\0\0\0",
      ]
    ) {
      assert(!readable(path, bytes(content), JSON.stringify(content)), `${JSON.stringify(content)} was read`);
    }
    // An attribute that says it is a tensor and holds none.
    const node = { opType: "Constant", output: ["y"], attribute: [{ name: "value", type: attributeTypes.tensor }] };
    const hollow = { graph: { node: [node] }, opsetImport: [{ domain: "", version: 21 }] };
    const { model } = messages;
    assert(!readable(path, model.encode(model.fromObject(hollow)).finish(), "an attribute without a value"));
    assertThrows(() => readModel(`${dirname(path)}/nowhere.onnx`), InputError);
    assertThrows(() => readModel(dirname(path)), InputError);
  });
});

const exported = fileURLToPath(new URL("../exports/llama32-genai/onnx/model_q4.onnx", import.meta.url));

/** What readModel says of a committed export after `change`. */
async function complaint(change: (graph: Graph) => void): Promise<string> {
  let said = "";
  await withPath((path) => {
    const graph = readModel(exported, { inlineLimit: Infinity });
    change(graph);
    Deno.writeFileSync(path, writeModel(graph));
    const error = assertThrows(() => readModel(path), InputError);
    said = error.message;
  });
  return said;
}

Deno.test("a graph that goes in a circle is an InputError that names nodes of the circle", async () => {
  const said = await complaint((graph) => {
    const late = graph.nodes.find(({ name }) => name === "/model/layers.1/mlp/down_proj/MatMul_Q4")!;
    const early = graph.nodes.find(({ name }) => name === "/model/layers.0/mlp/down_proj/MatMul_Q4")!;
    early.inputs[0] = late.outputs[0]!;
  });
  assertMatch(said, /wait for each other in a circle \("\/model\/layers\.[01]\/.*, …\)/);
  const own = await complaint((graph) => graph.nodes[5]!.inputs[0] = graph.nodes[5]!.outputs[0]!);
  assertMatch(own, /in a circle \("[^",]+"\); download/);
});

Deno.test("a value that is written twice is an InputError that names it, whoever writes it", async () => {
  const twice = await complaint((graph) => graph.nodes[3]!.outputs[0] = graph.nodes[2]!.outputs[0]!);
  assertMatch(twice, /"\/\S+" is written twice/);
  const over = await complaint((graph) => graph.nodes[3]!.outputs[0] = "input_ids");
  assertMatch(over, /"input_ids" is written twice/);
});

Deno.test("two initializers of one name are an InputError, where the last one would have counted", async () => {
  const said = await complaint((graph) => {
    const [first] = graph.initializers.values();
    graph.initializers.set("again", { ...first! });
  });
  assertMatch(said, /it has two initializers "/);
});

Deno.test("sizes whose product is right and of which two are negative are an InputError", async () => {
  const said = await complaint((graph) => {
    const tensor = [...graph.initializers.values()].find(({ dims }) => dims.length === 2)!;
    tensor.dims = tensor.dims.map((size) => -size);
  });
  assertMatch(said, /\[.*\] has a size that is none/);
});

Deno.test("a weight that has its data in the file and beside it is an InputError", async () => {
  await withPath((path) => {
    const { model } = messages,
      decoded = model.decode(Deno.readFileSync(exported)) as unknown as {
        graph: { initializer: { dataLocation: number; externalData: unknown[]; name: string }[] };
      };
    const { initializer } = decoded.graph;
    Object.assign(initializer.at(-1)!, {
      dataLocation: 1,
      externalData: [{ key: "location", value: "model_q4.onnx" }],
    });
    Deno.writeFileSync(path, model.encode(decoded as never).finish());
    assertMatch(assertThrows(() => readModel(path), InputError).message, / has its data twice/);
  });
});

sharedTest(
  "fixtures/llama-untied-genai",
  "missing, short and foreign external data are InputErrors that name the file",
  async (folder) => {
    const temporary = await Deno.makeTempDir({ prefix: "prospect-test-" });
    const path = `${temporary}/model.onnx`, data = `${temporary}/model.onnx_data`;
    try {
      await Deno.copyFile(`${folder}/onnx/model.onnx`, path);
      assertThrows(() => readModel(path), InputError, data);
      const whole = await Deno.readFile(`${folder}/onnx/model.onnx_data`);
      await Deno.writeFile(data, whole.slice(0, -1));
      assertThrows(() => readModel(path), InputError, "too short");
      await Deno.writeTextFile(data, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
      assertMatch(assertThrows(() => readModel(path), InputError).message, /onnx_data: a Git LFS pointer/);
      await Deno.writeFile(data, whole);
      const graph = readModel(path);
      for (const location of ["/etc/passwd", "../model.onnx_data", "a/../../b"]) {
        for (const tensor of graph.initializers.values()) {
          if (tensor.data.kind === "external") {
            tensor.data.location = location;
          }
        }
        await Deno.writeFile(path, writeModel(graph));
        assertThrows(() => readModel(path), InputError, "outside");
      }
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  },
);

sharedTest(
  "fixtures/llama-dynamo",
  "a model of links, as Hugging Face's cache has it, gives the files' own logits, and links to two folders an InputError",
  async (folder) => {
    const temporary = await Deno.makeTempDir({ prefix: "prospect-test-" }), path = `${temporary}/snapshot/model.onnx`;
    try {
      for (const each of ["blobs", "others", "snapshot"]) await Deno.mkdir(`${temporary}/${each}`);
      await Deno.copyFile(`${folder}/onnx/model.onnx`, `${temporary}/blobs/1f0c`);
      for (const each of ["blobs", "others"]) {
        await Deno.copyFile(`${folder}/onnx/model.onnx_data`, `${temporary}/${each}/93ab`);
      }
      await Deno.symlink("../blobs/1f0c", path);
      await Deno.symlink("../blobs/93ab", `${path}_data`);
      const graph = readModel(path), feeds = feedsOf(graph);
      assertStrictEquals(weightsFolder(path), await Deno.realPath(`${temporary}/blobs`));
      assertEquals(
        await logits(writeModel(graph), weightsFolder(path), feeds),
        await logits(`${folder}/onnx/model.onnx`, `${folder}/onnx`, feeds),
      );
      await Deno.remove(`${path}_data`);
      await Deno.symlink("../others/93ab", `${path}_data`);
      assertMatch(
        assertThrows(() => readModel(path), InputError).message,
        /links lead to files of different folders, .*cp -rL/,
      );
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  },
);
