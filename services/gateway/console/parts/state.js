// State of a component: what outlives it, what is loaded for it, what is asked for again and again. It knows no page.

import { useEffect, useRef, useState } from "../vendor.js";

const kept = new Map(), watchers = new Set();

/** State that outlives the component: a conversation is still there when one comes back to it. */
export function useKept(name, initial) {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watch = (changed) => changed === name && redraw((count) => count + 1);
    watchers.add(watch);
    return () => watchers.delete(watch);
  }, [name]);
  if (!kept.has(name)) kept.set(name, initial);
  const set = (change) => {
    kept.set(name, typeof change === "function" ? change(kept.get(name)) : change);
    for (const watch of watchers) watch(name);
  };
  return [kept.get(name), set];
}

/**
 * What `load` resolves to: `{value, error, loading, reload}`, loaded anew when a dependency changes. A slower, older
 * answer never replaces a newer one. @param every milliseconds after which it is loaded again; undefined: never
 */
export function useLoaded(load, dependencies, every) {
  const [state, setState] = useState({ value: undefined, error: undefined, loading: true });
  const turn = useRef(0);
  const reload = async () => {
    const mine = ++turn.current;
    setState((before) => ({ ...before, loading: true }));
    try {
      const value = await load();
      if (mine === turn.current) setState({ value, error: undefined, loading: false });
    } catch (error) {
      if (mine === turn.current) setState((before) => ({ ...before, error, loading: false }));
    }
  };
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    reload();
    return () => turn.current++;
  }, dependencies);
  useEffect(() => {
    if (every === undefined) return;
    const timer = setInterval(() => document.hidden || latest.current(), every);
    return () => clearInterval(timer);
  }, [every, ...dependencies]);
  return { ...state, reload: () => latest.current() };
}

/** The part of the address after `#/`, in pieces. */
export function useRoute() {
  const read = () =>
    location.hash.replace(/^#\/?/, "").split("/").filter((piece) => piece !== "").map(decodeURIComponent);
  const [route, setRoute] = useState(read());
  useEffect(() => {
    const change = () => setRoute(read());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return route;
}

/** A value that is typed, once typing has paused: so that not every letter is a request. */
export function useSettled(value) {
  const [settled, setSettled] = useState(value);
  const told = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 250);
    return () => clearTimeout(timer);
  }, [told]);
  return settled;
}
