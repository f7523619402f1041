// The words of `deno task gateway`, and what it needs leave for.

import { command } from "../command.ts";
import { gatewayOptions } from "../service_options.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true, store: true, listens: true };

export const program = gatewayOptions(command(
  "gateway",
  `Serves a model over HTTP as OpenAI's API does, and collects thumbs on its answers.
Without arguments it serves the embedded model on http://127.0.0.1:8000; what it keeps is in ./data, or in the PostgreSQL
database that DATABASE_URL names.`,
))
  .addHelpText(
    "after",
    `
Examples:
  deno task gateway
  deno task gateway --model owner/name --adapter new=runs/latest/adapter --alias prospect=base:90,base:new:10
  deno task gateway --host 0.0.0.0                   after: deno task keys create --scope inference,feedback
/docs lists the routes; /metrics is for Prometheus; OTEL_DENO=true exports traces. SIGTERM drains and ends with 0.`,
  );
