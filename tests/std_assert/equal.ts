// Whether two values are equal in depth: by what they hold, not by which object they are. It does not say where they
// differ (difference.ts does).

const TypedArray = Object.getPrototypeOf(Uint8Array) as new () => ArrayLike<
  unknown
>;

/** Objects whose state is all in what `String` makes of them. */
const WRITTEN: readonly (abstract new (...args: never[]) => unknown)[] = [
  RegExp,
  URL,
  URLSearchParams,
  Intl.Locale,
];

/** Objects whose state cannot be read here and now: these are equal to themselves only. */
const CLOSED: readonly (abstract new (...args: never[]) => unknown)[] = [
  Promise,
  Blob,
  Request,
  Response,
];

/**
 * Deep equality: NaN equals NaN, 0 equals -0, a key that holds undefined differs from a missing one, an object of a
 * class differs from a plain one (only a null prototype passes for a plain object's), the order of keys, of Map entries
 * and of Set members does not count, functions are equal to themselves only.
 *
 * @throws {TypeError} for two WeakMaps or WeakSets, which nobody can look into
 */
export function equal(actual: unknown, expected: unknown): boolean {
  const underWay = new Map<object, Set<object>>(); // pairs whose comparison has begun: a cycle comes back to one

  function same(a: unknown, b: unknown): boolean {
    if (a === b || (a !== a && b !== b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    const others = underWay.get(a) ?? new Set();
    if (others.has(b)) return true;
    underWay.set(a, others.add(b));
    const result = sameObjects(a, b);
    others.delete(b);
    return result;
  }

  function sameObjects(a: object, b: object): boolean {
    if (a instanceof Date && b instanceof Date) {
      return Object.is(a.getTime(), b.getTime());
    }
    if (!samePrototypes(a, b)) return false;
    if (a instanceof WeakMap || a instanceof WeakSet) {
      throw new TypeError(`Two of ${a.constructor.name} cannot be compared: nobody can list what they hold`);
    }
    if (CLOSED.some((kind) => a instanceof kind)) return false;
    if (WRITTEN.some((kind) => a instanceof kind)) {
      return String(a) === String(b);
    }
    if (a instanceof WeakRef) {
      return same(a.deref(), (b as WeakRef<object>).deref());
    }
    if (a instanceof TypedArray) {
      return sameElements(a, b as ArrayLike<unknown>);
    }
    if (isBuffer(a)) return sameElements(new Uint8Array(a), new Uint8Array(b as ArrayBufferLike));
    if (a instanceof Set && !sameMembers([...a].map((member) => [member]), [...b as Set<unknown>], (m) => [m])) {
      return false;
    }
    if (a instanceof Map && !sameMembers([...a], [...b as Map<unknown, unknown>], (entry) => entry)) return false;
    if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
    return sameProperties(a, b);
  }

  function sameElements(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
    return a.length === b.length &&
      Array.prototype.every.call(a, (element, i) => same(element, b[i]));
  }

  /** Each member of one has its own equal in the other; `parts` are a member's key and, in a Map, its value. */
  function sameMembers<T>(a: readonly unknown[][], b: readonly T[], parts: (member: T) => unknown[]): boolean {
    if (a.length !== b.length) return false;
    const byPrimitive = new Map<unknown, unknown[]>();
    const others: unknown[][] = [];
    for (const member of b.map(parts)) {
      if (isPrimitive(member[0])) byPrimitive.set(member[0], member);
      else others.push(member);
    }
    return a.every((member) => {
      if (isPrimitive(member[0])) {
        const found = byPrimitive.get(member[0]);
        return found !== undefined && sameElements(member, found);
      }
      const at = others.findIndex((other) => sameElements(member, other));
      if (at >= 0) others.splice(at, 1);
      return at >= 0;
    });
  }

  function sameProperties(a: object, b: object): boolean {
    const names = new Set([...namesOf(a), ...namesOf(b)]);
    for (const name of names) {
      if ((name in a) !== (name in b)) return false;
      if (!same(a[name as keyof typeof a], b[name as keyof typeof b])) {
        return false;
      }
    }
    return true;
  }

  return same(actual, expected);
}

const isPrimitive = (value: unknown) => value === null || (typeof value !== "object" && typeof value !== "function");

const isBuffer = (value: object): value is ArrayBufferLike =>
  value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;

function samePrototypes(a: object, b: object): boolean {
  const plain = (value: object) => Object.getPrototypeOf(value) ?? Object.prototype;
  return plain(a) === plain(b);
}

/**
 * The names of what an object shows: of plain objects and arrays the enumerable ones, of an object of a class all of its
 * own and what its class computes (getters).
 */
function namesOf(value: object): (string | symbol)[] {
  let prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype || prototype === Array.prototype) {
    return Reflect.ownKeys(value).filter((name) => Object.getOwnPropertyDescriptor(value, name)!.enumerable);
  }
  const names = Reflect.ownKeys(value);
  for (; prototype !== null && prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
    const described = Object.getOwnPropertyDescriptors(prototype) as Record<string | symbol, PropertyDescriptor>;
    names.push(...Reflect.ownKeys(described).filter((name) => described[name]!.get));
  }
  return names.filter((name) => name !== "__proto__");
}
