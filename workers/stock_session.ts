// Scores with transformers.js' own model class, for models that the compiler refuses: whole logits, one row at a time.
// Slow and plain on purpose; a test holds it equal to the compiled graph. It does not know adapters.

import { AutoModelForCausalLM, env, Tensor } from "@huggingface/transformers";
import type { Sequence } from "../shared/feedback/micro_batch.ts";
import type { StockSetup } from "./protocol.ts";

type StockModel = Awaited<ReturnType<typeof AutoModelForCausalLM.from_pretrained>>;

export class StockSession {
  private constructor(readonly model: StockModel) {}

  static async open({ folder, dtype, device }: StockSetup): Promise<StockSession> {
    // transformers.js takes a worker for a browser, where it does not look for local files unless told.
    env.allowLocalModels = true;
    const model = await AutoModelForCausalLM.from_pretrained(folder, {
      dtype: dtype as "fp32",
      device,
      local_files_only: true,
      session_options: { intraOpNumThreads: 1, logSeverityLevel: 4 },
    });
    return new StockSession(model);
  }

  async release(): Promise<void> {
    await this.model.dispose();
  }

  /** Log-prob of each completion token. */
  async score({ promptIds, completionIds }: Sequence): Promise<Float32Array> {
    const ids = [...promptIds, ...completionIds];
    const int64 = (values: bigint[]) => new Tensor("int64", BigInt64Array.from(values), [1, values.length]);
    const { logits } = await this.model.forward({
      input_ids: int64(ids.map(BigInt)),
      attention_mask: int64(ids.map(() => 1n)),
      position_ids: int64(ids.map((_, i) => BigInt(i))),
    });
    const vocabulary = logits.dims[2] as number, values = logits.to("float32").data as Float32Array;
    return Float32Array.from(completionIds, (id, i) => {
      const start = (promptIds.length + i - 1) * vocabulary;
      let highest = -Infinity, total = 0;
      for (let k = 0; k < vocabulary; k++) highest = Math.max(highest, values[start + k]!);
      for (let k = 0; k < vocabulary; k++) total += Math.exp(values[start + k]! - highest);
      return values[start + id]! - highest - Math.log(total);
    });
  }
}
