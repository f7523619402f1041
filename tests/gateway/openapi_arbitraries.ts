// Requests out of an OpenAPI document: valid ones as its schemas say, and the same ones broken in the ways that clients,
// proxies and attackers break them. It knows no route by name.

import * as fc from "fast-check";

/** A request, ready to be sent. */
export interface FuzzRequest {
  method: string;
  /** With its query. */
  path: string;
  headers: Record<string, string>;
  body: string | Uint8Array | undefined;
}

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

interface Operation {
  parameters?: { name: string; in: "path" | "query" | "header"; style?: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
}

/** The parts of an OpenAPI document that are read. */
export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

type Json = unknown;
/** Values that mean something to the server that is asked, by the name of their field. */
export type Known = Record<string, readonly Json[]>;

/** Values of a schema. Fields in `known` mostly take their values from there, or next to no request would get far. */
function valid(schema: Schema, document: Document, known: Known): fc.Arbitrary<Json> {
  const inner = (schema: Schema) => valid(schema, document, known);
  if (schema.$ref) return inner(document.components.schemas[schema.$ref.split("/").at(-1)!]!);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives) return fc.oneof(...alternatives.map(inner));
  if (schema.allOf) return inner(Object.assign({}, ...schema.allOf));
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => inner({ ...schema, type })));
  switch (schema.type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer": {
      const { minimum: min = -(2 ** 31), maximum: max = 2 ** 31 - 1 } = schema;
      return max > 2 ** 31 ? fc.maxSafeInteger() : fc.integer({ min, max });
    }
    case "number": {
      const { exclusiveMinimum, minimum: min = exclusiveMinimum ?? -1e6, maximum: max = 1e6 } = schema;
      return fc.double({ min, max, noNaN: true, minExcluded: exclusiveMinimum !== undefined });
    }
    case "string": {
      if (schema.pattern) return fc.stringMatching(new RegExp(schema.pattern));
      const { minLength = 0, maxLength = 30 } = schema;
      return fc.string({ unit: "grapheme", minLength, maxLength: Math.min(maxLength, 30) });
    }
    case "array": {
      if (schema.prefixItems) return fc.tuple(...schema.prefixItems.map(inner));
      const { items = {}, minItems = 0, maxItems = 4 } = schema;
      return fc.array(inner(items), { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 4)) });
    }
    case "object": {
      const { properties = {}, required = [], additionalProperties } = schema;
      if (typeof additionalProperties === "object") {
        return fc.dictionary(fc.oneof(fc.nat({ max: 2000 }).map(String), fc.string()), inner(additionalProperties), {
          maxKeys: 4,
        });
      }
      const fields = Object.entries(properties).map(([name, field]) => [
        name,
        known[name] ? fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...known[name]) }, inner(field)) : inner(field),
      ]);
      return fc.record<Record<string, Json>, string>(Object.fromEntries(fields), { requiredKeys: required });
    }
    default:
      return fc.jsonValue();
  }
}

/** Brackets that open and close again. */
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

const oddValue: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, "", 0, -1, 0.5, 1e308, 2 ** 53, -(2 ** 63), [], {}, [[[[]]]], [null], {
    type: "text",
  }),
  fc.constantFrom("\0", "\ud800", "\ufeff", "__proto__", "constructor", "' OR 1=1 --", "../../etc/passwd", "%00", "$1"),
  fc.constant("x".repeat(5000)),
  fc.constant(JSON.parse(nested(500))),
  fc.string({ unit: "binary" }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** Every place in a value, as its parent and its key there. */
function placesOf(parent: Json, found: [Record<string, Json>, string][] = []): [Record<string, Json>, string][] {
  if (typeof parent !== "object" || parent === null) return found;
  for (const key of Object.keys(parent)) {
    found.push([parent as Record<string, Json>, key]);
    if (found.length < 200) placesOf((parent as Record<string, Json>)[key], found);
  }
  return found;
}

const change = fc.record({
  kind: fc.constantFrom("replace", "replace", "remove", "add", "wrap"),
  at: fc.nat(),
  name: fc.oneof(fc.string(), fc.constantFrom("__proto__", "tools", "id", "n", "stream")),
  value: oddValue,
});

const plainField = { enumerable: true, configurable: true, writable: true };

/** A value, broken in places. */
function broken(value: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  return fc.tuple(value, fc.array(change, { minLength: 1, maxLength: 3 })).map(([value, changes]) => {
    const copy = structuredClone(value);
    for (const { kind, at, name, value: odd } of changes) {
      const value = structuredClone(odd);
      const places = placesOf(copy);
      if (places.length === 0) return value;
      const [parent, key] = places[at % places.length]!;
      if (kind === "remove") delete parent[key];
      else if (kind === "wrap") parent[key] = [parent[key]];
      // Plain assignment would not make a field of "__proto__".
      else Object.defineProperty(parent, kind === "add" ? name : key, { value, ...plainField });
    }
    return copy;
  });
}

const encoder = new TextEncoder();

/** Texts that are no JSON, or JSON as nobody should write it. */
function brokenText(text: fc.Arbitrary<string>): fc.Arbitrary<string | Uint8Array> {
  return fc.oneof(
    fc.tuple(text, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1))),
    fc.tuple(text, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([text, at, bytes]) => {
      const whole = encoder.encode(text), place = at % (whole.length + 1);
      return Uint8Array.of(...whole.subarray(0, place), ...bytes, ...whole.subarray(place));
    }),
    text.map((text) => `\ufeff${text}`),
    text.map((text) => `${text}${text}`),
    text.map((text) => text.replace(/\d+/, "1e999")),
    text.map((text) => text.replace(/:/, `: ${nested(20_000)}, "again":`)),
    fc.constantFrom("", " ", "null", "[]", "0", '"', "NaN", "{", nested(100_000), '{"a":'.repeat(10_000), "a=1&b=2"),
    fc.uint8Array({ maxLength: 64 }),
  );
}

/** Rows of a feedback file. */
const feedbackRow = fc.oneof(
  fc.record({ prompt: fc.string(), completion: fc.string({ minLength: 1 }), label: fc.boolean() }),
  fc.record({ prompt: fc.string({ minLength: 1 }), chosen: fc.string(), rejected: fc.string(), end_user: fc.string() }),
);

const asText = (value: Json) => JSON.stringify(value) ?? "";

const boundary = "----part";

/** How values are written in each media type that the document asks for. */
const writers: Record<string, (schema: Schema, value: fc.Arbitrary<Json>) => fc.Arbitrary<string>> = {
  "application/json": (_, value) => value.map(asText),
  "application/x-ndjson": (_, value) => fc.array(value, { maxLength: 4 }).map((rows) => rows.map(asText).join("\n")),
  "multipart/form-data": ({ properties = {} }, value) =>
    fc.tuple(
      ...Object.entries(properties).map(([name, { format }]) =>
        value.map((value) =>
          `--${boundary}\r\nContent-Disposition: form-data; name="${name}"` +
          `${format === "binary" ? '; filename="a.jsonl"' : ""}\r\n\r\n${
            format === "binary" ? asText(value) : "fine-tune"
          }\r\n`
        )
      ),
    ).map((parts) => `${parts.join("")}--${boundary}--\r\n`),
};

const contentType = (mediaType: string) =>
  mediaType === "multipart/form-data" ? `${mediaType}; boundary=${boundary}` : mediaType;

function bodyOf(mediaType: string, schema: Schema, document: Document, known: Known) {
  const value = mediaType === "application/json" ? valid(schema, document, known) : feedbackRow;
  const written = (value: fc.Arbitrary<Json>) => writers[mediaType]!(schema, value);
  return fc.oneof(
    { weight: 4, arbitrary: written(value) },
    { weight: 5, arbitrary: written(broken(value)) },
    { weight: 2, arbitrary: brokenText(written(value)) },
  );
}

/** What a header may hold on its way into a Request. */
const headerText = fc.stringMatching(/^[!-~\x80-\xff]([ -~\x80-\xff]{0,40}[!-~\x80-\xff])?$/);

const oddHeaders = fc.dictionary(
  fc.constantFrom(
    "X-Request-Id",
    "Idempotency-Key",
    "Authorization",
    "Accept",
    "Content-Encoding",
    "Range",
    "X-Forwarded-For",
    "Cookie",
    "If-None-Match",
  ),
  fc.oneof(
    headerText,
    fc.constantFrom("Bearer x", "Bearer ", "Basic Og==", "gzip", "bytes=0-1", "x".repeat(300), "\xff\xfe"),
  ),
  { maxKeys: 3 },
);

const mostly = <Value>(usual: fc.Arbitrary<Value>, odd: fc.Arbitrary<Value>, weight = 9) =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: odd });

const oddSegment = fc.oneof(
  fc.string({ unit: "binary" }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.constantFrom("%00", "%", "%E0%A4%A", "..", "%2e%2e%2f", "a%2fb", "*", ":id", "x".repeat(300)),
);

/** A field of a query that is an object: a parameter for each of its fields. */
const deepObject = (name: string, value: fc.Arbitrary<Json>) =>
  value.map((value) =>
    Object.entries(value as Record<string, Json>).map((pair) => {
      const [key, text] = pair.map((each) => encodeURIComponent(String(each).toWellFormed()));
      return `${name}[${key}]=${text}`;
    }).join("&")
  );

function requestOf(path: string, method: string, operation: Operation, document: Document, known: Known) {
  const parameters = operation.parameters ?? [];
  const one = (name: string, schema: Schema): fc.Arbitrary<string> => {
    const usual = known[name] ? fc.constantFrom(...known[name]) : valid(schema, document, known);
    return usual.map((value) => encodeURIComponent(String(value).toWellFormed()));
  };
  const segments = parameters.filter((each) => each.in === "path").map(({ name, schema }) =>
    mostly(one(name, schema), oddSegment, 5).map((value) => [name, value] as const)
  );
  const query = parameters.filter((each) => each.in === "query").map(({ name, schema, style }) =>
    fc.option(
      style === "deepObject"
        ? deepObject(name, valid(schema, document, known))
        : mostly(one(name, schema), oddSegment, 5).map((value) => `${name}=${value}`),
      { freq: 3 },
    )
  );
  const contents = Object.entries(operation.requestBody?.content ?? {});
  const [mediaType, { schema }] = contents[0] ?? ["application/json", { schema: {} }];
  const body = bodyOf(mediaType, schema, document, known);
  return fc.record({
    method: mostly(
      fc.constant(method.toUpperCase()),
      fc.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"),
      15,
    ),
    path: mostly(
      fc.tuple(fc.tuple(...segments), fc.tuple(...query)).map(([values, query]) => {
        const filled = values.reduce((path, [name, value]) => path.replace(`{${name}}`, () => value), path);
        const given = query.filter((each) => each !== null);
        return given.length > 0 ? `${filled}?${given.join("&")}` : filled;
      }),
      fc.tuple(fc.array(oddSegment, { maxLength: 3 }), fc.constantFrom("", "/", "?", "?a=%", "//")).map((
        [segments, end],
      ) => `${path}/${segments.join("/")}${end}`),
      15,
    ),
    headers: fc.tuple(
      mostly(
        fc.constant(contentType(mediaType)),
        fc.constantFrom(
          "text/plain",
          "application/json; charset=utf-16",
          "multipart/form-data",
          "application/xml",
          "/",
          "json",
        ),
        12,
      ).map((type) => contents.length > 0 ? { "Content-Type": type } : {}),
      mostly(fc.constant({}), oddHeaders, 3),
    ).map(([type, odd]) => ({ ...type, ...odd })),
    body: contents.length > 0 ? body : mostly(fc.constant(undefined), body),
  }).map(({ body, ...request }): FuzzRequest => ({
    ...request,
    body: request.method === "GET" || request.method === "HEAD" ? undefined : body,
  }));
}

/** Requests to every operation of the document, as often to each but for paths that are `costly`. */
export function requestsOf(document: Document, known: Known, costly: readonly string[]): fc.Arbitrary<FuzzRequest> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      weight: costly.includes(path) ? 1 : 10,
      arbitrary: requestOf(path, method, operation, document, known),
    }))
  );
  return fc.oneof(...operations);
}
