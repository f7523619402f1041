// Which hub is asked and with which token: HF_ENDPOINT and HF_TOKEN, as huggingface_hub reads them. It asks nothing, and
// needs nothing but the environment, so that a task can know its hub's host before it starts.

import { InputError } from "../../errors.ts";

const huggingFace = "https://huggingface.co";
const ownHosts = ["huggingface.co", "*.huggingface.co", "*.hf.co"];

/** The hub's address, without a slash at its end. @throws {InputError} where HF_ENDPOINT is no web address */
export function hubEndpoint(): string {
  const given = Deno.env.get("HF_ENDPOINT")?.trim();
  if (!given) return huggingFace;
  const url = URL.parse(given);
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (plain) return url.href.replace(/\/+$/, "");
  throw new InputError(
    "HF_ENDPOINT is not the address of a hub: write it as https://host or https://host/path, or leave it out.",
  );
}

/** The token that the hub is shown, if any. @throws {InputError} where it cannot be one */
export function hubToken(): string | undefined {
  const token = (Deno.env.get("HF_TOKEN") ?? Deno.env.get("HF_ACCESS_TOKEN"))?.trim();
  if (!token) return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new InputError("HF_TOKEN holds characters that no token has: copy it again from the hub's settings.");
}

/**
 * What `--allow-net` has to allow for the hub: Hugging Face's own hosts, HF_ENDPOINT's with, as mirrors keep large files
 * there, its subdomains, and those that PROSPECT_HUB_HOSTS names, with commas between them.
 */
export function hubHosts(): string[] {
  const further = (Deno.env.get("PROSPECT_HUB_HOSTS") ?? "").split(",").map((host) => host.trim());
  return [...ownHosts, ...endpointHosts(), ...further.filter((host) => host !== "")];
}

function endpointHosts(): string[] {
  let url: URL;
  try {
    url = new URL(hubEndpoint());
  } catch {
    // Said by the command, should it need the hub.
    return [];
  }
  if (url.origin === huggingFace) return [];
  const { hostname } = url, port = url.port || (url.protocol === "https:" ? "443" : "80");
  const isName = hostname.includes(".") && !/^[\d.]+$|^\[/.test(hostname);
  return [`${hostname}:${port}`, ...(isName ? [`*.${hostname}:${port}`] : [])];
}
