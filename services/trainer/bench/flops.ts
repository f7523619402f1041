// Counts the floating-point operations of one training step: takes the step in this process with ONNX Runtime's profiler
// on, which writes down the shapes of every product that ran. Only products count (MatMul, Gemm and fused kin), with
// padding, as they ran. It does not time anything but the operators' shares.

import { InferenceSession } from "onnxruntime-node";
import { join } from "node:path";
import type { Remote } from "comlink";
import { z } from "zod";
import type { WorkerPool } from "../../../workers/pool.ts";
import type { ModelWorker } from "../../../workers/protocol.ts";
import { TrainingSessions } from "../../../workers/training_sessions.ts";
import { prepareSteps } from "./steps.ts";
import type { StepSettings } from "./settings.ts";

/** What a step computes. */
export interface StepWork {
  flops: number;
  /** Share of the operators' time, largest first. */
  operators: { operator: string; share: number }[];
}

const tensorShapes = z.array(z.record(z.string(), z.array(z.number())));
const eventSchema = z.object({
  name: z.string(),
  cat: z.string(),
  ts: z.number(),
  dur: z.number(),
  args: z.looseObject({
    op_name: z.string().optional(),
    input_type_shape: tensorShapes.optional(),
    output_type_shape: tensorShapes.optional(),
  }).optional(),
});

type ProfileEvent = z.infer<typeof eventSchema>;

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Operations of one node: two per multiply-add of a product, none for anything else. */
export function nodeFlops({ args }: Pick<ProfileEvent, "args">): number {
  const shapes = (list: z.infer<typeof tensorShapes> = []) => list.map((tensor) => Object.values(tensor)[0] ?? []);
  const [left] = shapes(args?.input_type_shape), [product] = shapes(args?.output_type_shape);
  if (!left || !product) return 0;
  switch (args?.op_name) {
    case "MatMul":
    case "Gemm":
    case "FusedMatMul":
    case "FusedGemm":
    case "MatMulNBits": {
      // The left side's last two sizes are the product's rows and the depth, whichever is transposed.
      const depth = count(left.slice(-2)) / (product.at(-2) ?? 1);
      return 2 * count(product) * depth;
    }
    case "GroupQueryAttention":
    case "MultiHeadAttention":
    case "Attention":
      // Scores and values, each [sequence, sequence] times the heads' width; the causal half is not left out.
      return 4 * count(product) * (product.at(-2) ?? 1);
    default:
      return 0;
  }
}

/** Runs shares one after another on sessions in this thread. It stands in for the pool of workers. */
function localPool(workers: number, onOpen: () => void): WorkerPool {
  let sessions: TrainingSessions | undefined;
  const worker: Pick<ModelWorker, "open" | "score" | "gradient"> = {
    async open(setup) {
      onOpen();
      sessions = await TrainingSessions.open(setup);
    },
    score: (...given) => sessions!.score(...given),
    gradient: (...given) => sessions!.gradient(...given),
  };
  const remote = worker as unknown as Remote<ModelWorker>;
  const pool: Pick<WorkerPool, "size" | "prepare" | "map"> = {
    size: workers,
    prepare: (setup) => setup(remote),
    async map(shares, run, onDone = () => {}) {
      const results = [];
      for (const share of shares) {
        results.push(await run(remote, share));
        onDone(share);
      }
      return results;
    },
  };
  return pool as WorkerPool;
}

/** Sessions opened while it is installed keep a profile of their runs. */
class Profiler {
  #folder: string;
  #create = InferenceSession.create;
  #sessions: { session: InferenceSession; runs: number; marked: number }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  install(): void {
    InferenceSession.create = (async (graph: Uint8Array, options: InferenceSession.SessionOptions) => {
      const profileFilePrefix = join(this.#folder, `${this.#sessions.length}`);
      const session = await this.#create(graph, { ...options, enableProfiling: true, profileFilePrefix });
      const entry = { session, runs: 0, marked: 0 };
      const run = session.run.bind(session);
      session.run = ((...given: Parameters<typeof run>) => {
        entry.runs++;
        return run(...given);
      }) as typeof run;
      this.#sessions.push(entry);
      return session;
    }) as typeof InferenceSession.create;
  }

  uninstall(): void {
    InferenceSession.create = this.#create;
  }

  /** Forgets the runs so far. */
  mark(): void {
    for (const entry of this.#sessions) entry.marked = entry.runs;
  }

  /** Every operator that ran since the mark. Ends the profiles. */
  async operators(): Promise<ProfileEvent[]> {
    for (const { session } of this.#sessions) session.endProfiling();
    const found: ProfileEvent[] = [];
    for await (const { name } of Deno.readDir(this.#folder)) {
      const { marked } = this.#sessions[Number.parseInt(name)]!;
      const events = z.array(eventSchema).parse(JSON.parse(await Deno.readTextFile(join(this.#folder, name))));
      const runs = events.filter(({ cat, name }) => cat === "Session" && name === "model_run").map(({ ts }) => ts);
      const from = runs.sort((a, b) => a - b)[marked] ?? Infinity;
      found.push(...events.filter(({ cat, ts, args }) => cat === "Node" && ts >= from && args?.op_name !== undefined));
    }
    return found;
  }
}

/** Counts the operations of one step of a configuration whose reference is precomputed. */
export async function measureWork(settings: StepSettings): Promise<StepWork> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-bench-" });
  const profiler = new Profiler(folder);
  try {
    // What the compiler opens for itself before the worker's turn is not profiled.
    const pool = localPool(settings.workers, () => profiler.install());
    const { take } = await prepareSteps({ ...settings, steps: 1, warmupSteps: 0, precomputed: true }, pool);
    await take(0);
    // The same step again, with its buffers grown.
    profiler.mark();
    await take(0);
    const time = new Map<string, number>();
    let total = 0, flops = 0;
    for (const event of await profiler.operators()) {
      const operator = event.args!.op_name!;
      time.set(operator, (time.get(operator) ?? 0) + event.dur);
      total += event.dur;
      flops += nodeFlops(event);
    }
    const operators = [...time].map(([operator, spent]) => ({ operator, share: spent / total }));
    return { flops, operators: operators.sort((a, b) => b.share - a.share) };
  } finally {
    profiler.uninstall();
    await Deno.remove(folder, { recursive: true });
  }
}
