// Rows that share prefixes in one tree against the same rows apart, on every fixture: log-probs and gradients alike.

import { assert, assertStrictEquals } from "@std/assert";
import { gradientName } from "../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../shared/compiler/feeds.ts";
import { head } from "../../shared/compiler/score_head.ts";
import { type MicroBatch, packRows, packTree } from "../../shared/feedback/micro_batch.ts";
import { FIXTURES, sharedTest } from "../feedback/shared_files.ts";
import { ktoFeeds, loraFeeds, loraOf, readFixture, withCompiled } from "./golden_runs.ts";
import { floats } from "./sessions.ts";

// Longer than the window of 16 that gemma3's sliding layers have.
const prompt = Array.from({ length: 21 }, (_, i) => (i * 29 + 3) % 500);
const rows = [
  { promptIds: prompt, completionIds: [3, 4, 5, 2] },
  { promptIds: prompt, completionIds: [3, 4, 9, 11, 2] },
  { promptIds: [...prompt.slice(0, 10), 7, 8], completionIds: [3, 4, 5, 2] },
  { promptIds: [400, 401], completionIds: [9, 2] },
];
const labels = [true, false, false, true];

/** Largest difference, relative to the largest value. */
function difference(a: Float32Array, b: Float32Array): number {
  const most = a.reduce((largest, each) => Math.max(largest, Math.abs(each)), 0);
  return a.reduce((worst, each, i) => Math.max(worst, Math.abs(each - b[i]!)), 0) / most;
}

for (const name of FIXTURES) {
  sharedTest(`fixtures/${name}`, `${name}: rows packed as one tree score and train as rows apart`, async (folder) => {
    const fixture = await readFixture(folder);
    await withCompiled(fixture, loraOf(fixture), { kind: "kto", beta: 0.1 }, async (compiled, _scoring, gradient) => {
      assert(compiled.treeTokens > 0, "it cannot share prefixes");
      const run = async (batch: MicroBatch) => {
        const rowOf = [...batch.rowOfToken].map(Number);
        return await gradient.run({
          ...microBatchFeeds(batch),
          ...loraFeeds(compiled, fixture.adapter),
          ...ktoFeeds(labels, rowOf, 0.01, 1, 1.25),
          reference_log_probs: floats(rowOf.map(() => -5)),
        });
      };
      const tree = packTree(rows, compiled.tokenMultiple);
      assertStrictEquals(tree.sequence, 21 + 4 + 3 + 6 + 4);
      const apart = await run(packRows(rows, compiled.tokenMultiple)), together = await run(tree);
      for (const output of [head.logProbs, ...compiled.parameters.map(({ name }) => gradientName(name))]) {
        const off = difference(apart[output]!.data as Float32Array, together[output]!.data as Float32Array);
        assert(off < 3e-5, `${output} is off by ${off}`);
      }
    });
  });
}
