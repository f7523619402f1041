// The trained tensors as one block of shared memory: every worker reads it, the optimizer writes it between steps.
// Brings LoRA matrices from PEFT's layout (A [rank, in], B [out, rank]) into the graph's (the transposes) and back.
// It does not know gradients or files.

import type { Parameter } from "../../shared/compiler/compile.ts";
import { Random } from "../../shared/random.ts";
import type { AdapterTensor } from "../../shared/runtime/adapter.ts";
import { transposed } from "../../shared/runtime/adapter_of_model.ts";

export { servingFeeds } from "../../shared/runtime/adapter_of_model.ts";

const size = ({ shape }: Parameter) => shape.reduce((product, length) => product * length, 1);

/** Parameters laid out one after another in shared memory. */
export class ParameterBlock {
  readonly buffer: SharedArrayBuffer;
  /** One view per parameter, in order. */
  readonly views: Float32Array[];

  constructor(readonly parameters: readonly Parameter[]) {
    this.buffer = new SharedArrayBuffer(4 * parameters.reduce((sum, parameter) => sum + size(parameter), 0));
    this.views = this.split(this.buffer);
  }

  get length(): number {
    return this.buffer.byteLength / 4;
  }

  /** Views of each parameter in a flat block of the same layout. */
  split(buffer: ArrayBufferLike): Float32Array[] {
    let offset = 0;
    return this.parameters.map((parameter) => {
      const view = new Float32Array(buffer, offset * 4, size(parameter));
      offset += view.length;
      return view;
    });
  }

  /** A copy of all values. */
  snapshot(): Float32Array {
    return new Float32Array(this.buffer).slice();
  }

  fill(values: Float32Array): void {
    new Float32Array(this.buffer).set(values);
  }
}

/**
 * Shared blocks that workers write the gradients of a step's shares into. They are added up in the order of the shares,
 * whoever finished first, so that sums do not depend on timing, and used again as soon as they are added: about as many
 * exist as there are workers. Buffers sent to and fro would be new memory each time, which the garbage collector is slow
 * to see.
 */
export class GradientBlocks {
  #free: SharedArrayBuffer[] = [];
  #ofShare = new Map<number, SharedArrayBuffer>();
  #finished = new Set<number>();
  #added = 0;
  #total: Float32Array;

  constructor(readonly policy: ParameterBlock) {
    this.#total = new Float32Array(policy.length);
  }

  /** The block of share `index`, the same one when asked again. */
  block(index: number): SharedArrayBuffer {
    const block = this.#ofShare.get(index) ?? this.#free.pop() ?? new SharedArrayBuffer(4 * this.policy.length);
    this.#ofShare.set(index, block);
    return block;
  }

  /** Says that share `index` is written. */
  finish(index: number): void {
    this.#finished.add(index);
    while (this.#finished.delete(this.#added)) {
      const block = this.#ofShare.get(this.#added)!, part = new Float32Array(block), total = this.#total;
      if (this.#added === 0) total.set(part);
      else for (let i = 0; i < total.length; i++) total[i]! += part[i]!;
      this.#ofShare.delete(this.#added++);
      this.#free.push(block);
    }
  }

  /** Sum over all finished shares as views per parameter, valid until the next step begins. */
  sum(): Float32Array[] {
    this.#added = 0;
    return this.policy.split(this.#total.buffer);
  }
}

/**
 * A fresh adapter as PEFT makes it: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that the policy starts as
 * the reference.
 */
export function initializeLora(block: ParameterBlock, seed: number): void {
  const random = new Random(seed);
  block.parameters.forEach(({ name, shape }, i) => {
    const view = block.views[i]!;
    if (!name.includes(".lora_A.")) return void view.fill(0);
    const bound = 1 / Math.sqrt(shape[0]!);
    for (let k = 0; k < view.length; k++) view[k] = (2 * random.next() - 1) * bound;
  });
}

/** Fills the block from PEFT's tensors. The caller has checked names and shapes. */
export function loadLora(block: ParameterBlock, tensors: ReadonlyMap<string, AdapterTensor>): void {
  block.parameters.forEach(({ name, shape }, i) => {
    block.views[i]!.set(transposed(tensors.get(name)!.data, shape[1]!, shape[0]!));
  });
}

/** The block's LoRA matrices in PEFT's layout. */
export function saveLora(block: ParameterBlock): Map<string, AdapterTensor> {
  return new Map(block.parameters.map(({ name, shape }, i) => {
    const [rows, columns] = shape as [number, number];
    return [name, { shape: [columns, rows], data: transposed(block.views[i]!.slice(), rows, columns) }];
  }));
}
