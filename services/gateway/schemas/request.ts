// What all JSON objects that clients send have in common. It knows no route.

import { z } from "@hono/zod-openapi";

type Shape = Record<string, z.ZodType>;

/** Optional fields of a shape take null too, and give undefined for it. */
type NullsLeftOut<Fields extends Shape> = {
  [Name in keyof Fields]: Fields[Name] extends z.ZodOptional
    ? z.ZodPipe<z.ZodNullable<Fields[Name]>, z.ZodTransform<z.output<Fields[Name]>, z.output<Fields[Name]> | null>>
    : Fields[Name];
};

/** Fields of which an optional one that is null is as if it was left out: many clients write all that they know of. */
export const nullsLeftOut = <Fields extends Shape>(shape: Fields): NullsLeftOut<Fields> =>
  Object.fromEntries(
    Object.entries(shape).map(([name, field]) => [
      name,
      field instanceof z.ZodOptional ? field.nullable().transform((value) => value ?? undefined) : field,
    ]),
  ) as NullsLeftOut<Fields>;

/** An object of a request: what it does not name is refused. */
export const requestObject = <Fields extends Shape>(shape: Fields) => z.strictObject(nullsLeftOut(shape));

/**
 * A field that may only hold what changes nothing here; anything else is refused as not supported.
 *
 * @param accepted what changes nothing
 * @param otherwise the sentence to those who send something else
 */
export const noOp = <Accepted extends z.ZodType>(accepted: Accepted, otherwise: string) =>
  refused((value) => accepted.safeParse(value).success, otherwise).openapi(describe(accepted));

/** A field that may only be null. */
export const onlyNull = (otherwise: string) => refused(() => false, otherwise).openapi({ type: "null" });

function refused(accept: (value: unknown) => boolean, otherwise: string) {
  return z.custom<unknown>(accept, { error: otherwise, params: { code: "unsupported_parameter" } }).optional();
}

/** What is accepted, or null: OpenAPI 3.1 describes values in JSON Schema. */
function describe(accepted: z.ZodType): Record<string, unknown> {
  const { $schema: _, type, enum: some, const: one, ...more } = z.toJSONSchema(accepted);
  const values = some ?? (one === undefined ? undefined : [one]);
  return { ...more, type: [type, "null"], ...(values ? { enum: [...values, null] } : {}) };
}

/** Lists up to this long are read at once. */
const shortList = 64;

/**
 * A list that is read no further than its first bad element where it is long: a complaint takes longer than a good
 * element, and only the first is told.
 */
export const upToFirstFault = <Element extends z.ZodType>(list: z.ZodArray<Element>) =>
  z.preprocess((value) => {
    if (!Array.isArray(value) || value.length <= shortList) return value;
    const fault = value.findIndex((each) => !list.element.safeParse(each).success);
    return fault < 0 ? value : value.slice(0, fault + 1);
  }, list);

/** Text that a column of the store can hold. */
export const storableText = (schema: z.ZodString) =>
  schema.refine(
    (text) => text.isWellFormed() && !text.includes("\0"),
    "must have no NUL character and no half surrogate pair",
  );

/** Pairs that a client keeps with a thing, as many and as long as OpenAI takes them. */
export const metadataSchema = z.record(
  storableText(z.string().min(1).max(64, "keys have at most 64 characters")),
  storableText(z.string().max(512, "values have at most 512 characters")),
).refine((pairs) => Object.keys(pairs).length <= 16, "at most 16 pairs");
