// What holds for every JSON object that a client may send, whichever route it goes to.

import assert from "node:assert/strict";
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

type Operation = { requestBody?: { content: Record<string, { schema: Schema }> } };
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
    assert.ok(objects.length > 10, `${objects.length} objects`);
    for (const { place, object: { properties = {}, required = [], additionalProperties } } of objects) {
      assert.equal(additionalProperties, false, place);
      for (const [name, field] of Object.entries(properties)) {
        assert.ok(required.includes(name) || takesNull(field), `${place}.${name}`);
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
      const nulls = Object.fromEntries(Object.keys(object.properties!).map((name) => [name, null]));
      const one = await call(method, path, plain), other = await call(method, path, { ...nulls, ...plain });
      assert.ok(one.status < 300, one.text);
      // What differs each time: ids, times, the place in the queue, how often a thing was done.
      const steady = (text: string) =>
        text.replace(
          /"(id|created|created_at|updated_at|since|position|version|promotions)":("[^"]*"|\d+|\[.*\])/g,
          "",
        );
      assert.deepEqual([other.status, steady(other.text)], [one.status, steady(one.text)], `${method} ${path}`);
    }
  });
});
