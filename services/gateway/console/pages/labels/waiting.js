// Answers that wait for one reviewer: fetched page by page as they come up. It does not know how they are shown.

import { listUnjudged } from "../../api.js";
import { useRetry } from "../../parts/state.js";
import { useEffect, useRef, useState } from "../../vendor.js";

const answersOfPage = 50;

/** Items that are left when the next page is fetched. */
const ahead = 10;

const beginning = { items: [], cursor: undefined, more: true, error: null };

/** Every choice of every answer is judged on its own. */
function itemsOf(answers, reviewer) {
  return answers.flatMap((answer) =>
    answer.choices.map((choice) => ({
      key: `${answer.id} ${choice.index}`,
      answer,
      choice,
      thumb: answer.labels.find(({ choice: index, end_user }) => index === choice.index && end_user === reviewer) ??
        null,
    }))
  ).filter(({ thumb }) => thumb === null);
}

/**
 * @param reviewer the name under which answers may have been judged already @param again whether also answers wait that
 *   others have judged @param model only answers that were asked as this; "" all
 * @returns `items` so far, `{key, answer, choice, thumb}`; they stay once judged, so that one can go back; `more` whether
 *   there are more; `error`; `reach(place)` says how far one has come; `setThumb(key, thumb)`; `restart()`
 */
export function useWaiting(reviewer, again, model) {
  const [state, setState] = useState(beginning), [turn, setTurn] = useState(0);
  // What is under way belongs to one list: what comes late for another is dropped.
  const loading = useRef(null);
  const load = async (list, { cursor }) => {
    loading.current = list;
    try {
      const page = await listUnjudged(again ? reviewer : null, { model, limit: answersOfPage, cursor });
      if (loading.current !== list) return;
      loading.current = null;
      setState((before) => {
        const known = new Set(before.items.map(({ key }) => key));
        const fresh = itemsOf(page.data, reviewer).filter(({ key }) => !known.has(key));
        return {
          items: [...before.items, ...fresh],
          cursor: page.next_cursor ?? undefined,
          more: page.has_more,
          error: null,
        };
      });
    } catch (error) {
      if (loading.current !== list) return;
      loading.current = null;
      setState((before) => ({ ...before, error }));
    }
  };
  useEffect(() => {
    setState(beginning);
    load({}, beginning);
    return () => loading.current = null;
  }, [reviewer, again, model, turn]);
  const reach = (place) => {
    if (state.more && !state.error && loading.current === null && place >= state.items.length - ahead) load({}, state);
  };
  const setThumb = (key, thumb) =>
    setState((before) => ({
      ...before,
      items: before.items.map((item) => item.key === key ? { ...item, thumb } : item),
    }));
  const retry = () => load({}, state);
  useRetry(state.error, retry);
  return { ...state, reach, setThumb, retry, restart: () => setTurn(turn + 1) };
}
