// How PEFT's settings name modules: lists of name endings, regular expressions in Python's dialect, layer numbers. Says
// which modules such settings mean; it does not know adapters' files or any model.

/** The settings that decide which modules have LoRA. */
export interface ModuleChoice {
  target_modules: string[] | string;
  exclude_modules: string[] | string | null;
  layers_to_transform: number[] | number | null;
  layers_pattern: string[] | string | null;
}

/**
 * A Python regular expression as JavaScript's: named groups, \A and \Z, and flags for the whole pattern are written
 * differently.
 *
 * @param wrap puts the translated pattern where it belongs, for example between anchors
 * @throws SyntaxError for what JavaScript cannot say, such as possessive quantifiers
 */
export function pythonPattern(pattern: string, wrap: (translated: string) => string): RegExp {
  const [, flags = "", rest = ""] = /^(?:\(\?([aims]+)\))?(.*)$/s.exec(pattern)!;
  const translated = rest
    .replace(/\(\?P<(\w+)>/g, "(?<$1>")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replace(/(?<!\\)((?:\\\\)*)\\A/g, "$1^")
    .replace(/(?<!\\)((?:\\\\)*)\\Z/g, "$1$");
  return new RegExp(wrap(translated), flags.replace("a", ""));
}

/** Python's `re.fullmatch`. */
const whole = (pattern: string) => `^(?:${pattern})$`;
/** PEFT's `re.match(rf"(.*\.)?({key})$", name)`: the pattern, from some dot on. */
const ending = (pattern: string) => `^(?:.*\\.)?(?:${pattern})$`;

/** Each pattern of the choice as it will be matched, for checking. */
export function patternsOf(choice: ModuleChoice, keys: string[]): { key: string; compile: () => RegExp }[] {
  const layers = choice.layers_pattern ?? [];
  return [
    ...[choice.target_modules, choice.exclude_modules].filter((each) => typeof each === "string")
      .map((key) => ({ key, compile: () => pythonPattern(key, whole) })),
    ...keys.map((key) => ({ key, compile: () => pythonPattern(key, ending) })),
    ...(typeof layers === "string" ? [layers] : layers).map((key) => ({ key, compile: () => layerNumber(key) })),
  ];
}

/**
 * The value of the first pattern that matches the module's name, or its end from some dot on.
 *
 * Source: peft/utils/other.py `get_pattern_key`.
 */
export function lookUp(patterns: Record<string, number>, module: string): number | undefined {
  return Object.entries(patterns).find(([pattern]) => pythonPattern(pattern, ending).test(module))?.[1];
}

/**
 * Whether the settings mean a module. Lists match a whole name or its last parts, a string is a pattern for the whole
 * name or the word `all-linear`, and layer numbers narrow what the ends of names in a list mean, nothing else.
 *
 * Source: peft/tuners/tuners_utils.py `check_target_module_exists`.
 */
export function isTarget(choice: ModuleChoice, module: string): boolean {
  const { target_modules: targets, exclude_modules: excluded } = choice;
  if (excluded !== null && excluded.length > 0 && named(excluded, module)) return false;
  if (typeof targets === "string") return targets.toLowerCase() === "all-linear" || named(targets, module);
  return targets.includes(module) || named(targets, module) && isInLayer(choice, module);
}

function named(names: string[] | string, module: string): boolean {
  if (typeof names === "string") return pythonPattern(names, whole).test(module);
  return names.some((name) => module === name || module.endsWith(`.${name}`));
}

const layerNumber = (pattern: string) =>
  pythonPattern(pattern, (layers) => `^(?:|.*?\\.)(?:${layers})\\.(?<layer>\\d+)\\.`);

function isInLayer({ layers_to_transform: layers, layers_pattern: patterns }: ModuleChoice, module: string): boolean {
  const wanted = typeof layers === "number" ? [layers] : layers ?? [];
  if (wanted.length === 0) return true;
  const named = typeof patterns === "string" ? [patterns] : patterns ?? [];
  const places = named.filter((pattern) => pattern !== "").length > 0
    ? named.map(layerNumber)
    : [/^.*?\.[^.]*\.(?<layer>\d+)\./];
  const found = places.map((place) => place.exec(module)?.groups?.["layer"]).find((each) => each !== undefined);
  return found !== undefined && wanted.includes(Number(found));
}

/** The shortest `target_modules` that mean `chosen` and nothing else of `all`: last parts of names, or whole names. */
export function targetModulesOf(chosen: readonly string[], all: readonly string[]): string[] {
  const lastPart = (module: string) => module.split(".").at(-1)!;
  const endings = new Set(chosen.map(lastPart));
  const meant = new Set(all.filter((module) => endings.has(lastPart(module))));
  return [...(meant.size === new Set(chosen).size ? endings : new Set(chosen))].sort();
}
