// Who a client is, as far as limits are concerned: the address that a connection comes from, or the one that a trusted
// proxy names. It opens nothing.

import { BlockList, isIPv4, isIPv6 } from "node:net";
import type { RequestHead } from "./framing.ts";

/** The groups of an IPv6 address. */
function groupsOf(address: string): string[] {
  const [before, after] = address.split("::"), groups = before === "" ? [] : before!.split(":");
  if (after === undefined) return groups;
  const rest = after === "" ? [] : after.split(":");
  return [...groups, ...new Array<string>(8 - groups.length - rest.length).fill("0"), ...rest];
}

/**
 * What an address counts as: itself, and of IPv6 its network of 64 bits, since whoever has one address there has them all.
 *
 * @returns undefined for what is no address
 */
export function addressKey(text: string): string | undefined {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text) ?? [], address = (mapped ?? text).split("%")[0]!;
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return undefined;
  if (address === "::1") return address;
  return groupsOf(address.toLowerCase()).slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":") + "::/64";
}

/** The address in an element of X-Forwarded-For or in Forwarded's `for=`, where a port may follow. */
function addressIn(element: string): string {
  const text = element.trim().replace(/^"(.*)"$/, "$1");
  return /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+)(?::\d+)?$/.exec(text)?.[1] ?? text;
}

/** Proxies that are believed when they say for whom they ask. */
export class TrustedProxies {
  #list = new BlockList();

  /** @param entries addresses, or networks as `10.0.0.0/8` @throws Error for what is neither */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = "", bits] = entry.split("/"), family = isIPv6(address) ? "ipv6" : "ipv4";
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [], plain = mapped ?? address;
    if (isIPv4(plain)) return this.#list.check(plain, "ipv4");
    return isIPv6(plain) && this.#list.check(plain, "ipv6");
  }

  /**
   * The address that a request through a trusted proxy comes from: the last one named that is no trusted proxy itself,
   * since all before it is the client's to write.
   */
  clientOf(peer: string, { forwardedFor, forwarded }: RequestHead): string {
    const named = forwardedFor.length > 0
      ? forwardedFor.join().split(",").map(addressIn)
      : [...forwarded.join().matchAll(/(?:^|[;,])\s*for=("[^"]*"|[^;,]*)/gi)].map(([, name]) => addressIn(name!));
    return named.findLast((address) => !this.has(address)) ?? peer;
  }
}
