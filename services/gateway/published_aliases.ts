// Where this gateway's aliases point: as its command says until somebody sets them, then as the store says. Which came
// last is told by the store's revisions, not by clocks. It does not know whether anything answers there.

import { type Alias, type Arm, servedAlias } from "../../shared/store/aliases.ts";

export class PublishedAliases {
  /** Revisions that the command's aliases had in the store when this gateway began. */
  #seen: ReadonlyMap<string, number> | undefined;

  /**
   * @param current brought up to date
   * @param given by the command, whatever the store said before
   */
  constructor(readonly current: Map<string, Arm[]>, private readonly given: ReadonlyMap<string, Arm[]>) {}

  /** Takes over what the store says. */
  follow(stored: ReadonlyMap<string, Alias>): void {
    const revisionOf = (name: string) => stored.get(name)?.revision ?? 0;
    const seen = this.#seen ??= new Map([...this.given.keys()].map((name) => [name, revisionOf(name)]));
    const aliases = new Map<string, Arm[]>([[servedAlias, [{ model: "base", weight: 1 }]]]);
    for (const [name, arms] of this.given) aliases.set(name, arms);
    for (const [name, { arms, revision }] of stored) {
      if (seen.get(name) === revision) continue;
      if (arms.length > 0) aliases.set(name, arms);
      else aliases.delete(name);
    }
    for (const name of this.current.keys()) if (!aliases.has(name)) this.current.delete(name);
    for (const [name, arms] of aliases) this.current.set(name, arms);
  }
}
