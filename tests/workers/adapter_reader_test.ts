// Adapters of strangers: read in a thread that may read their folder alone, and for so long.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { adaptableLayers } from "../../shared/compiler/compile.ts";
import { InputError } from "../../shared/errors.ts";
import { type AdapterConfig, adapterConfig, type AdapterTensor, writeAdapter } from "../../shared/runtime/adapter.ts";
import { tensorName } from "../../shared/runtime/adapter.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { type OpenModel, openModel } from "../../shared/runtime/open_model.ts";
import { readAdapterFeeds, readAdapterOf } from "../../workers/adapter_reader.ts";
import { withFolder } from "../commands/run_task.ts";

/** `a…a` against this takes 2^n steps. */
const endless = "(([a-z._0-9])+)+!";

async function withAdapter(
  change: Partial<AdapterConfig>,
  use: (model: OpenModel, folder: string) => Promise<void>,
): Promise<void> {
  const model = await openModel(await resolveModelFolder(embeddedModelFolder), "auto");
  const { module, inSize, outSize } = adaptableLayers(model.path, model.folder.config)[0]!;
  await withFolder(async (folder) => {
    const config = adapterConfig({ rank: 1, alpha: 2, targetModules: [module], baseModel: "prospect-world" });
    const matrix = (shape: number[]): AdapterTensor => ({
      shape,
      data: new Float32Array(shape[0]! * shape[1]!).fill(1),
    });
    const tensors = new Map([
      [tensorName(module, "A"), matrix([1, inSize])],
      [tensorName(module, "B"), matrix([outSize, 1])],
    ]);
    await writeAdapter(folder, { config, tensors });
    await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify({ ...config, ...change }));
    await use(model, folder);
  });
}

Deno.test("an adapter is served with the scaling that its patterns mean", async () => {
  await withAdapter({ alpha_pattern: { ".*_proj": 6 } }, async (model, folder) => {
    const feeds = await readAdapterFeeds(model, folder);
    assertEquals(Object.values(feeds).map(({ data }) => data[0]).sort(), [1, 6]);
    const { modules } = await readAdapterOf(model, folder);
    assertEquals([...modules.values()], [{ rank: 1, scaling: 6 }]);
  });
});

for (
  const [where, change] of Object.entries<Partial<AdapterConfig>>({
    target_modules: { target_modules: endless },
    exclude_modules: { exclude_modules: endless },
    rank_pattern: { rank_pattern: { [endless]: 2 } },
    alpha_pattern: { alpha_pattern: { [endless]: 2 } },
    layers_pattern: { target_modules: ["q_proj", "k_proj"], layers_to_transform: [0], layers_pattern: `(${endless})` },
  })
) {
  Deno.test(`an endless regular expression in ${where} is refused in one sentence while the thread goes on`, async () => {
    await withAdapter(change, async (model, folder) => {
      let longest = 0, before = performance.now();
      const beat = setInterval(() => {
        longest = Math.max(longest, performance.now() - before);
        before = performance.now();
      }, 20);
      try {
        assertMatch(
          (await assertRejects(() => readAdapterFeeds(model, folder), InputError)).message,
          /^\S+: the adapter cannot be read \(it took longer than \d+ ms\): .*instead\.$/,
        );
        assert(longest < 5000, `the thread stood still for ${longest} ms`);
      } finally {
        clearInterval(beat);
      }
    });
  });
}
