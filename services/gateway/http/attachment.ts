// Content-Disposition of what is to be saved, not shown (RFC 6266).

/** @param name of the file, in any script: clients that know no RFC 5987 take it with `_` for all that is not ASCII */
export function attachment(name: string): string {
  const plain = name.replaceAll(/[^\w. ()-]/g, "_");
  if (plain === name) return `attachment; filename="${name}"`;
  const encoded = encodeURIComponent(name).replaceAll(/['()*]/g, (each) => `%${each.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
