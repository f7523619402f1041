// A hub model arrives with the files that its precision needs, where transformers.js finds them; what the hub will not
// give is one plain sentence. A local server stands in for the hub.

import { AutoModelForCausalLM, AutoTokenizer, env, ModelRegistry } from "@huggingface/transformers";
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { newAdapterConfig } from "../../services/trainer/trained_part.ts";
import { adaptableLayers } from "../../shared/compiler/compile.ts";
import { weightFiles } from "../../shared/runtime/hub.ts";
import { hubEndpoint, hubHosts } from "../../shared/runtime/hub/endpoint.ts";
import { resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { openModel } from "../../shared/runtime/open_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { assertSentence, small } from "./hub_repository.ts";
import { commit, withEnvironment, withRepository, withServer } from "./local_hub.ts";

/** Lets transformers.js look where Prospect keeps hub models, and ask nobody but the local hub. */
async function inTransformersJs(place: { remoteHost: string; cacheDir: string }, run: () => Promise<void>) {
  const { remoteHost, useBrowserCache, cacheDir } = env;
  try {
    // Under Deno it prefers the web's cache, which is no folder, unless told.
    Object.assign(env, { ...place, useBrowserCache: false });
    await run();
  } finally {
    Object.assign(env, { remoteHost, useBrowserCache, cacheDir });
  }
}

Deno.test("a precision needs its own file and every piece of its external data, the file itself last", () => {
  const listed = [
    ...["config.json", "model.safetensors", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1"],
    ...["onnx/model_q4.onnx", "onnx/model_q4.onnx_data", "onnx/model_q4f16.onnx", "onnx/model.onnx_data_10"],
  ];
  const fp32 = ["onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model.onnx_data_10", "onnx/model.onnx"];
  assertEquals(weightFiles(listed, "fp32"), fp32);
  assertEquals(weightFiles(listed, "auto"), fp32);
  assertEquals(weightFiles(listed, "q4"), ["onnx/model_q4.onnx_data", "onnx/model_q4.onnx"]);
  assertEquals(weightFiles(listed, "q4f16"), ["onnx/model_q4f16.onnx"]);
  assertEquals(weightFiles(listed, "q8"), undefined);
  assertEquals(weightFiles(["model.onnx", "model.onnx.data"], "auto"), ["model.onnx.data", "model.onnx"]);
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  assertEquals(weightFiles([index, ...shards, "consolidated.safetensors"], "auto"), [...shards, index]);
  assertEquals(weightFiles([index, ...shards, "model.safetensors"], "fp32"), ["model.safetensors"]);
  assertEquals(weightFiles(["model.safetensors"], "q4"), undefined);
  assertEquals(weightFiles(["pytorch_model.bin"], "auto"), undefined);
});

sharedTest(
  "fixtures/qwen2-optimum",
  "transformers.js finds what was downloaded, and lists no file besides",
  async (from) => {
    const names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
    const onnx = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_q4.onnx"];
    await withRepository(
      Object.fromEntries([...names, ...onnx].map((name) => [name, { from }])),
      async (hub, { options, folder: expected, progress }) => {
        const folder = await resolveModelFolder("owner/name", options);
        assertStrictEquals(folder.path, expected);
        assertEquals(folder.name, "owner/name");
        assertEquals(folder.dtypes, ["fp32"]);
        for (const file of [...names, "onnx/model.onnx", "onnx/model.onnx_data"]) {
          assertEquals(await Deno.readFile(join(folder.path, file)), await Deno.readFile(join(from, file)), file);
          const { loaded, total } = progress.findLast((step) => step.file === file)!;
          assert(loaded === total && total > 0, file);
        }
        hub.trouble = () => new Response("nobody should ask", { status: 500 });
        await inTransformersJs({ remoteHost: hub.address, cacheDir: options.cacheDir }, async () => {
          for (const file of await ModelRegistry.get_files("owner/name", { dtype: "fp32", include_processor: false })) {
            assert(existsSync(join(folder.path, file)), file);
          }
          await AutoTokenizer.from_pretrained("owner/name", { local_files_only: true });
          const load = { dtype: "fp32", local_files_only: true } as const;
          await (await AutoModelForCausalLM.from_pretrained("owner/name", load)).dispose();
        });
        // A complete model needs no hub; another precision does.
        await resolveModelFolder("owner/name", options);
        assertSentence(
          await assertRejects(() => resolveModelFolder("owner/name", { ...options, dtype: "q4" })),
          /^Could not download owner\/name from .* \(HTTP 500 from .*\): check the network and run the same/,
        );
        hub.trouble = undefined;
        assertEquals((await resolveModelFolder("owner/name", { ...options, dtype: "q4" })).dtypes, ["fp32", "q4"]);
      },
    );
  },
);

sharedTest(
  "fixtures/llama-genai",
  "a repository without ONNX files is fetched as safetensors and imported, and says so",
  async (from) => {
    const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    await withRepository(
      Object.fromEntries(names.map((name) => [name, { from }])),
      async (hub, { options, remarks }) => {
        const folder = await resolveModelFolder("owner/name", options);
        assertEquals(folder.name, "owner/name");
        assert(folder.onnxFile("auto").startsWith(options.importDir));
        assertMatch(remarks[0]!, /^The hub's owner\/name has no ONNX file: fetching its safetensors instead\.$/);
        assertMatch(remarks[1]!, /writing one from its safetensors/);
        hub.trouble = () => new Response(null, { status: 500 });
        assertStrictEquals((await resolveModelFolder("owner/name", { ...options, dtype: "fp32" })).path, folder.path);
        hub.trouble = undefined;
        assertSentence(
          await assertRejects(() => resolveModelFolder("owner/name", { ...options, dtype: "q4" })),
          /has no ONNX file for dtype q4: choose --dtype fp32\.$/,
        );
      },
    );
  },
);

sharedTest(
  "fixtures/llama-genai",
  "a revision has a folder of its own, in which transformers.js finds it, and main another",
  async (from) => {
    const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_q4.onnx"];
    await withRepository(
      Object.fromEntries(names.map((name) => [name, { from }])),
      async (hub, { options, folder: main }) => {
        const folder = await resolveModelFolder("owner/name@v1", options);
        assertStrictEquals(folder.path, join(main, "v1"));
        assertEquals([folder.name, folder.revision], ["owner/name", "v1"]);
        assertEquals(readdirSync(main), ["v1"]);
        // PEFT finds an adapter's base by these two.
        const model = openModel(folder, "q4"), layers = adaptableLayers(model.path, folder.config);
        const settings = parseTrainSettings({ model: "owner/name@v1", out: "unused" });
        const { base_model_name_or_path, revision } = newAdapterConfig(settings, layers, model) as Record<
          string,
          unknown
        >;
        assertEquals([base_model_name_or_path, revision], ["owner/name", "v1"]);
        await inTransformersJs({ remoteHost: "http://127.0.0.1:9", cacheDir: options.cacheDir }, async () => {
          const load = { dtype: "q4", local_files_only: true, revision: "v1" } as const;
          await (await AutoModelForCausalLM.from_pretrained("owner/name", load)).dispose();
        });
        assertStrictEquals((await resolveModelFolder("owner/name@main", options)).path, main);
        assertEquals((await resolveModelFolder("owner/name", options)).revision, undefined);
        assertStrictEquals((await resolveModelFolder("owner/name@refs/pr/1", options)).path, join(main, "refs/pr/1"));
        assertSentence(
          await assertRejects(() => resolveModelFolder("owner/name@v2", options)),
          /^The hub's owner\/name has no revision v2 \(HTTP 404\)/,
        );
        // Main's ONNX files would be taken for that revision's.
        assertSentence(
          await assertRejects(() => resolveModelFolder("owner/name@onnx", options)),
          /name the commit's hash instead/,
        );
        for (const odd of ["owner/name@", "owner/name@../x", "owner/...", "owner/name@a@b", "owner/name@a//b"]) {
          assertSentence(await assertRejects(() => resolveModelFolder(odd, options), odd), /is not a hub id either/);
        }
        assert(hub.asked.every(({ file }) => names.includes(file)));
      },
    );
  },
);

Deno.test("all files are of the commit that was listed, whatever main stands for by then", async () => {
  await withRepository({ ...small, "onnx/model.onnx": "graph" }, async (hub, { options }) => {
    const paths: string[] = [];
    hub.trouble = (path) => void paths.push(path);
    await resolveModelFolder("owner/name", options);
    const files = ["tokenizer.json", "config.json", "onnx/model.onnx"];
    assertEquals(paths, [
      "/api/models/owner/name/revision/main",
      ...files.map((file) => `/owner/name/resolve/${commit}/${file}`),
    ]);
  });
});

Deno.test("safetensors that could not be imported are not fetched", async () => {
  const files = { ...small, "config.json": '{"model_type":"mamba"}', "model.safetensors": "gigabytes" };
  await withRepository(files, async (hub, { options }) => {
    assertSentence(
      await assertRejects(() => resolveModelFolder("owner/name", options)),
      /model_type "mamba" is not one/,
    );
    assertEquals(hub.asked.map(({ file }) => file), ["tokenizer.json", "config.json"]);
  });
});

Deno.test("what the hub will not give is one sentence with the way out", async () => {
  await withRepository({ ...small, "onnx/model_q4.onnx": "" }, async (hub, { options, remarks }) => {
    const find = (id: string, dtype = "auto") => resolveModelFolder(id, { ...options, dtype });
    const refusing = (status: number, code?: string) => (path: string) =>
      path.includes("/resolve/")
        ? new Response("", { status, headers: code ? { "x-error-code": code } : {} })
        : undefined;
    assertSentence(
      await assertRejects(() => find("owner/other")),
      /^The hub has no owner\/other \(HTTP 401\): check the id, .*set/,
    );
    assertSentence(
      await assertRejects(() => find("owner/name", "q8")),
      /no ONNX file for dtype q8: choose --dtype q4\.$/,
    );
    for (const trouble of [refusing(401, "GatedRepo"), refusing(403)]) {
      hub.trouble = trouble;
      assertSentence(
        await assertRejects(() => find("owner/name")),
        /^The hub's owner\/name is gated \(HTTP 40[13]\): accept its terms on http.*owner\/name, and set HF_TOKEN/,
      );
      await withEnvironment(
        { HF_TOKEN: "hf_mine" },
        () =>
          assertRejects(() => find("owner/name")).then((error) =>
            assertSentence(error, /gated .*accept its terms on http.*check that HF_TOKEN is a token of yours/)
          ),
      );
    }
    hub.trouble = refusing(404, "EntryNotFound");
    assertSentence(
      await assertRejects(() => find("owner/name")),
      /^The hub's owner\/name has no tokenizer\.json \(HTTP 404\)/,
    );
    hub.trouble = () => new Response(null, { status: 404 });
    assertSentence(
      await assertRejects(() => find("owner/name")),
      /^The hub has no owner\/name \(HTTP 404\): .*private.*set HF_TOKEN/,
    );
    await withEnvironment(
      { HF_TOKEN: "hf_mine" },
      () =>
        assertRejects(() => find("owner/name")).then((error) =>
          assertSentence(error, /the token in HF_TOKEN may not read it\.$/)
        ),
    );
    hub.trouble = refusing(451);
    assertSentence(
      await assertRejects(() => find("owner/name")),
      /does not give tokenizer\.json of owner\/name \(HTTP 451\)/,
    );
    hub.trouble = () => Response.json({ siblings: [{ rfilename: "model.gguf" }] });
    assertSentence(await assertRejects(() => find("owner/name")), /owner\/name has no config\.json/);
    const others = ["config.json", "tokenizer.json", "model.gguf"].map((rfilename) => ({ rfilename }));
    hub.trouble = () => Response.json({ siblings: others });
    assertSentence(
      await assertRejects(() => find("owner/name")),
      /neither an ONNX file nor safetensors \(it has model\.gguf\)/,
    );
    assertEquals(remarks, [], "what will not change was tried again");
    hub.trouble = () => Response.json({ nothing: true });
    assertSentence(await assertRejects(() => find("owner/name")), /its list of files is not as expected/);
  });
});

Deno.test("without the net, a model that is here in part serves as it is, and one that is not is one sentence", async () => {
  await withRepository({ ...small, "onnx/model_q4.onnx": "" }, async (_hub, { options, remarks }) => {
    await resolveModelFolder("owner/name", options);
    let gone = "";
    await withServer(() => new Response(), (address) => {
      gone = address;
      return Promise.resolve();
    });
    await withEnvironment({ HF_ENDPOINT: gone }, async () => {
      const folder = await resolveModelFolder("owner/name", options);
      assertEquals(folder.resolveDtype("auto"), "q4");
      // Without a second try: there is something to go on with.
      assertEquals(remarks.length, 1);
      assertMatch(remarks[0]!, /^The hub cannot be reached \(.+\): using owner\/name as it is here, in q4\.$/);
      assertSentence(
        await assertRejects(() => resolveModelFolder("owner/new", options)),
        /^Could not download owner\/new from http:\/\/127\.0\.0\.1:\d+ \(.+\): check the network/,
      );
      assertMatch(remarks[1]!, /^The list of owner\/new's files: .+; trying again in 1 s\.$/);
    });
  });
});

Deno.test("HF_ENDPOINT is a web address, and its host and subdomains are what a task may connect to beside the hub", async () => {
  const own = ["huggingface.co", "*.huggingface.co", "*.hf.co"];
  const cases: Record<string, [string, string[]]> = {
    "": ["https://huggingface.co", []],
    "https://huggingface.co/": ["https://huggingface.co", []],
    "https://mirror.example//": ["https://mirror.example", ["mirror.example:443", "*.mirror.example:443"]],
    "http://Mirror.example:81/hf/": ["http://mirror.example:81/hf", ["mirror.example:81", "*.mirror.example:81"]],
    "http://127.0.0.1:9": ["http://127.0.0.1:9", ["127.0.0.1:9"]],
    "http://[::1]:9": ["http://[::1]:9", ["[::1]:9"]],
    "http://localhost": ["http://localhost", ["localhost:80"]],
  };
  for (const [HF_ENDPOINT, [endpoint, hosts]] of Object.entries(cases)) {
    await withEnvironment({ HF_ENDPOINT, PROSPECT_HUB_HOSTS: " files.example:8443, " }, () => {
      assertStrictEquals(hubEndpoint(), endpoint);
      assertEquals(hubHosts(), [...own, ...hosts, "files.example:8443"]);
      return Promise.resolve();
    });
  }
  for (
    const HF_ENDPOINT of ["mirror.example", "file:///x", "localhost:80", "https://a:b@mirror.example", "https://x/?y"]
  ) {
    await withEnvironment({ HF_ENDPOINT }, () => {
      assertSentence(assertThrows(hubEndpoint), /^HF_ENDPOINT is not the address of a hub: write it as/);
      assertEquals(hubHosts(), own);
      return Promise.resolve();
    });
  }
});
