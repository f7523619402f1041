// What a chat and a comparison have in common: turns that grow, and answers under way that can be stopped. They go on
// when one looks at another page meanwhile, and the turns outlive a reload.

import { Icon } from "../../parts/icons.js";
import { useStored } from "../../parts/state.js";
import { html, useEffect, useRef } from "../../vendor.js";

const underWay = new Map();

/** A name for the person in this conversation: an alias keeps them on one arm, so the voice does not change. */
const newUser = () => `console-${crypto.randomUUID().slice(0, 8)}`;

/**
 * @param name of the conversation @param stopped a turn as it is after a reload
 * @returns `turns`, each with an `id`; `user`; `begin(turn, answering)` adds a turn and runs
 *   `answering(updateTurn, signal)`; `update(id, change)`; `busy`; `stop()`; `clear()`
 */
export function useConversation(name, stopped) {
  const [state, setState] = useStored(
    name,
    { turns: [], user: newUser(), busy: false },
    ({ turns, user }) => ({ turns: turns.map(stopped), user, busy: false }),
  );
  const update = (id, change) =>
    setState((before) => ({ ...before, turns: before.turns.map((turn) => turn.id === id ? change(turn) : turn) }));
  const stop = () => underWay.get(name)?.abort();
  const begin = async (turn, answering) => {
    const id = crypto.randomUUID(), aborter = new AbortController();
    underWay.set(name, aborter);
    setState((before) => ({ ...before, busy: true, turns: [...before.turns, { ...turn, id }] }));
    await answering((change) => update(id, change), aborter.signal);
    if (underWay.get(name) === aborter) setState((before) => ({ ...before, busy: false }));
  };
  const clear = () => {
    stop();
    underWay.delete(name);
    setState({ turns: [], user: newUser(), busy: false });
  };
  return { ...state, update, begin, stop, clear };
}

/** The button that clears a conversation. Its field is where one goes on. */
export function NewConversation({ name, clear }) {
  const begin = () => {
    clear();
    document.getElementById("question").focus();
  };
  return html`
    <div class="new-conversation">
      <button type="button" class="quiet small"
        onClick=${begin}><${Icon} name="plus" size=${14} />${name}</button>
    </div>
  `;
}

/** Keeps the end of the page in sight while it grows, unless one has scrolled up to read. */
export function useFollowing(value) {
  // An empty page is read from its beginning, a conversation that was kept gone on with at its end.
  const shown = useRef(value.length === 0 ? value : null);
  useEffect(() => {
    if (shown.current === value) return;
    const first = shown.current === null;
    shown.current = value;
    const page = document.scrollingElement;
    const left = page.scrollHeight - page.scrollTop - page.clientHeight;
    if (left < 240 || first) page.scrollTop = page.scrollHeight;
  }, [value]);
}
