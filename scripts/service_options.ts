// The options of the commands that serve, train for a server, or do both. It parses words; what they mean is elsewhere.

import {
  type Command,
  count,
  modelOption,
  notNegative,
  PathOption,
  port,
  positive,
  repeated,
  share,
  wholeNumber,
  workerCount,
} from "./command.ts";

/** The folder of the services; SQLite and what a database holds by its path are in it. */
export const dataFolder = (description: string) =>
  new PathOption("--data-dir <folder>", description, "write").default("data");

/** The folder in NAME=FOLDER. */
const afterName = (text: string) => text.slice(text.indexOf("=") + 1);

/** Options of the gateway. */
export function gatewayOptions(program: Command): Command {
  return modelOptions(program)
    .option("--host <address>", "where to listen; any but loopback needs an API key", "127.0.0.1")
    .option("--port <n>", "0 takes a free one", port, 8000)
    .addOption(
      new PathOption(
        "--adapter <name=folder>",
        "PEFT adapter to serve as base:NAME; may be repeated",
        "read",
        afterName,
      )
        .argParser(repeated).default([]),
    )
    .addOption(
      new PathOption(
        "--adapter-dir <folder>",
        "folder whose adapters may be loaded over HTTP, besides runs; may be repeated",
        "read",
      ).argParser(repeated).default(["runs"], "runs"),
    )
    .option("--alias <name=arms>", "spreads requests, e.g. prospect=base:90,base:new:10; may be repeated", repeated, [])
    .option(
      "--workers <n>",
      "workers that generate, each with its share of the cores (default: one per 8 cores)",
      workerCount,
    )
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
    .option(
      "--requests-per-day <n>",
      "requests per day and key without admin; 0, the default, has no limit",
      wholeNumber,
    )
    .option(
      "--bytes-per-day <n>",
      "bytes of request bodies per day and key without admin; 0 has none (default: 1 GiB where keys are needed)",
      wholeNumber,
    )
    .option(
      "--trusted-proxy <address>",
      "proxy, or network such as 10.0.0.0/8, whose X-Forwarded-For says who the client is; may be repeated",
      repeated,
      [],
    )
    .option("--max-connections <n>", "connections at once (default: what open files allow, at most 4096)", count)
    .option("--max-connections-per-address <n>", "of them from one address (default: half)", count)
    .option(
      "--keep-days <n>",
      "delete answers that nobody has judged for so long; 0 keeps them for good",
      notNegative,
      90,
    )
    .option("--log-prompts", "write prompts and answers to the log");
}

/** Options of the trainer service. */
export function trainerOptions(program: Command): Command {
  return program
    .option("--train-workers <n>", "threads that train (default: one per core)", workerCount)
    .option("--train-every <n>", "train without being asked once so many labels are new", count)
    .option("--train-cron <expression>", 'train without being asked at these times, e.g. "0 3 * * *"')
    .option("--auto-promote", "promote what was trained without being asked, if it passes the gate")
    .option(
      "--gate-length <x>",
      "most times as long as the base model's that answers may be, e.g. 1.5 (default: measured, not bounded)",
      positive,
    )
    .option(
      "--gate-refusal <x>",
      "most that the share of answers that refuse may rise by, e.g. 0.1 (default: measured, not bounded)",
      share,
    )
    .option(
      "--gate-agreement <x>",
      "most that the share of answers that open by agreeing may rise by, e.g. 0.1 (default: measured, not bounded)",
      share,
    );
}

/** Options of both. */
export function modelOptions(program: Command): Command {
  return program
    .addOption(modelOption())
    .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
    .option("--device <name>", "auto, cpu or webgpu", "auto")
    .addOption(dataFolder("where answers, thumbs, keys and runs are kept"));
}
