// Sessions that are fed weights from shared memory against sessions that map them from the file.

import { assert, assertEquals } from "@std/assert";
import { compileTraining } from "../../shared/compiler/compile.ts";
import { withoutDefaults } from "../../shared/compiler/weight_reads.ts";
import { packTree } from "../../shared/feedback/micro_batch.ts";
import { overShared, readSharedWeights } from "../../shared/runtime/shared_weights.ts";
import { TrainingSessions } from "../../workers/training_sessions.ts";
import { loraOf, readFixture } from "../compiler/golden_runs.ts";
import { withFile } from "../compiler/low_precision_runs.ts";
import { sharedTest } from "../feedback/shared_files.ts";

Deno.test("an array over shared memory sees what is written there, and where", () => {
  const data = new SharedArrayBuffer(12), array = overShared(data);
  new Float32Array(data)[2] = 7;
  assertEquals([...array], [0, 0, 7]);
});

for (const name of ["llama-dynamo", "llama-untied-genai"]) {
  sharedTest(
    `fixtures/${name}`,
    `${name}: weights fed from shared memory score as those of the file`,
    async (folder) => {
      const fixture = withFile(await readFixture(folder), "model_q4");
      const compiled = await compileTraining(fixture.model, fixture.config, loraOf(fixture), {
        kind: "kto",
        beta: 0.1,
      });
      assert(compiled.tables.length > 0, "the file keeps a table in float32");
      const { prompt_ids, completion_ids } = fixture.golden.tokens.rows[0]!;
      const batch = packTree([{ promptIds: prompt_ids, completionIds: completion_ids }], compiled.tokenMultiple);
      const score = async (tables: typeof compiled.tables) => {
        const sessions = await TrainingSessions.open({
          device: "cpu",
          folder: compiled.folder,
          parameters: compiled.parameters,
          reference: "rank-0",
          policy: new SharedArrayBuffer(0),
          initial: new SharedArrayBuffer(0),
          weights: readSharedWeights(compiled.folder, tables),
          scoring: withoutDefaults(compiled.scoring, tables),
        });
        try {
          return await sessions.score(batch, "reference", 0);
        } finally {
          await sessions.release();
        }
      };
      assertEquals(await score(compiled.tables), await score([]));
    },
  );
}
