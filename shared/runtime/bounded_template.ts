// A Jinja template that ends: what it computes and what it builds is counted, and too much of either is refused. It knows
// nothing of conversations.

import { Environment, Interpreter, Template } from "@huggingface/jinja";

/** Expressions and statements that a rendering may compute: thousands of messages take a tenth. */
const mostSteps = 5_000_000;

/** Characters that a rendering may build in all, beyond those of its own words; an element of a list counts as several. */
const mostBuilt = 512 * 2 ** 20, charactersPerElement = 32;

/** Numbers in one range. */
const longestRange = 1_000_000;

type Evaluate = Interpreter["evaluate"];

/** What builds a new value; others only name one. */
const building = new Set(["BinaryExpression", "FilterExpression", "CallExpression", "SliceExpression", "Macro"]);

class BoundedInterpreter extends Interpreter {
  #steps = 0;
  #built = 0;

  override evaluate(...[statement, environment]: Parameters<Evaluate>): ReturnType<Evaluate> {
    if (++this.#steps > mostSteps) throw new Error("it does not end");
    const result = super.evaluate(statement, environment);
    if (statement !== undefined && building.has(statement.type)) {
      const { value } = result;
      if (typeof value === "string") this.#built += value.length;
      else if (Array.isArray(value)) this.#built += value.length * charactersPerElement;
      if (this.#built > mostBuilt) throw new Error("it builds more text than any model reads");
    }
    return result;
  }
}

function range(start: number, stop?: number, step = 1): number[] {
  const [first, end] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((end - first) / step));
  if (step === 0) throw new Error("range() step must not be zero");
  if (length > longestRange) throw new Error(`it counts to ${length}`);
  return Array.from({ length }, (_, i) => first + i * step);
}

const date = new Template("{{ strftime_now(format) }}");

/** Functions and names that every template has, as the library gives them. */
const globals: Record<string, unknown> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  strftime_now: (format: string) => date.render({ format }),
  raise_exception: (message: string) => {
    throw new Error(message);
  },
};

/** A compiled template. */
export class BoundedTemplate {
  readonly #program;

  /** @throws Error where the source is no template */
  constructor(source: string) {
    this.#program = new Template(source).parsed;
  }

  /** The text for these variables. @throws Error where the template does, or where it computes or builds too much */
  render(variables: Record<string, unknown>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...variables, ...globals })) environment.set(name, value);
    return String(new BoundedInterpreter(environment).run(this.#program).value);
  }
}
