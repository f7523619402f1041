// The stand-in against the gateway's own description: what the console is tested with must be what the gateway gives.

import { assertEquals } from "@std/assert";
import { z } from "@hono/zod-openapi";
import { withGateway } from "../open_gateway.ts";
import { createStandIn } from "./stand_in.ts";
import { sampleState } from "./sample.ts";

type JsonSchema = Parameters<typeof z.fromJSONSchema>[0];

interface Description {
  paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >;
  components: { schemas: Record<string, object> };
}

/** A validator of what a route answers when all is well, out of the gateway's OpenAPI document. */
function answerOf({ paths, components }: Description, method: string, path: string): z.ZodType {
  const { responses } = paths[path]![method.toLowerCase()]!;
  const [, good] = Object.entries(responses).find(([status]) => status.startsWith("2"))!;
  const schema = { ...good.content!["application/json"]!.schema, $defs: components.schemas };
  return z.fromJSONSchema(
    JSON.parse(JSON.stringify(schema).replaceAll("#/components/schemas/", "#/$defs/")) as JsonSchema,
  );
}

/** Everything that the console reads, as a path of the description and an address that has something. */
const reads = [
  ["/v1/me", "/v1/me"],
  ["/v1/models", "/v1/models"],
  ["/v1/trainer", "/v1/trainer"],
  ["/v1/answers", "/v1/answers"],
  ["/v1/answers/{id}", "/v1/answers/chatcmpl-9"],
  ["/v1/feedback", "/v1/feedback"],
  ["/v1/feedback/{id}", "/v1/feedback/THUMB"],
  ["/v1/feedback/{id}/history", "/v1/feedback/THUMB/history"],
  ["/v1/feedback/hygiene", "/v1/feedback/hygiene"],
  ["/v1/files/{id}", "/v1/files/file-metrics.jsonl"],
  ["/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs"],
  ["/v1/fine_tuning/jobs/{id}", "/v1/fine_tuning/jobs/ftjob-running"],
  ["/v1/registry", "/v1/registry"],
  ["/v1/experiments", "/v1/experiments"],
] as const;

Deno.test("what the stand-in answers is what the gateway's description says", async () => {
  await withGateway({}, async ({ call }) => {
    const description: Description = (await call("GET", "/openapi.json")).json;
    const state = sampleState(), standIn = createStandIn(state);
    const wrong: string[] = [];
    for (const [path, address] of reads) {
      const response = await standIn.request(address.replace("THUMB", state.thumbs[0]!.id));
      assertEquals(response.status, 200, address);
      const { error } = answerOf(description, "GET", path).safeParse(await response.json());
      for (const { path: place, message } of error?.issues ?? []) wrong.push(`${path} ${place.join(".")}: ${message}`);
    }
    assertEquals([...new Set(wrong.map((line) => line.replace(/\.\d+\./g, ".*.")))], []);
  });
});
