// Key-value caches of a batch, and the two ways to lay rows of different length side by side. Rows are picked out of
// several caches into one. It does not run a model.

import { Tensor } from "onnxruntime-node";

/** Tensors by input name. */
export type Feeds = Record<string, Tensor>;

/**
 * Where a shorter row's padding stands. An export that concatenates its cache takes it on the left; one whose attention
 * counts the mask's ones (GroupQueryAttention) takes it on the right. "none": rows do not go together, each is run alone.
 */
export type Padding = "left" | "right" | "none";

/** The caches of a batch: each tensor is [rows, heads, width, size], of which a row uses its own length. */
export interface Cache {
  tensors: Feeds;
  lengths: number[];
  width: number;
}

/** A row of a cache. */
export interface CacheRow {
  cache: Cache;
  row: number;
}

type Numbers = Float32Array | Uint16Array;

/** Lays rows side by side in a new cache, as narrow as its longest row. */
export function gatherRows(rows: readonly CacheRow[], padding: Padding): Cache {
  const lengths = rows.map(({ cache, row }) => cache.lengths[row]!), width = Math.max(...lengths);
  const tensors: Feeds = {};
  for (const [name, { type, dims, data }] of Object.entries(rows[0]!.cache.tensors)) {
    const heads = dims[1]!, size = dims[3]!;
    const Values = (data as Numbers).constructor as new (length: number) => Numbers;
    const gathered = new Values(rows.length * heads * width * size);
    rows.forEach(({ cache, row }, to) => {
      const from = cache.tensors[name]!.data as Numbers, length = lengths[to]!;
      const fromPadding = padding === "left" ? cache.width - length : 0;
      const toPadding = padding === "left" ? width - length : 0;
      for (let head = 0; head < heads; head++) {
        const start = ((row * heads + head) * cache.width + fromPadding) * size;
        gathered.set(
          from.subarray(start, start + length * size) as never,
          ((to * heads + head) * width + toPadding) * size,
        );
      }
    });
    tensors[name] = new Tensor(type as "float32", gathered as Float32Array, [rows.length, heads, width, size]);
  }
  return { tensors, lengths, width };
}

/** Gives the tensors' memory back at once: the garbage collector does not see how large native memory is. */
export function disposeCache({ tensors }: Cache): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
