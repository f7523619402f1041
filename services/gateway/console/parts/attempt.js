// What a press begins and may fail: one at a time, and what went wrong is said where the press was.

import { useRef, useState } from "../vendor.js";

/**
 * @returns `attempt(work)` runs `work` unless the last is still under way, and gives what it resolves to, or undefined
 *   where it failed; `problem`: what it threw, until the next attempt; `busy`
 */
export function useAttempt() {
  const [state, setState] = useState({ problem: null, busy: false }), running = useRef(false);
  const attempt = async (work) => {
    if (running.current) return;
    running.current = true;
    setState({ problem: null, busy: true });
    let problem = null;
    try {
      return await work();
    } catch (error) {
      problem = error;
    } finally {
      running.current = false;
      setState({ problem, busy: false });
    }
  };
  return { ...state, attempt };
}
