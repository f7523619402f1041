// What holds for every JSON object that a client may send, whichever route it goes to.

import { assert, assertEquals } from "@std/assert";
import { withGateway } from "../open_gateway.ts";

interface Schema {
  $ref?: string;
  type?: string | string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
}

type Operation = {
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
};
type Document = { paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, Schema> } };

/** Every object within a schema, with its place. */
function* objectsOf(schema: Schema, place: string, document: Document): Generator<{ place: string; object: Schema }> {
  if (schema.$ref) {
    return yield* objectsOf(document.components.schemas[schema.$ref.split("/").at(-1)!]!, place, document);
  }
  for (const each of [...schema.anyOf ?? [], ...schema.oneOf ?? []]) yield* objectsOf(each, place, document);
  if (schema.items) yield* objectsOf(schema.items, `${place}.*`, document);
  if (schema.properties) yield { place, object: schema };
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield* objectsOf(field, `${place}.${name}`, document);
  }
}

const takesNull = ({ type, anyOf = [], oneOf = [] }: Schema): boolean =>
  [type].flat().includes("null") || [...anyOf, ...oneOf].some(takesNull);

Deno.test("every optional field of every JSON body may be null, and every object refuses what it does not name", async () => {
  await withGateway({}, async ({ call }) => {
    const document: Document = (await call("GET", "/openapi.json")).json;
    const objects = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { requestBody }]) => {
        const schema = requestBody?.content["application/json"]?.schema;
        return schema ? [...objectsOf(schema, `${method} ${path}`, document)] : [];
      })
    );
    assert(objects.length > 10, `${objects.length} objects`);
    for (const { place, object: { properties = {}, required = [], additionalProperties } } of objects) {
      assertEquals(additionalProperties, false, place);
      for (const [name, field] of Object.entries(properties)) {
        assert(required.includes(name) || takesNull(field), `${place}.${name}`);
      }
    }
  });
});

/** A request per JSON route that is taken as it is. */
const bodies: [method: string, path: string, body: Record<string, unknown>][] = [
  ["POST", "/v1/chat/completions", { model: "base", messages: [{ role: "user", content: "hello" }], seed: 1 }],
  ["POST", "/v1/completions", { model: "base", prompt: "once", seed: 1 }],
  ["POST", "/v1/feedback", { completion_id: "", label: true }],
  ["POST", "/v1/fine_tuning/jobs", { training_file: "labels", model: "base" }],
  ["POST", "/v1/registry/promote", { model: "base" }],
  ["PUT", "/v1/aliases/new", { arms: [{ model: "base", weight: 1 }] }],
  ["PUT", "/v1/adapters/new", { path: "/somewhere" }],
];

Deno.test("a body whose optional fields are all null is answered as the body without them", async () => {
  await withGateway({}, async ({ call }) => {
    const document: Document = (await call("GET", "/openapi.json")).json;
    const { id } = (await call("POST", "/v1/chat/completions", bodies[0]![2])).json;
    for (const [method, path, body] of bodies) {
      const plain = "completion_id" in body ? { ...body, completion_id: id } : body;
      const schema = document.paths[path.replace("/new", "/{name}")]![method.toLowerCase()]!
        .requestBody!.content["application/json"]!.schema;
      const { object } = [...objectsOf(schema, path, document)][0]!;
      if (object.required!.length === Object.keys(object.properties!).length) continue;
      const nulls = Object.fromEntries(Object.keys(object.properties!).map((name) => [name, null]));
      const one = await call(method, path, plain), other = await call(method, path, { ...nulls, ...plain });
      assert(one.status < 300, one.text);
      // What differs each time: ids, times, the place in the queue, how often a thing was done.
      const steady = (text: string) =>
        text.replace(
          /"(id|created|created_at|updated_at|since|position|version|promotions)":("[^"]*"|\d+|\[.*\])/g,
          "",
        );
      assertEquals([other.status, steady(other.text)], [one.status, steady(one.text)], `${method} ${path}`);
    }
  });
});

/** Values that hardly any field takes. */
const oddValues = [{ odd: true }, ["odd"], 2 ** 60, -1.5, "", "\0", "\ud800", "x".repeat(70_000), true];

Deno.test("whatever a field of any route cannot take is refused under that field's name", async () => {
  await withGateway({}, async ({ call }) => {
    const document: Document = (await call("GET", "/openapi.json")).json;
    const { id } = (await call("POST", "/v1/chat/completions", bodies[0]![2])).json;
    const unnamed: string[] = [];
    const look = async (method: string, path: string, field: string, body?: unknown) => {
      const { status, json } = await call(method, path, body);
      assert(status < 500, `${method} ${path} ${JSON.stringify(body)}: ${status}`);
      const param: string | null | undefined = json?.error?.param;
      if (status !== 400 || param === field || param?.startsWith(`${field}.`)) return;
      unnamed.push(`${method} ${path.slice(0, 100)} ${field}: ${param}: ${json.error.message}`);
    };
    for (const [method, path, body] of bodies) {
      const plain = "completion_id" in body ? { ...body, completion_id: id } : body;
      const schema = document.paths[path.replace(/\/new$/, "/{name}")]![method.toLowerCase()]!
        .requestBody!.content["application/json"]!.schema;
      const { object } = [...objectsOf(schema, path, document)][0]!;
      for (const name of Object.keys(object.properties!)) {
        for (const odd of oddValues) await look(method, path, name, { ...plain, [name]: odd });
      }
    }
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { parameters = [] }] of Object.entries(methods)) {
        for (const { name, in: place } of parameters.filter((each) => each.in !== "header")) {
          for (const odd of ["", "\0", "x".repeat(600), "-1", "{}"].map(encodeURIComponent)) {
            const filled = path.replace(/\{(\w+)\}/g, (_, each) => each === name ? odd || "%20" : "none");
            const body = ["post", "put"].includes(method) ? {} : undefined;
            await look(method.toUpperCase(), place === "path" ? filled : `${filled}?${name}=${odd}`, name, body);
          }
        }
      }
    }
    assertEquals(unnamed, []);
  });
});
