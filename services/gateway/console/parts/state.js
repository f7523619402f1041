// State of a component: what outlives it, what is loaded for it, what is asked for again and again. It knows no page.

import { connection } from "../http.js";
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

/** Milliseconds between a change of what a reload keeps and its being written: answers change with every token. */
const writing = 250;
const unwritten = new Map();

function writeKept() {
  for (const [name, value] of unwritten) {
    try {
      sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
      // The tab has no more room. What was kept before is older than what is shown: better none than half.
      sessionStorage.removeItem(name);
    }
  }
  unwritten.clear();
}
addEventListener("pagehide", writeKept);

function read(name, revive) {
  const text = sessionStorage.getItem(name);
  return text === null ? undefined : revive(JSON.parse(text));
}

/** State that outlives a reload of the page, until the tab is closed. @param revive makes it fit to go on with */
export function useStored(name, initial, revive = (value) => value) {
  const key = `prospect ${name}`;
  if (!kept.has(name)) kept.set(name, read(key, revive) ?? initial);
  const [value, set] = useKept(name, initial);
  const store = (change) => {
    set(change);
    if (unwritten.size === 0) setTimeout(writeKept, writing);
    unwritten.set(key, kept.get(name));
  };
  return [value, store];
}

/** Seconds after which what failed for now is asked for again, where the gateway names none. */
const patience = 5;

/** Whether an error passes by itself: the gateway is gone, busy, or without its database. */
const passes = ({ status }) => status === 0 || status === 429 || status === 503;

/** Calls `again` once an error has passed, where it is one that does. */
export function useRetry(error, again) {
  useEffect(() => {
    if (!error || !passes(error)) return;
    connection.addEventListener("found", again);
    const timer = error.status === 0 ? undefined : setTimeout(again, 1000 * (error.retryAfter ?? patience));
    return () => {
      connection.removeEventListener("found", again);
      clearTimeout(timer);
    };
  }, [error]);
}

/**
 * What `load` resolves to: `{value, error, loading, reload}`, loaded anew when a dependency changes, and where it failed
 * for a reason that passes. A slower, older answer never replaces a newer one. @param every milliseconds after which it
 * is loaded again; undefined: never
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
  useRetry(state.error, () => latest.current());
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
