// The words of `deno task keys`, and what it needs leave for.

import { InputError } from "../../shared/errors.ts";
import { scopes } from "../../shared/store/keys.ts";
import { command, list, wholeNumber } from "../command.ts";
import type { Needs } from "../permissions.ts";
import { dataFolder } from "../service_options.ts";

export const needs: Needs = { store: true };

export const program = command("keys", "Makes, lists and revokes the gateway's API keys. They are kept hashed.");

/** A name that fits a line, and is no longer than one that a label may have. */
function ownerName(text: string): string {
  if (/^[^\s\p{C}][^\p{C}]{0,254}[^\s\p{C}]$|^[^\s\p{C}]$/u.test(text)) return text;
  throw new InputError("--owner: write a name of 1 to 256 characters on one line.");
}

const dataDir = () => dataFolder("the gateway's; DATABASE_URL counts here too");

export const create = program.command("create")
  .description("make a key and print it, once")
  .option("--scope <list>", `what it may do: ${scopes.join(", ")} (admin may do everything)`, list)
  .option("--name <text>", "to tell keys apart")
  .option("--owner <name>", "who uses it; keys of one owner share their labels", ownerName)
  .option("--requests-per-day <n>", "its own limit, 0 for none (default: the gateway's)", wholeNumber)
  .option("--bytes-per-day <n>", "the same of bytes of request bodies", wholeNumber)
  .addOption(dataDir());

export const show = program.command("list")
  .description("all keys, without their secrets")
  .addOption(dataDir());

export const revoke = program.command("revoke <id>")
  .description("end a key, at once")
  .addOption(dataDir());
