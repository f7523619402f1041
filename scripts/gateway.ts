// `deno task gateway`: serves a model over HTTP and collects thumbs, until a signal ends it.

import { startGateway } from "../services/gateway/serve.ts";
import { type GatewayOptions, parseGatewaySettings } from "../services/gateway/settings.ts";
import {
  command,
  count,
  device,
  notNegative,
  port,
  repeated,
  runCommand,
  untilStopped,
  workerCount,
} from "./command.ts";

const program = command(
  "gateway",
  `Serves a model over HTTP as OpenAI's API does, and collects thumbs on its answers.
Without arguments it serves the embedded model on http://127.0.0.1:8000; what it keeps is in ./data, or in the PostgreSQL
database that DATABASE_URL names.`,
)
  .option("--host <address>", "where to listen; any but loopback needs an API key", "127.0.0.1")
  .option("--port <n>", "0 takes a free one", port, 8000)
  .option("--data-dir <folder>", "where answers, thumbs and keys are kept", "data")
  .option("--model <folder|hub id>", "model in transformers.js layout; default: the embedded model")
  .option("--adapter <name=folder>", "PEFT adapter to serve as base:NAME; may be repeated", repeated, [])
  .option("--alias <name=arms>", "spreads requests, e.g. prospect=base:90,base:new:10; may be repeated", repeated, [])
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
  .option("--device <name>", "auto, cpu or webgpu", "auto")
  .option("--workers <n>", "threads that generate (default: what was measured to be fastest)", workerCount)
  .option("--queue <n>", "answers that may wait before more are refused with 429", count, 64)
  .option("--require-keys", "ask for API keys on loopback too, e.g. behind a proxy")
  .option(
    "--cors-origin <origin>",
    "web pages that may call, e.g. https://app.example.com; may be repeated",
    repeated,
    [],
  )
  .option(
    "--rate-limit <n>",
    "requests per minute and key; 0 has none (default: 6000 where keys are needed)",
    notNegative,
  )
  .option("--log-prompts", "write prompts and answers to the log")
  .addHelpText(
    "after",
    `
Examples:
  deno task gateway
  deno task gateway --model owner/name --adapter new=runs/latest/adapter --alias prospect=base:90,base:new:10
  deno task gateway --host 0.0.0.0                   after: deno task keys create --scope inference,feedback
/docs lists the routes; /metrics is for Prometheus; OTEL_DENO=true exports traces. SIGTERM drains and ends with 0.`,
  )
  .action(async (options: GatewayOptions) => {
    device(options.device);
    const running = await startGateway(parseGatewaySettings(options));
    console.log(`Listening on ${running.address} (API: ${running.address}/docs). Ctrl-C ends it.`);
    await untilStopped();
    await running.stop();
  });

await runCommand(program);
