// Keeps the focus on the page: where the control that has it goes away, or can be pressed no more, the focus goes to what
// stands in its place, never to the body. It knows no page.

const focusable = [
  "a[href]",
  "button:enabled",
  "input:enabled:not([hidden])",
  "select:enabled",
  "textarea:enabled",
  "summary",
  '[tabindex="0"]',
].join(", ");

/** Controls in an element, itself among them. */
const controlsIn = (element) => [
  ...(element.matches(focusable) ? [element] : []),
  ...element.querySelectorAll(focusable),
];

const nameOf = (element) => element.getAttribute("aria-label") ?? element.textContent;

/** The control that had the focus last: its name, and where it stood, from the inside out. */
let last = null;

function remember({ target }) {
  if (target === document.body) return;
  const places = [];
  for (let element = target; element.parentElement; element = element.parentElement) {
    places.push({ parent: element.parentElement, index: [...element.parentElement.children].indexOf(element) });
  }
  last = { element: target, name: nameOf(target), places };
}

const canHold = (element) => element.isConnected && !element.matches(":disabled");

const isField = (element) => element.matches("input, select, textarea");

/**
 * What is now where a lost control stood: what follows it, else what is before it, else what is beside it. Fields only follow fields: whoever
 * pressed a button types nothing next.
 */
function heirAt({ parent, index }, { element, name }) {
  const [after, before, beside] = [parent.children[index], parent.children[index - 1], parent].map((heir) =>
    heir ? controlsIn(heir).filter((control) => control !== element && (isField(element) || !isField(control))) : []
  );
  return after.find((control) => nameOf(control) === name) ?? after[0] ?? before.at(-1) ?? beside[0];
}

function restore() {
  const active = document.activeElement;
  if (last === null || canHold(last.element) || active !== document.body && active !== last.element) return;
  const main = document.querySelector("main"), dialog = document.querySelector("dialog[open]");
  const lost = last;
  for (const place of lost.places) {
    if (!place.parent.isConnected || dialog && !dialog.contains(place.parent)) continue;
    // What is beside a whole part of a page has nothing to do with what was in it.
    if (place.parent.matches("body, main, .page")) break;
    const heir = heirAt(place, lost);
    if (heir) return heir.focus();
  }
  (dialog?.querySelector("h2") ?? main)?.focus();
}

/** Begins to keep the focus. */
export function keepFocus() {
  addEventListener("focusin", remember);
  // Whoever clicks beside all controls lets go of the focus on purpose.
  addEventListener("pointerdown", ({ target }) => target.closest(focusable) || (last = null));
  new MutationObserver(restore).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["disabled", "hidden"],
  });
}

/** Moves the focus into what has just been opened: to its first field, else its first button, else its heading. */
export function enter(element) {
  const content = [...element.children].filter((child) => !child.matches(".dialog-head"));
  const controls = content.flatMap(controlsIn);
  const fields = controls.filter(isField);
  (fields[0] ?? controls[0] ?? element.querySelector("h2")).focus();
}
