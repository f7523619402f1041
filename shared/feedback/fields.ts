// A record's fields, and which of them were used. Knows no format: it remembers what a format looked at, so that a field
// that nobody used can be named.

import { isNothing } from "./row.ts";

/** A record of the file: any JSON object. */
export type JsonRecord = Record<string, unknown>;

/** Why a record cannot be read as what it means: it is left out, counted and named, and others are read. */
export class RefusedRecord extends Error {
  /** @param message what and how to mend it, without the place and the full stop */
  constructor(message: string) {
    super(message);
    this.name = "RefusedRecord";
  }
}

/** The fields of one record. */
export class Fields {
  #used = new Set<string>();
  #ignored = new Set<string>();

  constructor(readonly record: JsonRecord) {}

  /** Whether all of these are there and not null. */
  has(...names: string[]): boolean {
    return names.every((name) => this.record[name] !== undefined && this.record[name] !== null);
  }

  /** The first of these that is there and not null. */
  first(...names: string[]): string | undefined {
    return names.find((name) => this.has(name));
  }

  /** A field's value, which counts as used from now on. */
  use(name: string): unknown {
    this.#used.add(name);
    return this.record[name];
  }

  /** Notes something that stands in no field of its own, and that the format has no use for. */
  ignore(what: string): void {
    this.#ignored.add(what);
  }

  /** Fields that say something and that nobody used. */
  unused(): string[] {
    return Object.keys(this.record).filter((name) => !this.#used.has(name) && !isNothing(this.record[name]));
  }

  /** All that is not used, for people. */
  leftOver(): string[] {
    return [...this.unused(), ...this.#ignored];
  }
}
