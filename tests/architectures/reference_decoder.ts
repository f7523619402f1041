// A decoder's forward pass written out plainly, token by token and head by head, as the papers have it: slow, in double
// precision, and sharing nothing with the code under test. What a family does differently is said by the test.

/** Numbers of one token. */
type Vector = number[];

/** A decoder and its habits. */
export interface ReferenceDecoder {
  /** Row-major tensors under Hugging Face's names, linear ones [out, in]. */
  weights: ReadonlyMap<string, Float32Array>;
  layers: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  epsilon: number;
  /** Norms multiply by this plus the weight. */
  normBase: 0 | 1;
  activation: (x: number) => number;
  embeddingScale: number;
  scoreDivisor: number;
  scoreCap?: number;
  logitCap?: number;
  /** Whether a layer's token at `query` sees the one at `key` (which is not after it). */
  sees: (layer: number, query: number, key: number) => boolean;
  /** Angle by which pair `pair` of a head turns per position; undefined leaves it. */
  frequency: (layer: number, pair: number) => number | undefined;
  /** Elements at the start of a head that turn. */
  turning: number;
}

export const silu = (x: number) => x / (1 + Math.exp(-x));
export const geluTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const dot = (a: Vector, b: Vector) => a.reduce((sum, each, i) => sum + each * b[i]!, 0);
const add = (a: Vector, b: Vector) => a.map((each, i) => each + b[i]!);
const cap = (x: number, limit?: number) => limit === undefined ? x : limit * Math.tanh(x / limit);

/** Logits of every token, one vector each. */
export function referenceLogits(model: ReferenceDecoder, ids: number[]): Vector[] {
  const { weights, heads, kvHeads, headSize } = model;
  const has = (name: string) => weights.has(name);
  const rows = (name: string, width: number): Vector[] => {
    const flat = [...weights.get(name)!];
    return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
  };
  const linear = (module: string, x: Vector): Vector => {
    const y = rows(`${module}.weight`, x.length).map((row) => dot(row, x));
    return has(`${module}.bias`) ? add(y, [...weights.get(`${module}.bias`)!]) : y;
  };
  const norm = (name: string, x: Vector): Vector => {
    const scale = weights.get(`${name}.weight`)!, size = Math.sqrt(dot(x, x) / x.length + model.epsilon);
    return x.map((each, i) => each / size * (model.normBase + scale[i]!));
  };
  const maybeNorm = (name: string, x: Vector) => has(`${name}.weight`) ? norm(name, x) : x;
  const split = (x: Vector, count: number): Vector[] =>
    Array.from({ length: count }, (_, i) => x.slice(i * headSize, (i + 1) * headSize));
  const turn = (layer: number, position: number, x: Vector): Vector => {
    const half = model.turning / 2, y = [...x];
    for (let pair = 0; pair < half; pair++) {
      const frequency = model.frequency(layer, pair);
      if (frequency === undefined) continue;
      const cos = Math.cos(position * frequency), sin = Math.sin(position * frequency);
      y[pair] = x[pair]! * cos - x[pair + half]! * sin;
      y[pair + half] = x[pair + half]! * cos + x[pair]! * sin;
    }
    return y;
  };
  /** The blocks' linear layers, whether the checkpoint has them apart or fused. */
  const queryKeyValue = (module: string, x: Vector): [Vector, Vector, Vector] => {
    if (!has(`${module}.qkv_proj.weight`)) {
      return [linear(`${module}.q_proj`, x), linear(`${module}.k_proj`, x), linear(`${module}.v_proj`, x)];
    }
    const all = linear(`${module}.qkv_proj`, x), q = heads * headSize, k = kvHeads * headSize;
    return [all.slice(0, q), all.slice(q, q + k), all.slice(q + k)];
  };
  const gateUp = (module: string, x: Vector): [Vector, Vector] => {
    if (!has(`${module}.gate_up_proj.weight`)) {
      return [linear(`${module}.gate_proj`, x), linear(`${module}.up_proj`, x)];
    }
    const all = linear(`${module}.gate_up_proj`, x);
    return [all.slice(0, all.length / 2), all.slice(all.length / 2)];
  };

  const hidden = weights.get("model.norm.weight")!.length;
  const table = rows("model.embed_tokens.weight", hidden);
  let stream = ids.map((id) => table[id]!.map((each) => each * model.embeddingScale));
  for (let layer = 0; layer < model.layers; layer++) {
    const path = `model.layers.${layer}`, sandwich = has(`${path}.pre_feedforward_layernorm.weight`);
    const parts = stream.map((x, position) => {
      const [q, k, v] = queryKeyValue(`${path}.self_attn`, norm(`${path}.input_layernorm`, x));
      const place = (name: string, states: Vector, count: number) =>
        split(states, count).map((head) => turn(layer, position, maybeNorm(`${path}.self_attn.${name}`, head)));
      return { queries: place("q_norm", q, heads), keys: place("k_norm", k, kvHeads), values: split(v, kvHeads) };
    });
    stream = stream.map((x, position) => {
      const seen = parts.slice(0, position + 1).filter((_, key) => model.sees(layer, position, key));
      const mixed = parts[position]!.queries.flatMap((query, head) => {
        const kv = Math.floor(head * kvHeads / heads);
        const scores = seen.map(({ keys }) => cap(dot(query, keys[kv]!) / model.scoreDivisor, model.scoreCap));
        const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
        const total = weights.reduce((sum, each) => sum + each, 0);
        return Array.from({ length: headSize }, (_, i) => {
          return weights.reduce((sum, each, at) => sum + each / total * seen[at]!.values[kv]![i]!, 0);
        });
      });
      let attended = linear(`${path}.self_attn.o_proj`, mixed);
      if (sandwich) attended = norm(`${path}.post_attention_layernorm`, attended);
      const between = add(x, attended);
      const before = sandwich ? "pre_feedforward_layernorm" : "post_attention_layernorm";
      const [gate, up] = gateUp(`${path}.mlp`, norm(`${path}.${before}`, between));
      let fed = linear(`${path}.mlp.down_proj`, gate.map((each, i) => model.activation(each) * up[i]!));
      if (sandwich) fed = norm(`${path}.post_feedforward_layernorm`, fed);
      return add(between, fed);
    });
  }
  const head = has("lm_head.weight") ? "lm_head" : "model.embed_tokens";
  return stream.map((x) => linear(head, norm("model.norm", x)).map((logit) => cap(logit, model.logitCap)));
}
