// The words of `deno task serve`, and what it needs leave for.

import { command } from "../command.ts";
import { gatewayOptions, trainerOptions } from "../service_options.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true, store: true, listens: true, startsDeno: true };

export const program = trainerOptions(gatewayOptions(command(
  "serve",
  `Serves a model, collects thumbs, trains and promotes: gateway, trainer and console on one address.
Without arguments it serves the embedded model on http://127.0.0.1:8000.`,
)))
  .addHelpText(
    "after",
    `
Examples:
  deno task serve
  deno task serve --model owner/name --train-every 200 --auto-promote
SIGTERM drains: answers are finished, a running job goes on at the next start.`,
  );
