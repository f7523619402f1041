// AdamW as torch.optim.AdamW computes it, and gradient clipping as torch.nn.utils.clip_grad_norm_ does it.
// It knows arrays of numbers only: not what they are called, where the gradients come from, nor the schedule.

/** The hyperparameters; the defaults are transformers' TrainingArguments (adamw_torch). */
export interface AdamWOptions {
  /** Decay of the first moment. Default 0.9. */
  beta1?: number;
  /** Decay of the second moment. Default 0.999. */
  beta2?: number;
  /** Added to the bias-corrected root of the second moment. Default 1e-8. */
  epsilon?: number;
  /** Decoupled decay: every step first multiplies every weight by 1 − learningRate × weightDecay. Default 0. */
  weightDecay?: number;
}

/** What a checkpoint has to keep. The arrays are in the order of the parameters and have their lengths. */
export interface AdamWState {
  /** Steps taken so far. */
  step: number;
  firstMoments: Float32Array[];
  secondMoments: Float32Array[];
}

/** An optimizer over a fixed list of parameters. */
export interface AdamW {
  /**
   * Changes the parameters in place by one step. A learning rate of 0 (the first warm-up step) still updates the
   * moments, as in torch.
   *
   * @throws {RangeError} when the arrays are not those it was created for.
   */
  step(parameters: Float32Array[], gradients: Float32Array[], learningRate: number): void;
  /** The live state, not a copy: write it out before the next step. */
  state(): AdamWState;
  /**
   * Continues from a saved state, which is copied.
   *
   * @throws {RangeError} when it does not fit the parameters.
   */
  restore(state: AdamWState): void;
}

/**
 * An optimizer for parameters of the given lengths. The moments are float32 as in torch; the arithmetic between is
 * float64, which differs from torch by less than torch's own rounding.
 *
 * Source: torch/optim/adamw.py → adam.py `_single_tensor_adam` (torch 2.13).
 */
export function createAdamW(lengths: number[], options: AdamWOptions = {}): AdamW {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  const firstMoments = lengths.map((length) => new Float32Array(length));
  const secondMoments = lengths.map((length) => new Float32Array(length));
  let step = 0;

  function check(arrays: Float32Array[], what: string): void {
    if (arrays.length !== lengths.length) {
      throw new RangeError(`AdamW was created for ${lengths.length} parameters and got ${arrays.length} ${what}`);
    }
    arrays.forEach((array, index) => {
      if (array.length !== lengths[index]) {
        throw new RangeError(`AdamW: ${what} ${index} has ${array.length} values, its parameter ${lengths[index]}`);
      }
    });
  }

  return {
    step(parameters, gradients, learningRate) {
      check(parameters, "parameters");
      check(gradients, "gradients");
      step += 1;
      const stepSize = learningRate / (1 - beta1 ** step);
      const rootCorrection = Math.sqrt(1 - beta2 ** step);
      const decay = 1 - learningRate * weightDecay;
      parameters.forEach((parameter, index) => {
        const gradient = gradients[index]!;
        const first = firstMoments[index]!;
        const second = secondMoments[index]!;
        for (let i = 0; i < parameter.length; i++) {
          const g = gradient[i]!;
          const m = first[i] = first[i]! + (g - first[i]!) * (1 - beta1);
          const v = second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
          // Epsilon goes outside the root and after the bias correction; the other order is the paper's "ε hat".
          parameter[i] = parameter[i]! * decay - stepSize * m / (Math.sqrt(v) / rootCorrection + epsilon);
        }
      });
    },
    state: () => ({ step, firstMoments, secondMoments }),
    restore(state) {
      if (!Number.isInteger(state.step) || state.step < 0) throw new RangeError(`AdamW: step ${state.step} in a state`);
      check(state.firstMoments, "first moments");
      check(state.secondMoments, "second moments");
      step = state.step;
      firstMoments.forEach((moments, index) => moments.set(state.firstMoments[index]!));
      secondMoments.forEach((moments, index) => moments.set(state.secondMoments[index]!));
    },
  };
}

/** The L2 norm of all gradients taken as one vector, summed in float64. */
export function gradientNorm(gradients: Float32Array[]): number {
  let sum = 0;
  for (const gradient of gradients) {
    for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
  }
  return Math.sqrt(sum);
}

/**
 * Scales all gradients in place by one factor so that their common norm is at most `maxNorm`, and returns the norm
 * before that. A `maxNorm` of 0 or less leaves them alone, as transformers' `max_grad_norm` does. A non-finite norm
 * leaves them alone too: the caller must stop on it rather than train on zeros.
 *
 * Source: torch.nn.utils.clip_grad_norm_ (factor maxNorm / (norm + 1e-6), at most 1).
 */
export function clipGradients(gradients: Float32Array[], maxNorm: number): number {
  const norm = gradientNorm(gradients);
  if (maxNorm <= 0 || !Number.isFinite(norm)) return norm;
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  if (factor < 1) {
    for (const gradient of gradients) {
      for (let i = 0; i < gradient.length; i++) gradient[i]! *= factor;
    }
  }
  return norm;
}
