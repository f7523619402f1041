// Numbers, times and texts as people read them.

/** A fraction in percent. */
export const percent = (fraction) => `${(100 * fraction).toFixed(fraction > 0 && fraction < 0.1 ? 1 : 0)}\u202f%`;

/** A number with as many digits as tell something. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3
    ? value.toExponential(1).replace(".0", "")
    : String(Number(value.toPrecision(digits)));
}

/** `1 thumb`, `2 thumbs`. */
export const count = (amount, one, many = `${one}s`) => `${amount.toLocaleString("en")} ${amount === 1 ? one : many}`;

/** Seconds as `3 min 20 s`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60, left = whole % 60;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${left} s` : `${left} s`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "medium" });

/** A time in milliseconds: `14:03` today, `3 Nov, 14:03` before. */
export function when(milliseconds) {
  const date = new Date(milliseconds);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

export const whenInFull = (milliseconds) => full.format(new Date(milliseconds));

/** A model's name without what is the same for all: `base:kind-2` is `kind-2`. */
export const shortModel = (model) => model.startsWith("base:") ? model.slice(5) : model;

/** A prompt's last question: prompts are texts or conversations. */
export const questionOf = (prompt) =>
  typeof prompt === "string" ? prompt : prompt.findLast(({ role }) => role === "user")?.content ?? "";

/** Tags as they are typed, parted by commas. */
export const readTags = (text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter((tag) => tag !== ""))];
