// What a chat and a comparison have in common: turns that grow, and answers under way that can be stopped. They go on
// when one looks at another page meanwhile.

import { useKept } from "../../parts/state.js";
import { useEffect } from "../../vendor.js";

const underWay = new Map();

/** A name for the person in this conversation: an alias keeps them on one arm, so the voice does not change. */
const newUser = () => `console-${crypto.randomUUID().slice(0, 8)}`;

/**
 * @param name of the conversation
 * @returns `turns`, each with an `id`; `user`; `begin(turn, answering)` adds a turn and runs
 *   `answering(updateTurn, signal)`; `update(id, change)`; `busy`; `stop()`; `clear()`
 */
export function useConversation(name) {
  const [state, setState] = useKept(name, { turns: [], user: newUser(), busy: false });
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

/** Keeps the end of the page in sight while it grows, unless one has scrolled up to read. */
export function useFollowing(value) {
  useEffect(() => {
    const page = document.scrollingElement;
    const left = page.scrollHeight - page.scrollTop - page.clientHeight;
    if (left < 240) page.scrollTop = page.scrollHeight;
  }, [value]);
}
